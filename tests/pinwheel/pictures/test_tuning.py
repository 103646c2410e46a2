"""Planted gratings are answered with their own orientation and frequency; noise and dots are not selective."""

import itertools
import time

import numpy as np
import pytest
from gabors import gabors
from numpy.typing import NDArray

from pinwheel.pictures.statistics import filter_statistics
from pinwheel.pictures.topography import orientation_difference
from pinwheel.pictures.tuning import NYQUIST, ORIENTATIONS, Tuning, gratings, tuning


def bars(orientation_deg: float, frequency: float, height: int = 20, width: int = 20) -> NDArray[np.float64]:
    """(height, width, 1) Bars that fill the frame, with a mean."""
    down, right = np.mgrid[:height, :width]
    across = np.radians(orientation_deg + 90)
    return (1 + np.cos(2 * np.pi * frequency * (right * np.cos(across) - down * np.sin(across)) + 0.7))[..., None]


@pytest.mark.parametrize("frequency", [0.15, 0.22, 0.3, 0.4])
def test_a_gabor_has_its_own_orientation_and_frequency(frequency: float) -> None:
    angles = np.arange(0, 180, 3.3)
    found = tuning(gabors(angles, np.full(len(angles), frequency), side=20))
    assert orientation_difference(found.orientation_deg, angles).max() < 0.6
    assert np.abs(found.frequency - frequency).max() < 0.01
    assert found.selectivity.min() > 0.7
    assert ((found.orientation_deg >= 0) & (found.orientation_deg < 180)).all()


def test_a_standing_line_is_at_90_degrees_and_a_rising_one_at_45() -> None:
    standing, lying, rising = np.zeros((3, 15, 15, 1))
    standing[:, 7] = 1
    lying[7] = 1
    rising[range(14, -1, -1), range(15)] = 1  # from the lower left corner to the upper right
    found = tuning(np.stack([standing, rising, lying])).orientation_deg
    assert orientation_difference(found, np.array([90.0, 45.0, 0.0])).max() < 0.5


@pytest.mark.parametrize("side", [(20, 20), (12, 24), (24, 12), (15, 20)])
def test_bars_that_fill_a_frame_of_any_shape_are_found_too(side: tuple[int, int]) -> None:
    planted = list(itertools.product(np.arange(0, 180, 13.0), [0.2, 0.3, 0.4]))
    found = tuning(np.stack([bars(*grating, *side) for grating in planted]))
    angles, frequencies = np.array(planted).T
    assert orientation_difference(found.orientation_deg, angles).max() < 3
    assert np.abs(found.frequency - frequencies).max() < 0.012


def test_both_ways_to_find_an_orientation_agree() -> None:
    filters = gabors(np.linspace(0, 179, 60), np.full(60, 0.22), side=16)
    other = filter_statistics(filters).orientation_deg
    assert orientation_difference(tuning(filters).orientation_deg, other).max() < 1


def test_the_numbers_follow_from_the_answers_to_each_grating() -> None:
    """The slow way: every grating at many phases, the largest answer of each, the sum of double angles."""
    patch = gabors(np.array([33.0]), np.array([0.21]), side=12)[0, :, :, 0].astype(float)
    down, right = np.mgrid[:12, :12]
    answers = np.zeros((12, ORIENTATIONS))
    for number, orientation in itertools.product(range(12), range(ORIENTATIONS)):
        across = np.pi * orientation / ORIENTATIONS + np.pi / 2
        place = 2 * np.pi * (number + 1) * NYQUIST / 12 * (right * np.cos(across) - down * np.sin(across))
        waves = np.cos(place + np.linspace(0, 2 * np.pi, 720, endpoint=False)[:, None, None])
        waves -= waves.mean(axis=(1, 2), keepdims=True)
        answers[number, orientation] = np.tensordot(waves, patch, 2).max()
    best = answers[np.unravel_index(answers.argmax(), answers.shape)[0]]
    turn = np.exp(2j * np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS)
    found = tuning(patch[None, :, :, None])
    assert found.selectivity[0] == pytest.approx(abs(best @ turn) / best.sum(), abs=1e-4)
    assert found.orientation_deg[0] == pytest.approx(np.degrees(np.angle(best**2 @ turn)) / 2, abs=0.02)


