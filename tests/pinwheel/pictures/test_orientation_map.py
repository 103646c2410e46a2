"""Filters on a map that is known: its pinwheels and spacing are found, and shuffled units have none of that order."""

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from orientation_fields import columns, gabor_filters, open_columns, pinwheel

from pinwheel.pictures.orientation_map import (
    SEED,
    SHUFFLES,
    SMOOTHING,
    OrientationMap,
    difference_by_distance,
    orientation_map,
)
from pinwheel.pictures.pinwheels import find_pinwheels, opposite_neighbours, smoothed
from pinwheel.pictures.topography import mean_orientation_difference, orientation_difference, topography
from pinwheel.pictures.tuning import Tuning, tuning
from pinwheel.pictures.unit_map import UnitMap

Field = NDArray[np.complex128]


def tuned(field: Field) -> Tuning:
    """Units that prefer the orientations of a field, all as selective."""
    degrees = np.mod(np.degrees(np.angle(field)).ravel() / 2, 180)
    return Tuning(degrees, np.full(degrees.size, 0.8), np.full(degrees.size, 0.2))


def measured(field: Field, wrap: bool = True) -> OrientationMap:
    return orientation_map(tuned(field), UnitMap("torus" if wrap else "sheet", *field.shape, wrap))


def test_filters_on_planted_columns_have_their_pinwheels_and_their_spacing() -> None:
    field = columns(32, 40, 8.0, seed=1)
    unit_map = UnitMap("torus", 32, 40)
    found = orientation_map(tuning(gabor_filters(field)), unit_map)
    assert found.smoothing_units == pytest.approx(0.8, rel=0.03)
    planted = find_pinwheels(smoothed((field / np.abs(field)).ravel(), unit_map, found.smoothing_units), wrap=True)
    assert found.oriented_units == 1280
    assert len(planted.signs) > 40
    assert found.numbers.num_pinwheels == pytest.approx(len(planted.signs), abs=2)
    near = 0
    for row, column, sign in zip(planted.rows, planted.columns, planted.signs, strict=True):
        down, right = np.abs(found.pinwheels.rows - row), np.abs(found.pinwheels.columns - column)
        distance = np.hypot(np.minimum(down, 32 - down), np.minimum(right, 40 - right))
        near += distance[found.pinwheels.signs == sign].min() < 0.4
    assert near >= len(planted.signs) - 3
    assert found.numbers.spacing_units == pytest.approx(8, rel=0.03)


def test_random_columns_have_the_density_pi() -> None:
    densities = [measured(columns(64, 64, 9.0, seed)).numbers.pinwheel_density for seed in range(4)]
    assert np.mean(np.array(densities, float)) == pytest.approx(np.pi, rel=0.07)


def test_units_that_are_a_little_off_change_the_density_little() -> None:
    field = columns(64, 64, 8.0)
    off = np.radians(15) * np.random.default_rng(0).normal(size=(64, 64))
    exact, noisy = measured(field).numbers, measured(field * np.exp(2j * off)).numbers
    assert noisy.num_pinwheels == pytest.approx(exact.num_pinwheels, rel=0.07)
    assert noisy.spacing_units == pytest.approx(exact.spacing_units, rel=0.01)
    raw = len(find_pinwheels(field * np.exp(2j * off) / np.abs(field), wrap=True).signs)
    assert raw > 1.12 * exact.num_pinwheels


def test_a_sheet_with_edges_counts_the_area_between_its_units() -> None:
    found = measured(pinwheel(9, 11, 4.2, 5.7, -1), wrap=False).numbers
    assert (found.num_pinwheels, found.num_positive, found.num_negative) == (1, 0, 1)
    assert found.pinwheels_per_unit == pytest.approx(1 / (8 * 10))
    assert (found.spacing_units, found.pinwheel_density, found.opposite_neighbours) == (None, None, None)
    densities = [measured(open_columns(40, 50, 8.0, seed), wrap=False).numbers.pinwheel_density for seed in range(4)]
    assert np.mean(np.array(densities, float)) == pytest.approx(np.pi, rel=0.1)


@pytest.mark.parametrize("wrap", [True, False])
def test_shuffled_units_have_no_spacing_and_no_similar_neighbours(wrap: bool) -> None:
    field = columns(48, 48, 8.0) if wrap else open_columns(48, 48, 8.0)
    found = measured(field, wrap)
    numbers, shuffled, smoothing = found.numbers, found.shuffled, found.smoothing_units
    assert numbers.spectral_peak is not None
    assert shuffled.spectral_peak is not None
    assert numbers.spectral_peak > 15
    assert shuffled.spectral_peak < 2
    assert (shuffled.spacing_units, shuffled.pinwheel_density) == (None, None)
    assert numbers.neighbour_orientation_difference_deg is not None
    assert numbers.neighbour_orientation_difference_deg < 20
    assert shuffled.neighbour_orientation_difference_deg == pytest.approx(45, abs=1)
    assert shuffled.orientation_differences_deg == pytest.approx([45] * 24, abs=1.5)
    # Of noise under a Gaussian, 1 / 4πσ² in theory; fewer where units stand in squares.
    assert shuffled.pinwheels_per_unit == pytest.approx(1 / (4 * np.pi * smoothing**2), rel=0.2)
    assert numbers.pinwheels_per_unit == pytest.approx(np.pi / 64, rel=0.15)


