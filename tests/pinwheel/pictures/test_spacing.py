"""The spacing of columns that were planted comes back, and maps without columns have none."""

import numpy as np
import pytest
from numpy.typing import NDArray
from orientation_fields import columns, open_columns

from pinwheel.pictures.spacing import Rings, fit, spectrum


def by_chance(height: int, width: int, seed: int) -> NDArray[np.complex128]:
    return np.exp(2j * np.pi * np.random.default_rng(seed).uniform(size=(height, width)))


@pytest.mark.parametrize("spacing", [5.0, 6.4, 8.0, 10.0])
@pytest.mark.parametrize("sides", [(64, 64), (40, 100), (100, 40)])
def test_the_planted_spacing_comes_back_from_a_torus(spacing: float, sides: tuple[int, int]) -> None:
    for seed in range(4):
        found = spectrum(columns(*sides, spacing, seed), wrap=True)
        assert found.spacing == pytest.approx(spacing, rel=0.03)
        assert found.peak is not None
        assert found.peak > 10


@pytest.mark.parametrize("sides", [(64, 64), (40, 100), (100, 40)])
def test_the_planted_spacing_comes_back_from_a_sheet_with_edges(sides: tuple[int, int]) -> None:
    for seed in range(4):
        found = spectrum(open_columns(*sides, 8.0, seed), wrap=False)
        assert found.spacing == pytest.approx(8, rel=0.03)
    small = [spectrum(open_columns(sides[0] // 2, sides[1] // 2, 6.0, seed), wrap=False).spacing for seed in range(20)]
    assert np.std(np.array(small, float)) < 0.012 * 6


def test_the_spacing_of_a_small_map_is_that_of_its_own_waves() -> None:
    radius = np.hypot(np.fft.fftfreq(24)[:, None], np.fft.fftfreq(24))
    for spacing, seed in ((6.0, 0), (6.0, 1), (5.0, 2)):
        field = columns(24, 24, spacing, seed)
        power = np.square(np.abs(np.fft.fft2(field)))
        assert spectrum(field, wrap=True).spacing == pytest.approx(power.sum() / (power * radius).sum(), rel=0.012)


def test_a_few_columns_are_enough_and_one_is_not() -> None:
    assert spectrum(columns(32, 32, 11.0, spread=0.1), wrap=True).spacing == pytest.approx(11, rel=0.06)
    right = np.arange(32) / 32
    two, one = (np.exp(2j * np.pi * waves * right) * np.ones((32, 1)) for waves in (2, 1))
    assert spectrum(two, wrap=True).spacing == pytest.approx(16, rel=0.08)
    assert spectrum(one, wrap=True).spacing is None


def test_noise_hides_a_spacing_only_when_it_is_strong() -> None:
    field = columns(48, 48, 8.0)
    field = field / np.abs(field).mean()
    assert spectrum(field + by_chance(48, 48, 0), wrap=True).spacing == pytest.approx(8, rel=0.04)
    assert spectrum(field + 30 * by_chance(48, 48, 0), wrap=True).spacing is None


@pytest.mark.parametrize("wrap", [True, False])
@pytest.mark.parametrize("sides", [(5, 6), (16, 16), (24, 50), (64, 64)])
def test_units_at_places_by_chance_have_no_spacing(sides: tuple[int, int], wrap: bool) -> None:
    found = [spectrum(by_chance(*sides, seed), wrap) for seed in range(25)]
    assert sum(one.spacing is not None for one in found) <= 1
    assert np.mean([one.power.mean() for one in found]) == pytest.approx(1, abs=0.05)
    assert np.mean([one.peak for one in found if one.peak]) < 1.8


@pytest.mark.parametrize("wrap", [True, False])
def test_a_map_of_slow_changes_has_no_spacing(wrap: bool) -> None:
    """Its spectrum falls from the longest waves on."""
    found = 0
    for seed in range(20):
        chance = np.random.default_rng(seed)
        radius = np.hypot(np.fft.fftfreq(96)[:, None], np.fft.fftfreq(96))
        noise = np.fft.fft2(chance.normal(size=(96, 96)) + 1j * chance.normal(size=(96, 96)))
        field = np.fft.ifft2(noise * np.exp(-((2 * np.pi * radius * 8) ** 2) / 2))
        found += spectrum(field if wrap else field[:48, :48], wrap).spacing is not None
    assert found <= 2


def test_a_map_that_is_the_same_everywhere_has_no_spectrum() -> None:
    for field in (np.full((12, 9), 1j), np.zeros((12, 9), complex), np.full((2, 2), 0.3 - 1j)):
        for wrap in (True, False):
            found = spectrum(field, wrap)
            assert (found.spacing, found.peak) == (None, None)


@pytest.mark.parametrize("wrap", [True, False])
@pytest.mark.parametrize("sides", [(2, 2), (2, 3), (3, 3), (2, 40)])
def test_the_smallest_maps_have_a_spectrum_without_holes(sides: tuple[int, int], wrap: bool) -> None:
    found = spectrum(by_chance(*sides, 0), wrap)
    assert np.isfinite(found.power).all()
    assert np.isfinite(found.fitted).all()


def test_the_fit_finds_its_own_formula() -> None:
    radius = np.linspace(0.02, 0.5, 300)
    power = 7 * np.exp(-((radius - 0.137) ** 2) / (2 * 0.021**2)) + 0.4 - 0.9 * radius + 1.1 * radius**2
    found = fit(Rings(radius, power, 1000 * radius), 1 / 48)
    assert (found.middle, found.width) == pytest.approx((0.137, 0.021), rel=0.01)
    assert found.factors == pytest.approx([7, 0.4, -0.9, 1.1], rel=0.1)
    assert np.abs(found.at(radius) - power).max() < 0.05


def test_a_dip_of_the_spectrum_is_no_peak() -> None:
    radius = np.linspace(0.02, 0.5, 300)
    dip, peak = (np.exp(-((radius - middle) ** 2) / (2 * 0.015**2)) for middle in (0.3, 0.12))
    power = 3 - 2.5 * dip + 1.5 * peak
    found = fit(Rings(radius, power, 1000 * radius), 1 / 48)
    assert found.middle == pytest.approx(0.12, abs=0.02)
    assert found.factors[0] > 0


def test_turning_all_bars_or_the_map_changes_nothing() -> None:
    field = columns(36, 52, 8.0)
    expected = spectrum(field, wrap=True).spacing
    for same in (field * np.exp(1j), field.conj(), np.rot90(field), np.roll(field, (5, 9), (0, 1)), 1e-9 * field):
        assert spectrum(same, wrap=True).spacing == pytest.approx(expected, rel=1e-6)
