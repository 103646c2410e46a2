"""How smooth a map is, against pairs counted by hand, and how it is drawn."""

import itertools

import numpy as np
import pytest
from gabors import gabors, pinwheel_map
from hypothesis import given
from hypothesis import strategies as st

from pinwheel.pictures.statistics import FilterStatistics, filter_statistics
from pinwheel.pictures.topography import (
    map_differences,
    mean_orientation_difference,
    orientation_difference,
    topography,
)
from pinwheel.pictures.topography_sheet import repeated
from pinwheel.pictures.unit_map import UnitMap, breadth_first, depths

ANGLES = st.lists(
    st.sampled_from([0.0, 15.0, 45.0, 90.0, 135.0, 179.0]) | st.floats(0, 179.99), min_size=2, max_size=30
)


def statistics(orientation: list[float], frequency: list[float] | None = None) -> FilterStatistics:
    ones = np.ones(len(orientation))
    return FilterStatistics(ones, np.array(orientation, float), ones if frequency is None else np.array(frequency))


def test_a_bar_and_the_same_bar_upside_down_have_one_orientation() -> None:
    first, second = np.array([0.0, 10, 0, 179, 45, 30]), np.array([0.0, 170, 90, 1, 135, 210])
    assert orientation_difference(first, second).tolist() == [0, 20, 90, 2, 90, 0]


@given(angles=ANGLES)
def test_the_mean_over_all_pairs_is_the_mean_over_each_pair(angles: list[float]) -> None:
    pairs = np.array(list(itertools.combinations(angles, 2)))
    expected = orientation_difference(pairs[:, 0], pairs[:, 1]).mean()
    assert mean_orientation_difference(np.array(angles)) == pytest.approx(expected, abs=1e-9)


def test_evenly_spread_orientations_differ_by_45_degrees() -> None:
    assert mean_orientation_difference(np.random.default_rng(0).uniform(0, 180, 20_000)) == pytest.approx(45, abs=0.1)


def test_neighbours_on_a_torus_are_counted_by_hand() -> None:
    """0 10 20 / 30 40 50 / 60 70 80: in each row steps of 10, 10 and 20, in each column of 30, 30 and 60."""
    found = map_differences(statistics([10.0 * unit for unit in range(9)]), UnitMap("torus", 3, 3))
    assert found.neighbour_orientation_difference_deg == pytest.approx((3 * 40 + 3 * 120) / 18)
    open_edges = map_differences(statistics([10.0 * unit for unit in range(9)]), UnitMap("sheet", 3, 3, wrap=False))
    assert open_edges.neighbour_orientation_difference_deg == pytest.approx((3 * 20 + 3 * 60) / 12)


def test_frequencies_are_compared_in_octaves() -> None:
    found = map_differences(statistics([0.0] * 4, [0.1, 0.2, 0.4, 0.1]), UnitMap("ring", 1, 4))
    assert found.neighbour_frequency_difference_octaves == pytest.approx((1 + 1 + 2 + 0) / 4)
    assert found.random_pairs_frequency_difference_octaves == pytest.approx((1 + 2 + 0 + 1 + 1 + 2) / 6)


def test_units_without_an_orientation_are_left_out() -> None:
    found = map_differences(statistics([0.0, np.nan, 30.0, 40.0]), UnitMap("ring", 1, 4))
    assert found.oriented_units == 3
    assert found.neighbour_orientation_difference_deg == pytest.approx((10 + 40) / 2)
    assert found.random_pairs_orientation_difference_deg == pytest.approx((30 + 40 + 10) / 3)
    flat = map_differences(statistics([np.nan] * 4, [np.nan] * 4), UnitMap("ring", 1, 4)).as_json()
    assert flat.pop("oriented_units") == 0
    assert set(flat.values()) == {None}


@pytest.mark.parametrize(
    ("unit_map", "pairs"),
    [
        (UnitMap("torus", 4, 5), 40),
        (UnitMap("sheet", 4, 5, wrap=False), 4 * 4 + 5 * 3),
        (UnitMap("ring", 1, 7), 7),
        (UnitMap("torus", 2, 2), 4),
        (UnitMap("torus", 1, 1), 0),
    ],
)
def test_every_pair_of_neighbours_comes_once(unit_map: UnitMap, pairs: int) -> None:
    found = {frozenset(pair) for pair in unit_map.neighbours().tolist()}
    assert len(found) == len(unit_map.neighbours()) == pairs
    assert all(len(pair) == 2 for pair in found)


def test_a_map_survives_json_and_an_unknown_layout_is_refused() -> None:
    assert UnitMap.from_json('{"layout": "torus", "height": 3, "width": 4}') == UnitMap("torus", 3, 4, wrap=True)
    with pytest.raises(ValueError, match="spiral"):
        UnitMap.from_json('{"layout": "spiral", "height": 3, "width": 4}')


def test_smooth_maps_differ_from_shuffled_ones() -> None:
    filters, unit_map = pinwheel_map(16, 16), UnitMap("torus", 16, 16)
    smooth = topography(filters, unit_map)
    shuffled = topography(filters[np.random.default_rng(0).permutation(256)], unit_map)
    assert smooth.neighbour_orientation_difference_deg is not None
    assert smooth.neighbour_orientation_difference_deg < 15
    assert shuffled.neighbour_orientation_difference_deg == pytest.approx(45, abs=3)


def test_the_orientation_of_a_gabor_is_the_one_that_it_was_made_with() -> None:
    angles = np.arange(0, 180, 7.5)
    found = filter_statistics(gabors(angles, np.full(len(angles), 0.2), side=24)).orientation_deg
    assert orientation_difference(angles, found).max() < 1.5


def test_a_torus_goes_on_beyond_its_edges() -> None:
    drawn = repeated(UnitMap("torus", 8, 16))
    assert (drawn.border, drawn.units.shape) == (1, (10, 18))
    units = np.arange(128).reshape(8, 16)
    assert (drawn.units[1:-1, 1:-1] == units).all()
    assert (drawn.units[0, 1:-1] == units[-1]).all()
    assert (drawn.units[1:-1, -1] == units[:, 0]).all()
    assert drawn.units[0, 0] == units[-1, -1]


def test_a_sheet_with_edges_ends_there_and_a_ring_is_cut_into_rows() -> None:
    assert repeated(UnitMap("sheet", 3, 4, wrap=False)).units.tolist() == np.arange(12).reshape(3, 4).tolist()
    ring = repeated(UnitMap("ring", 1, 7))
    assert ring.units.tolist() == [[0, 1, 2], [3, 4, 5], [6, -1, -1]]


def test_depths_and_levels_of_a_tree_whose_units_stand_in_any_order() -> None:
    parent = np.array([2, 2, -1, 0, 1, 0, -1])
    assert depths(parent).tolist() == [1, 1, 0, 2, 2, 2, 0]
    assert breadth_first(parent) == [2, 6, 0, 1, 3, 5, 4]


def test_a_cycle_has_no_depth() -> None:
    with pytest.raises(ValueError, match="unit 1 leads to no root"):
        depths(np.array([-1, 2, 1]))
