"""Pinwheels where they were planted, none where there are none, and never a charge left over on a torus."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from orientation_fields import columns, open_columns, pinwheel

from pinwheel.pictures.pinwheels import (
    Pinwheels,
    find_pinwheels,
    opposite_neighbours,
    smoothed,
    winding_numbers,
)
from pinwheel.pictures.unit_map import UnitMap

Field = NDArray[np.complex128]
# Exact right angles and half turns, zeros of both signs, and anything else.
VALUES = st.sampled_from([0, 1, -1, 1j, -1j, complex(-1, -0.0), complex(-0.0, -0.0), 1 + 1j, -1 - 1j]) | (
    st.complex_numbers(max_magnitude=1e3, allow_nan=False, allow_infinity=False)
)
SHAPES = st.tuples(st.integers(2, 8), st.integers(2, 8))
FIELDS = SHAPES.flatmap(lambda shape: arrays(np.complex128, shape, elements=VALUES))


def places(found: Pinwheels) -> set[tuple[float, float, int]]:
    whole = zip(found.rows.round(6), found.columns.round(6), found.signs, strict=True)
    return {(float(row), float(column), int(sign)) for row, column, sign in whole}


def ring_of_eight(field: Field, row: int, column: int, wrap: bool) -> int:
    """The slow way: how often the orientation turns on the closed walk, against the clock, along eight neighbours."""
    walk = [(1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    height, width = field.shape
    at = [((row + down) % height, (column + right) % width) if wrap else (row + down, column + right)
          for down, right in walk]  # fmt: skip
    degrees = [np.degrees(np.angle(field[place])) / 2 for place in at]
    turned = sum((there - here + 90) % 180 - 90 for here, there in itertools.pairwise(degrees))
    return round(turned / 180)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("place", [(6.3, 7.8), (7.0, 8.0), (5.5, 6.5), (8.02, 4.99), (3.7, 11.2)])
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_a_planted_pinwheel_is_found_with_its_sign(place: tuple[float, float], sign: int, sigma: float) -> None:
    unit_map = UnitMap("sheet", 13, 16, wrap=False)
    field = smoothed(pinwheel(13, 16, *place, sign).ravel(), unit_map, sigma)
    found = find_pinwheels(field, wrap=False)
    assert found.signs.tolist() == [sign]
    assert abs(found.rows[0] - place[0]) < 0.2
    assert abs(found.columns[0] - place[1]) < 0.2


def test_bars_around_a_positive_pinwheel_turn_with_the_walk() -> None:
    """East of it they lie, a quarter of the way on, north of it, they rise at 45°, west of it they stand."""
    field = pinwheel(9, 9, 4.0, 4.0, 1)
    degrees = np.degrees(np.angle(field)) / 2
    assert (degrees[4, 8], degrees[0, 4], abs(degrees[4, 0])) == pytest.approx((0, 45, 90))
    assert find_pinwheels(field, wrap=False).signs.tolist() == [1]


@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_a_constant_and_a_steady_turn_have_none(sigma: float) -> None:
    down, right = np.mgrid[:12, :15]
    for angle in (0, 33, 90, 179):
        constant = np.full(180, np.exp(2j * np.radians(angle)))
        for wrap in (True, False):
            assert len(find_pinwheels(smoothed(constant, UnitMap("torus", 12, 15, wrap), sigma), wrap).signs) == 0
    for steps in ((10, 0), (0, -25), (17, 31), (-40, 5), (60, 60)):
        ramp = np.exp(2j * np.radians(steps[0] * down + steps[1] * right))
        assert not winding_numbers(ramp, wrap=False).any()
        field = smoothed(ramp.ravel(), UnitMap("sheet", 12, 15, wrap=False), sigma if max(steps) < 40 else 0)
        assert len(find_pinwheels(field, wrap=False).signs) == 0
    around = np.exp(2j * np.pi * (2 * down / 12 - 3 * right / 15))
    assert len(find_pinwheels(smoothed(around.ravel(), UnitMap("torus", 12, 15), sigma), wrap=True).signs) == 0


@given(field=FIELDS)
def test_charges_on_a_torus_add_up_to_nothing(field: Field) -> None:
    turns = winding_numbers(field, wrap=True)
    assert turns.shape == field.shape
    assert turns.sum() == 0
    assert find_pinwheels(field, wrap=True).signs.sum() == 0
    assert len(find_pinwheels(field, wrap=True).signs) == np.abs(turns).sum()


@given(
    values=arrays(np.float64, (6, 7), elements=st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0])),
    angle=st.sampled_from([0, 45]),
)
def test_two_orientations_at_a_right_angle_make_borders_and_no_pinwheels(
    values: NDArray[np.float64], angle: int
) -> None:
    field = values * {0: 1, 45: 1j}[angle]
    for wrap in (True, False):
        assert not winding_numbers(field, wrap).any()


@pytest.mark.parametrize("wrap", [True, False])
def test_a_ring_of_eight_sees_the_four_squares_inside_it(wrap: bool) -> None:
    field = np.exp(2j * np.pi * np.random.default_rng(0).uniform(size=(9, 11)))
    turns = winding_numbers(field, wrap)
    inside = itertools.product(range(9), range(11)) if wrap else itertools.product(range(1, 8), range(1, 10))
    seen = 0
    for row, column in inside:
        four = turns[[row - 1, row - 1, row, row], [column - 1, column, column - 1, column]].sum()
        assert ring_of_eight(field, row, column, wrap) == four
        seen += four != 0
    assert seen > 10


def test_on_a_smooth_map_both_ways_find_the_same_pinwheels() -> None:
    field = columns(48, 48, 12.0)
    found = find_pinwheels(field, wrap=True)
    rings = np.array([[ring_of_eight(field, row, column, wrap=True) for column in range(48)] for row in range(48)])
    assert len(found.signs) > 30
    for row, column, sign in zip(found.rows, found.columns, found.signs, strict=True):
        down = np.minimum(np.abs(found.rows - row), 48 - np.abs(found.rows - row))
        right = np.minimum(np.abs(found.columns - column), 48 - np.abs(found.columns - column))
        alone = np.sort(np.hypot(down, right))[1] > 3
        corners = rings[np.ix_([int(row), (int(row) + 1) % 48], [int(column), (int(column) + 1) % 48])]
        assert not alone or (corners == sign).all()
    assert rings.sum() == 0
    assert np.abs(rings).sum() == pytest.approx(4 * len(found.signs), rel=0.1)


@pytest.mark.parametrize("wrap", [True, False])
def test_a_pinwheel_stands_where_the_bilinear_map_is_nothing(wrap: bool) -> None:
    field = np.random.default_rng(3).normal(size=(2, 20, 30)).view(np.complex128).reshape(20, 15, 2).sum(axis=2)
    found = find_pinwheels(field, wrap)
    assert len(found.signs) > 40
    for row, column in zip(found.rows, found.columns, strict=True):
        down, right = row % 1, column % 1
        above, below = int(row), (int(row) + 1) % 20
        left, beside = int(column), (int(column) + 1) % 15
        upper = (1 - right) * field[above, left] + right * field[above, beside]
        lower = (1 - right) * field[below, left] + right * field[below, beside]
        assert abs((1 - down) * upper + down * lower) < 1e-9
    assert ((found.rows >= 0) & (found.rows < 20) & (found.columns >= 0) & (found.columns < 15)).all()


def test_a_quarter_turn_of_the_picture_keeps_every_pinwheel() -> None:
    """Against the clock: row r and column c go to row width − 1 − c and column r; bars turn by 90°, so z by 180°."""
    field = open_columns(20, 30, 7.0)
    before, after = find_pinwheels(field, wrap=False), find_pinwheels(-np.rot90(field), wrap=False)
    assert len(before.signs) > 20
    assert places(after) == places(Pinwheels(29 - before.columns, before.rows, before.signs))


def test_a_mirror_image_keeps_every_sign_and_mirrored_places_alone_change_it() -> None:
    field = open_columns(20, 30, 7.0)
    before = find_pinwheels(field, wrap=False)
    image, moved = (find_pinwheels(np.fliplr(values), wrap=False) for values in (field.conj(), field))
    assert places(image) == places(Pinwheels(before.rows, 29 - before.columns, before.signs))
    assert places(moved) == places(Pinwheels(before.rows, 29 - before.columns, -before.signs))


def test_where_a_torus_is_cut_does_not_matter() -> None:
    field = columns(24, 30, 8.0)
    before, after = find_pinwheels(field, wrap=True), find_pinwheels(np.roll(field, (5, -7), (0, 1)), wrap=True)
    assert len(before.signs) > 20
    assert places(after) == places(Pinwheels((before.rows + 5) % 24, (before.columns - 7) % 30, before.signs))


@pytest.mark.parametrize("spacing", [6.0, 8.0, 11.0])
def test_random_columns_have_pi_pinwheels_per_square_of_their_spacing(spacing: float) -> None:
    counts = [len(find_pinwheels(columns(64, 80, spacing, seed), wrap=True).signs) for seed in range(12)]
    assert np.mean(counts) * spacing**2 / (64 * 80) == pytest.approx(np.pi, rel=0.05)


def test_a_part_of_them_has_as_many_in_the_area_between_its_units() -> None:
    counts = [len(find_pinwheels(open_columns(30, 40, 7.0, seed), wrap=False).signs) for seed in range(16)]
    assert np.mean(counts) * 7.0**2 / (29 * 39) == pytest.approx(np.pi, rel=0.06)


def test_smoothing_keeps_slow_waves_and_removes_fast_ones_as_a_gaussian_does() -> None:
    down, right = np.mgrid[:24, :32]
    for waves in ((1, 0), (2, 3), (0, 6), (5, 5)):
        field = np.exp(2j * np.pi * (waves[0] * down / 24 + waves[1] * right / 32))
        squared = (waves[0] / 24) ** 2 + (waves[1] / 32) ** 2
        found = smoothed(field.ravel(), UnitMap("torus", 24, 32), 1.5)
        assert np.abs(found - field * np.exp(-2 * np.pi**2 * 1.5**2 * squared)).max() < 1e-4


def test_smoothing_goes_around_a_torus_and_ends_at_an_edge() -> None:
    values = np.zeros((8, 9), complex)
    values[0, 0] = 1
    closed = smoothed(values.ravel(), UnitMap("torus", 8, 9), 1.0)
    assert closed[0, 0] == pytest.approx(1 / (2 * np.pi), rel=1e-3)
    assert closed[-1, -1] == pytest.approx(closed[1, 1])
    assert closed.sum() == pytest.approx(1)
    opened = smoothed(values.ravel(), UnitMap("sheet", 8, 9, wrap=False), 1.0)
    assert abs(opened[-1, -1]) < 1e-9
    assert opened[0, 0] > 0.3  # nothing lies beyond the corner
    constant = np.full(72, 2 - 1j)
    assert smoothed(constant, UnitMap("sheet", 8, 9, wrap=False), 1.0) == pytest.approx(constant.reshape(8, 9))
    assert smoothed(constant, UnitMap("torus", 8, 9), 5.0) == pytest.approx(constant.reshape(8, 9))


def test_units_without_an_orientation_do_not_count() -> None:
    values = np.full((6, 6), 1j)
    values[2:4, 1:5] = np.nan
    assert smoothed(values.ravel(), UnitMap("torus", 6, 6), 1.0) == pytest.approx(np.full((6, 6), 1j))
    nothing = smoothed(np.full(36, np.nan + 0j), UnitMap("torus", 6, 6), 1.0)
    assert (nothing == 0).all()
    assert len(find_pinwheels(nothing, wrap=True).signs) == 0


def test_the_nearest_pinwheel_may_lie_across_the_edge() -> None:
    """In a row of 20: + at 1, − at 4, + at 6, + at 19. From 19 it is 2 to the 1 and back, if the row closes."""
    found = Pinwheels(np.full(4, 3.0), np.array([1.0, 4.0, 6.0, 19.0]), np.array([1, -1, 1, 1]))
    assert opposite_neighbours(found, UnitMap("torus", 8, 20)) == 0.5
    assert opposite_neighbours(found, UnitMap("sheet", 8, 20, wrap=False)) == 0.75
    lying = Pinwheels(found.columns, found.rows, found.signs)
    assert opposite_neighbours(lying, UnitMap("torus", 20, 8)) == 0.5
    one = Pinwheels(np.ones(1), np.ones(1), np.ones(1, int))
    assert opposite_neighbours(one, UnitMap("torus", 8, 20)) is None


def test_four_in_five_pinwheels_of_random_columns_have_an_opposite_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    for seed in range(8):
        found = find_pinwheels(columns(64, 64, 8.0, seed), wrap=True)
        shares.append(opposite_neighbours(found, UnitMap("torus", 64, 64)))
    assert np.mean(np.array(shares, float)) == pytest.approx(0.8, abs=0.04)
    monkeypatch.setattr("pinwheel.pictures.pinwheels.CHUNK", 7)
    assert opposite_neighbours(found, UnitMap("torus", 64, 64)) == shares[-1]