def test_shuffling_is_the_same_every_time_and_moves_units_without_changing_them() -> None:
    field = columns(24, 24, 8.0)
    first, second = measured(field), measured(field)
    assert first.as_json() == second.as_json()
    assert first.shuffled.num_positive == first.shuffled.num_negative > 0
    over_all = mean_orientation_difference(tuned(field).orientation_deg)
    assert np.mean([value or 0 for value in first.shuffled.orientation_differences_deg]) == pytest.approx(
        over_all, abs=0.5
    )


def test_the_control_is_the_mean_over_shuffled_maps_and_null_where_most_have_no_number() -> None:
    """On sheets of three by three there are often not two pinwheels, so that none has a neighbour."""
    unit_map, seen = UnitMap("sheet", 3, 3, wrap=False), set()
    for seed in range(30):
        some = tuned(np.exp(2j * np.pi * np.random.default_rng(seed).uniform(size=(3, 3))))
        chance = np.random.default_rng(SEED)
        counts, shares = [], []
        for _ in range(SHUFFLES):
            found = find_pinwheels(smoothed(chance.permutation(some.vectors), unit_map, SMOOTHING), wrap=False)
            counts.append(len(found.signs))
            shares += [share for share in [opposite_neighbours(found, unit_map)] if share is not None]
        control = orientation_map(some, unit_map).shuffled
        assert control.num_pinwheels == pytest.approx(np.mean(counts))
        expected = pytest.approx(np.mean(shares)) if len(shares) > SHUFFLES / 2 else None
        assert control.opposite_neighbours == expected
        seen.add(len(shares))
    assert seen >= {1, 2, 3}


def test_charges_are_even_on_a_torus() -> None:
    for seed in range(5):
        found = measured(columns(20, 26, 6.0, seed)).numbers
        assert found.num_positive == found.num_negative == found.num_pinwheels / 2 > 0


def test_a_steady_map_has_no_pinwheel() -> None:
    down, right = np.mgrid[:20, :24]
    for field, wrap in (
        (np.full((20, 24), np.exp(1j)), True),
        (np.exp(1j * np.radians(12 * down + 20 * right)), False),
        (np.exp(2j * np.pi * (3 * right / 24)), True),
    ):
        found = measured(field, wrap)
        assert found.numbers.num_pinwheels == 0
        assert (found.numbers.opposite_neighbours, found.numbers.pinwheels_per_unit) == (None, 0)
    same = measured(np.full((20, 24), np.exp(1j))).numbers
    assert (same.neighbour_orientation_difference_deg, same.spacing_units, same.spectral_peak) == (0, None, None)


def test_a_quarter_turn_of_the_picture_keeps_everything() -> None:
    """The filters turn, and so do their places."""
    field = open_columns(18, 26, 7.0)
    filters = gabor_filters(field, side=17).reshape(18, 26, 17, 17)
    turned = np.rot90(np.rot90(filters, axes=(2, 3)), axes=(0, 1)).reshape(-1, 17, 17, 1)
    before = orientation_map(tuning(filters.reshape(-1, 17, 17, 1)), UnitMap("sheet", 18, 26, wrap=False))
    after = orientation_map(tuning(turned), UnitMap("sheet", 26, 18, wrap=False))
    assert before.numbers.num_pinwheels > 15
    expected = sorted(zip(25 - before.pinwheels.columns, before.pinwheels.rows, before.pinwheels.signs, strict=True))
    seen = sorted(zip(after.pinwheels.rows, after.pinwheels.columns, after.pinwheels.signs, strict=True))
    assert np.array(seen) == pytest.approx(np.array(expected), abs=1e-3)
    for name in ("spacing_units", "pinwheel_density", "neighbour_orientation_difference_deg", "opposite_neighbours"):
        assert getattr(after.numbers, name) == pytest.approx(getattr(before.numbers, name), rel=1e-3)
    assert after.numbers.distances_units == before.numbers.distances_units


def test_a_mirror_image_of_the_picture_keeps_the_signs() -> None:
    field = open_columns(18, 26, 7.0)
    filters = gabor_filters(field, side=17).reshape(18, 26, 17, 17)
    mirrored = filters[:, ::-1, :, ::-1].reshape(-1, 17, 17, 1)
    unit_map = UnitMap("sheet", 18, 26, wrap=False)
    before = orientation_map(tuning(filters.reshape(-1, 17, 17, 1)), unit_map).numbers
    after = orientation_map(tuning(mirrored), unit_map).numbers
    assert before.num_positive != before.num_negative
    assert (after.num_positive, after.num_negative) == (before.num_positive, before.num_negative)