def test_longer_bars_are_more_selective_and_a_dot_is_not_at_all() -> None:
    widths = (0.06, 0.1, 0.2)
    short, middle, long = (tuning(gabors(np.array([20.0]), np.array([0.25]), 24, width)) for width in widths)
    assert short.selectivity[0] < middle.selectivity[0] - 0.05
    assert middle.selectivity[0] < long.selectivity[0] - 0.05
    dot = np.zeros((1, 15, 15, 1))
    dot[0, 7, 7] = 1
    assert tuning(dot).selectivity[0] < 0.02
    crossed = bars(20, 0.25) + bars(110, 0.25)
    assert tuning(crossed[None]).selectivity[0] < 0.1


def test_sign_contrast_mean_and_place_do_not_count() -> None:
    patch = np.zeros((24, 24, 1))
    patch[3:15, 4:16] = gabors(np.array([30.0]), np.array([0.25]), 12, 0.15)[0]
    moved = np.roll(patch, (6, 5), (0, 1))
    found = tuning(np.stack([patch, -patch, patch + 5, patch * 1e-30, patch * 1e30, moved]))
    for column in (found.orientation_deg, found.selectivity, found.frequency):
        assert column == pytest.approx([column[0]] * 6, rel=2e-3)


def test_colours_that_are_opposite_do_not_cancel() -> None:
    patch = gabors(np.array([60.0]), np.array([0.2]))[0]
    coloured = np.concatenate([patch, -patch, 0 * patch], axis=-1)
    gray, found = tuning(patch[None]), tuning(coloured[None])
    assert found.orientation_deg == pytest.approx(gray.orientation_deg, abs=1e-3)
    assert found.selectivity == pytest.approx(gray.selectivity, abs=1e-4)


def test_what_has_no_shape_has_no_tuning_and_disturbs_nobody() -> None:
    good = gabors(np.array([40.0]), np.array([0.2]))[0]
    broken = good.copy()
    broken[3, 3] = np.nan
    endless = good.copy()
    endless[3, 3] = np.inf
    found = tuning(np.stack([good, 0 * good, 0 * good + 7, broken, endless, good]))
    for column in (found.orientation_deg, found.selectivity, found.frequency, found.vectors):
        assert np.isfinite(column).tolist() == [True, False, False, False, False, True]
    assert found.orientation_deg[[0, 5]] == pytest.approx([40, 40], abs=1)
    line = tuning(np.random.default_rng(0).normal(size=(3, 1, 64, 1)))
    assert np.isnan([line.orientation_deg, line.selectivity, line.frequency]).all()


@pytest.mark.parametrize("side", [2, 3])
def test_the_smallest_frames_are_measured(side: int) -> None:
    found = tuning(np.random.default_rng(0).normal(size=(20, side, side, 1)))
    assert (found.frequency <= NYQUIST).all()
    assert (found.selectivity <= 1).all()


def test_gratings_have_no_mean() -> None:
    assert np.abs(gratings(7, 9).mean(axis=0)).max() < 1e-6
    assert gratings(7, 9).shape == (63, 2 * 9 * ORIENTATIONS)


def test_a_vector_turns_twice_as_fast_as_the_bar() -> None:
    found = Tuning(np.array([0.0, 45.0, 90.0, np.nan]), np.array([1.0, 0.5, 0.25, 0.0]), np.full(4, 0.2)).vectors
    assert found[:3] == pytest.approx([1, 0.5j, -0.25])
    assert np.isnan(found[3])


def test_parts_are_measured_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    filters = np.random.default_rng(1).normal(size=(50, 10, 10, 3)).astype(np.float32)
    together = tuning(filters)
    monkeypatch.setattr("pinwheel.pictures.tuning.CHUNK_ANSWERS", 20_000)
    apart = tuning(filters)
    assert apart.orientation_deg == pytest.approx(together.orientation_deg, abs=1e-3)
    assert apart.frequency == pytest.approx(together.frequency, abs=1e-5)


def test_ten_thousand_units_take_a_moment() -> None:
    filters = np.random.default_rng(0).normal(size=(10_000, 20, 20, 1)).astype(np.float32)
    started = time.process_time()
    tuning(filters)
    assert time.process_time() - started < 6
