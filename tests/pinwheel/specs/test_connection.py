"""Filters on images: which images they fit, what their codes look like, and refusals that say what would fit."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pinwheel.specs import Connection, Conv, Dense, Local


def tops(side: int, size: int, stride: int, padding: int) -> list[int]:
    """Where fields begin along a side, one by one."""
    return [top for top in range(-padding, side + padding - size + 1) if (top + padding) % stride == 0]


def unseen(side: int, size: int, stride: int, padding: int) -> int:
    """Pixels of a side that are in none of them."""
    seen = {pixel for top in tops(side, size, stride, padding) for pixel in range(top, top + size)}
    return side - len(seen & set(range(side)))


def numbers(text: object) -> set[int]:
    return set(map(int, re.findall(r"\d+", str(text))))


@settings(max_examples=300, deadline=None)
@given(data=st.data(), side=st.integers(1, 40), size=st.integers(1, 12))
def test_kernels_are_counted_where_they_see_every_pixel_and_refused_elsewhere(
    data: st.DataObject, side: int, size: int
) -> None:
    stride, padding = data.draw(st.integers(1, size)), data.draw(st.integers(0, size - 1))
    connection = Conv(units=3, kernel_size=size, stride=stride, padding=padding)
    places, missed = tops(side, size, stride, padding), unseen(side, size, stride, padding)
    if places and not missed:
        assert connection.code_shape((side, side, 1)) == (len(places), len(places), 3)
        return
    with pytest.raises(ValueError, match="fit") as refused:
        connection.code_shape((side, side, 2))
    if not places:
        assert {side, size, padding} <= numbers(refused.value)
        return
    assert {side, size, stride, missed, padding} <= numbers(refused.value)
    (better,) = re.findall(r"images of (\d+) fit", str(refused.value))
    assert connection.code_shape((int(better), int(better), 1))[2] == 3


@settings(max_examples=300, deadline=None)
@given(data=st.data(), side=st.integers(2, 60), size=st.integers(2, 12), per=st.sampled_from([1, 4, 9, 16]))
def test_fields_are_counted_where_they_see_every_pixel_and_refused_elsewhere(
    data: st.DataObject, side: int, size: int, per: int
) -> None:
    stride = data.draw(st.integers(1, size))
    connection = Local(field_size=size, field_stride=stride, units_per_position=per)  # type: ignore[arg-type]
    places, missed = tops(side, size, stride, 0), unseen(side, size, stride, 0)
    if places and not missed:
        assert connection.positions((side, side, 1)) == (len(places), len(places))
        sheet = len(places) * connection.side
        assert connection.side**2 == per
        assert connection.code_shape((side, side, 3)) == (sheet, sheet, 1)
        assert connection.map_shape((side, side, 3)) == (sheet, sheet)
        return
    with pytest.raises(ValueError, match="fit") as refused:
        connection.positions((side, side, 1))
    if not places:
        assert {side, size} <= numbers(refused.value)
        return
    assert {side, size, stride, missed} <= numbers(refused.value)
    (better,) = re.findall(r"images of (\d+) fit", str(refused.value))
    assert connection.positions((int(better), int(better), 1))


@settings(max_examples=200, deadline=None)
@given(data=st.data(), count=st.integers(1, 30), size=st.integers(2, 9), tile=st.integers(2, 12))
def test_tiles_fill_the_positions_or_are_refused_with_sizes_that_they_fill(
    data: st.DataObject, count: int, size: int, tile: int
) -> None:
    stride = data.draw(st.integers(1, size))
    connection = Local(field_size=size, field_stride=stride, tile=tile, units_per_position=4)
    side = (count - 1) * stride + size
    if count % tile == 0:
        assert connection.positions((side, side, 1)) == (count, count)
        assert connection.map_shape((side, side, 1)) == (2 * tile, 2 * tile)
        assert connection.code_shape((side, side, 1)) == (2 * count, 2 * count, 1)
        return
    with pytest.raises(ValueError, match="whole tiles") as refused:
        connection.positions((side, side, 1))
    assert {side, count, tile} <= numbers(refused.value)
    (better,) = re.findall(r"images of (\d+), (\d+), … pixels a side have whole tiles", str(refused.value))
    for times, each in enumerate(map(int, better), 1):
        assert connection.positions((each, each, 1)) == (times * tile, times * tile)


def test_sides_are_looked_at_apart() -> None:
    assert Conv(units=2, kernel_size=3, stride=2).code_shape((9, 15, 1)) == (4, 7, 2)
    assert Local(field_size=3, tile=2).code_shape((6, 8, 1)) == (4, 6, 1)
    assert Local(field_size=3, tile=2, units_per_position=9).map_shape((6, 8, 1)) == (6, 6)
    with pytest.raises(ValueError, match="images are 9 × 2"):
        Conv(units=2, kernel_size=3).code_shape((9, 2, 1))
    with pytest.raises(ValueError, match="4 × 5 positions, which tiles of 2"):
        Local(field_size=3, tile=2).positions((6, 7, 1))


def test_what_repeats_or_is_shared_counts_once() -> None:
    assert (Dense(units=7).filters, Dense(units=7).code_shape((5, 6, 3))) == (7, (1, 1, 7))
    assert Conv(units=7).filters == 7


# A kernel and its stride or padding, and what is said of both numbers.
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a stride beyond the kernel": (lambda: Conv(kernel_size=3, stride=4), "stride 4 with kernels of 3 pixels"),
    "a padding that sees nothing": (lambda: Conv(kernel_size=3, padding=3), "padding 3 lets kernels of 3 pixels see"),
    "a stride beyond the field": (
        lambda: Local(field_size=5, field_stride=6),
        "field_stride 6 with fields of 5 pixels",
    ),
    "positions that are no square": (lambda: Local(units_per_position=2), "1, 4, 9 or 16"),  # type: ignore[arg-type]
    "a tile of one": (lambda: Local(tile=1), "greater than or equal to 2"),
    "a field of one pixel": (lambda: Local(field_size=1), "greater than or equal to 2"),
    "no kernel": (lambda: Conv(units=0), "greater than or equal to 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_leaves_pixels_unseen_whatever_the_image_is_refused_by_itself(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(ValidationError, match=said):
        make()


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_every_connection_survives_json(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 9))
    connection = data.draw(
        st.one_of(
            st.builds(Dense, units=st.integers(1, 9)),
            st.builds(Conv, kernel_size=st.just(size), stride=st.integers(1, size), padding=st.integers(0, size - 1)),
            st.builds(Local, field_size=st.just(size), tile=st.none() | st.integers(2, 9)),
        )
    )
    assert TypeAdapter(Connection).validate_json(connection.model_dump_json()) == connection
