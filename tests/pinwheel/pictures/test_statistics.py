"""Planted gratings must come back with their own orientation, frequency and norm."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pinwheel.pictures.statistics import filter_statistics


def grating(orientation_deg: float, frequency: float, phase: float = 0.3, side: int = 28) -> NDArray[np.float64]:
    """A round patch of bars, (side, side, 1). The bars run along `orientation_deg`, y upwards."""
    down, right = np.mgrid[:side, :side] - (side - 1) / 2
    across = np.radians(orientation_deg + 90)
    wave = np.cos(2 * np.pi * frequency * (right * np.cos(across) - down * np.sin(across)) + phase)
    return (wave * np.exp(-(right**2 + down**2) / (2 * (side / 5) ** 2)))[..., None]


def turned(degrees: float) -> float:
    """Distance of two orientations, which are equal after half a turn."""
    return abs((degrees + 90) % 180 - 90)


@pytest.mark.parametrize("orientation", [0, 17, 45, 90, 120, 179])
@pytest.mark.parametrize("frequency", [0.12, 0.2, 0.33])
def test_a_planted_grating_has_its_own_orientation_and_frequency(orientation: float, frequency: float) -> None:
    found = filter_statistics(grating(orientation, frequency)[None])
    assert turned(found.orientation_deg[0] - orientation) < 0.1
    assert found.frequency[0] == pytest.approx(frequency, rel=0.03)


def test_a_standing_line_is_at_90_degrees_and_a_rising_one_at_45() -> None:
    standing, rising = np.zeros((15, 15, 1)), np.zeros((15, 15, 1))
    standing[:, 7] = 1
    rising[range(14, -1, -1), range(15)] = 1  # from the lower left corner to the upper right
    found = filter_statistics(np.stack([standing, rising]))
    assert found.orientation_deg == pytest.approx([90, 45], abs=0.5)


def test_orientation_and_frequency_ignore_sign_mean_and_contrast() -> None:
    patch = grating(30, 0.2)
    found = filter_statistics(np.stack([patch, -patch, patch + 5, patch * 1e-6]))
    assert found.orientation_deg == pytest.approx([found.orientation_deg[0]] * 4, abs=1e-6)
    assert found.frequency == pytest.approx([found.frequency[0]] * 4)


def test_coloured_gratings_count_as_one() -> None:
    patch = grating(60, 0.2)
    found = filter_statistics(np.concatenate([patch, -patch, 0 * patch], axis=-1)[None])
    assert turned(found.orientation_deg[0] - 60) < 0.1


def test_a_filter_without_a_direction_has_no_orientation() -> None:
    dot = np.zeros((9, 9, 1))
    dot[4, 4] = 1
    flat = np.ones((9, 9, 1))
    found = filter_statistics(np.stack([flat, 0 * flat, dot - dot.mean()]))
    assert np.isnan(found.orientation_deg).all()
    assert np.isnan(found.frequency[:2]).all()
    assert np.isnan(filter_statistics(np.random.default_rng(0).normal(size=(3, 1, 64, 1))).orientation_deg).all()


def test_rows_are_json_with_null_for_what_does_not_exist() -> None:
    filters = np.stack([np.full((4, 4, 1), 0.5), np.zeros((4, 4, 1))]).astype(np.float16)
    rows = filter_statistics(filters, usage=np.array([0.25, 0.0], np.float32)).rows()
    assert rows[0] == {"unit": 0, "norm": 2.0, "usage": 0.25, "orientation_deg": None, "frequency": None}
    assert filter_statistics(filters).rows()[1]["usage"] is None


def test_many_filters_are_measured_like_each_alone() -> None:
    filters = np.random.default_rng(1).normal(size=(1200, 28, 28, 3)).astype(np.float32)
    together = filter_statistics(filters)
    for unit in (0, 431, 1199):
        alone = filter_statistics(filters[unit : unit + 1])
        assert alone.orientation_deg[0] == pytest.approx(together.orientation_deg[unit])
        assert alone.frequency[0] == pytest.approx(together.frequency[unit])