@pytest.mark.parametrize("unit_map", [UnitMap("torus", 9, 11), UnitMap("sheet", 9, 11, wrap=False)])
def test_differences_by_distance_are_those_of_all_pairs_at_that_distance(unit_map: UnitMap) -> None:
    degrees = np.random.default_rng(0).uniform(0, 180, 99)
    rows, places = np.divmod(np.arange(99), 11)
    down, right = np.abs(rows[:, None] - rows), np.abs(places[:, None] - places)
    if unit_map.wrap:
        down, right = np.minimum(down, 9 - down), np.minimum(right, 11 - right)
    distance = np.hypot(down, right)
    found = difference_by_distance(degrees, unit_map)
    assert len(found) == 4
    for number, (mean_distance, difference) in enumerate(found[:3], start=1):
        pairs = (distance > number - 0.6) & (distance <= number + 0.4)
        expected = orientation_difference(degrees[:, None], degrees)[pairs]
        assert difference == pytest.approx(expected.mean())
        assert mean_distance == pytest.approx(number, abs=0.1)
    assert found[0][0] == 1


def test_the_nearest_pairs_are_the_neighbours() -> None:
    field = columns(16, 20, 6.0)
    filters, unit_map = gabor_filters(field), UnitMap("torus", 16, 20)
    numbers = orientation_map(tuning(filters), unit_map).numbers
    assert numbers.orientation_differences_deg[0] == pytest.approx(numbers.neighbour_orientation_difference_deg)
    other = topography(filters, unit_map).neighbour_orientation_difference_deg
    assert numbers.neighbour_orientation_difference_deg == pytest.approx(other, abs=0.5)


def test_orientations_are_alike_again_one_spacing_away() -> None:
    """They differ most where J₀(2π d / Λ), the correlation of such columns, has its minimum: at d = 0.61 Λ."""
    found = measured(columns(64, 64, 8.0)).numbers
    curve = {
        round(distance): value
        for distance, value in zip(found.distances_units, found.orientation_differences_deg, strict=True)
    }
    assert curve[1] is not None
    assert curve[1] < 20
    assert curve[5] == max(value for value in curve.values() if value is not None) > 50
    assert curve[8] is not None
    assert curve[8] < 42


def test_units_without_an_orientation_are_left_out() -> None:
    field = columns(24, 24, 8.0)
    some = tuned(field)
    some.orientation_deg[::5] = np.nan
    some.selectivity[::5] = np.nan
    found = orientation_map(some, UnitMap("torus", 24, 24))
    assert found.oriented_units == 576 - 116
    assert found.mean_selectivity == pytest.approx(0.8)
    assert found.numbers.num_pinwheels == pytest.approx(len(find_pinwheels(field, wrap=True).signs), abs=4)
    assert found.numbers.spacing_units == pytest.approx(8, rel=0.05)


@pytest.mark.parametrize("sides", [(2, 2), (2, 5), (6, 4)])
@pytest.mark.parametrize("wrap", [True, False])
def test_what_does_not_exist_is_null_and_the_rest_is_finite(sides: tuple[int, int], wrap: bool) -> None:
    unit_map = UnitMap("torus", *sides, wrap)
    units = math.prod(sides)
    for filters in (np.zeros((units, 8, 8, 1)), np.random.default_rng(0).normal(size=(units, 8, 8, 1))):
        found = orientation_map(tuning(filters), unit_map).as_json()
        assert json.loads(json.dumps(found, allow_nan=False)) == found
    flat = orientation_map(tuning(np.zeros((units, 8, 8, 1))), unit_map).as_json()
    assert (flat["oriented_units"], flat["num_pinwheels"], flat["pinwheels"]) == (0, 0, [])
    assert (flat["mean_selectivity"], flat["spacing_units"], flat["spectral_peak"]) == (None, None, None)
    assert set(flat["orientation_differences_deg"]) == {None}
    assert flat["shuffled"]["neighbour_orientation_difference_deg"] is None


def test_json_names_every_pinwheel() -> None:
    found = measured(columns(24, 24, 8.0))
    told, places = found.as_json(), found.pinwheels
    assert len(told["pinwheels"]) == told["num_pinwheels"] == told["num_positive"] + told["num_negative"]
    assert [one["sign"] for one in told["pinwheels"]] == places.signs.tolist()
    assert [one["row"] for one in told["pinwheels"]] == places.rows.tolist()
    assert [one["column"] for one in told["pinwheels"]] == places.columns.tolist()
    assert set(places.signs.tolist()) == {1, -1}
    assert set(told["shuffled"]) < set(told)
