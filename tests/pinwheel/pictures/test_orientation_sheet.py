"""The picture of an orientation map: what stands where, for maps of all shapes, and for those with nothing to show."""

import io
import re

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from numpy.typing import NDArray
from orientation_fields import columns, gabor_filters, open_columns, pinwheel
from PIL import Image

from pinwheel.pictures.orientation import orientation_colors
from pinwheel.pictures.orientation_map import OrientationMap, orientation_map
from pinwheel.pictures.orientation_sheet import draw_orientation, map_pixels, plan
from pinwheel.pictures.sheet import MAX_SHEET_PIXELS, Sheet, picture
from pinwheel.pictures.tiles import Tiles
from pinwheel.pictures.topography import orientation_difference
from pinwheel.pictures.tuning import Tuning, tuning
from pinwheel.pictures.unit_map import UnitMap

NOISE = np.random.default_rng(0).normal(size=(400, 8, 8, 1))


def sheet_of(filters: NDArray[np.floating], unit_map: UnitMap) -> Sheet:
    drawn: list[Sheet] = []

    def draw() -> Sheet:
        drawn.append(draw_orientation(filters, unit_map, "name@1 · orientation"))
        return drawn[0]

    assert picture(draw, "png").startswith(b"\x89PNG")
    return drawn[0]


def measured(field: NDArray[np.complex128], wrap: bool) -> OrientationMap:
    degrees = np.mod(np.degrees(np.angle(field)).ravel() / 2, 180)
    tuned = Tuning(degrees, np.abs(field).ravel(), np.full(degrees.size, 0.2))
    return orientation_map(tuned, UnitMap("torus", *field.shape, wrap))


def marks(sheet: Sheet) -> list[NDArray[np.float64]]:
    """(marks, x and y) of pinwheels of +½ and of −½."""
    return [np.asarray(line.get_xydata()) for line in sheet.axes.lines[:2]]


def words(sheet: Sheet) -> str:
    return sheet.axes.texts[1].get_text()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_pinwheel_is_marked_where_it_lies_among_the_filters(sign: int) -> None:
    unit_map = UnitMap("sheet", 7, 9, wrap=False)
    sheet = sheet_of(gabor_filters(pinwheel(7, 9, 2.5, 4.5, sign)), unit_map)
    (mosaic, left, top, scale), (colours, right, also_top, _) = sheet.tiles[:2]
    assert (mosaic.shape[0] * scale, top) == (colours.shape[0], also_top)
    with_it, without = marks(sheet) if sign > 0 else marks(sheet)[::-1]
    assert (len(with_it), len(without)) == (1, 0)
    unit = mosaic.shape[1] * scale / 9
    assert with_it[0] == pytest.approx([right + 5 * unit, top + 3 * unit], abs=0.3 * unit)
    assert f"{int(sign > 0)} of +½, {int(sign < 0)} of −½" in words(sheet)
    assert left < right


def test_bars_lie_on_their_units_along_their_orientations() -> None:
    """From left to right they turn by 15° from unit to unit, beginning with 15°."""
    field = np.exp(2j * np.radians(15 * (1 + np.arange(11)))) * np.ones((4, 1))
    sheet = sheet_of(gabor_filters(field), UnitMap("sheet", 4, 11, wrap=False))
    pixels, left, top, _ = sheet.tiles[1]
    lines = sheet.axes.collections[0]
    assert isinstance(lines, LineCollection)
    ends = np.array(lines.get_segments()).reshape(4, 11, 2, 2)
    middles = (ends.mean(axis=2) - [left, top]) / [pixels.shape[1] / 11, pixels.shape[0] / 4]
    assert middles[..., 0] == pytest.approx(np.broadcast_to(np.arange(11) + 0.5, (4, 11)), abs=0.02)
    assert middles[..., 1] == pytest.approx(np.broadcast_to(np.arange(4)[:, None] + 0.5, (4, 11)), abs=0.02)
    right, down = (ends[:, :, 1] - ends[:, :, 0]).transpose(2, 0, 1)
    angles = np.degrees(np.arctan2(-down, right))[:, 2:-2]
    assert orientation_difference(angles, 15.0 * np.arange(3, 10)).max() < 2


def test_marks_are_as_many_as_the_pinwheels_and_lie_on_the_map() -> None:
    field = columns(20, 24, 7.0)
    found = orientation_map(tuning(gabor_filters(field)), UnitMap("torus", 20, 24))
    sheet = sheet_of(gabor_filters(field), UnitMap("torus", 20, 24))
    assert [len(places) for places in marks(sheet)] == [found.numbers.num_positive, found.numbers.num_negative]
    pixels, left, top, _ = sheet.tiles[1]
    everywhere = np.concatenate(marks(sheet))
    assert (everywhere >= [left, top]).all()
    assert (everywhere <= [left + pixels.shape[1], top + pixels.shape[0]]).all()
    assert f"; columns {found.numbers.spacing_units:.1f} units apart, {found.numbers.pinwheel_density:.2f} " in words(
        sheet
    )


@pytest.mark.parametrize("wrap", [True, False])
def test_a_unit_has_the_colour_of_the_smoothed_map_in_its_middle(wrap: bool) -> None:
    found = measured(columns(10, 12, 5.0), wrap)
    pixels = map_pixels(found, (10 * 9, 12 * 9))[4::9, 4::9].astype(int)
    assert found.mean_selectivity is not None
    strength = np.abs(found.field) / (0.8 * found.mean_selectivity)
    assert np.abs(pixels - orientation_colors(np.degrees(np.angle(found.field)) / 2, strength)).max() <= 1


def test_colours_go_on_around_a_torus_and_meet_no_edge() -> None:
    closed = map_pixels(measured(columns(16, 16, 8.0), wrap=True), (160, 160)).astype(int)
    inside = np.abs(np.diff(closed, axis=1)).max()
    assert np.abs(closed[:, 0] - closed[:, -1]).max() <= inside
    assert np.abs(closed[0] - closed[-1]).max() <= np.abs(np.diff(closed, axis=0)).max()
    opened = map_pixels(measured(open_columns(16, 16, 8.0), wrap=False), (160, 160)).astype(int)
    assert np.abs(opened[:, 0] - opened[:, -1]).max() > 2 * np.abs(np.diff(opened, axis=1)).max()


def test_order_is_bright_and_disorder_dark() -> None:
    ordered, by_chance = columns(24, 24, 8.0), np.exp(2j * np.pi * np.random.default_rng(0).uniform(size=(24, 24)))
    light, dark = (map_pixels(measured(field / np.abs(field), True), (96, 96)).mean() for field in (ordered, by_chance))
    assert light > dark + 40


def test_strength_goes_from_one_dark_gray_to_the_full_colour() -> None:
    angles = np.arange(0, 180, 10.0)
    dark = orientation_colors(angles, np.zeros(18))
    assert np.unique(dark).size == 1
    assert dark.max() < 60
    assert (orientation_colors(angles, np.ones(18)) == orientation_colors(angles)).all()
    assert (orientation_colors(angles, np.full(18, 7.0)) == orientation_colors(angles)).all()
    half = orientation_colors(angles, np.full(18, 0.5)).sum(axis=1)
    assert (half > dark.astype(int).sum(axis=1)).all()
    assert (half < orientation_colors(angles).sum(axis=1)).all()


@pytest.mark.parametrize(
    ("unit_map", "wide"),
    [
        (UnitMap("torus", 20, 20), False),
        (UnitMap("sheet", 40, 10, wrap=False), False),
        (UnitMap("torus", 8, 50), True),
        (UnitMap("torus", 2, 2), False),
        (UnitMap("sheet", 2, 200, wrap=False), True),
    ],
)
def test_the_map_stands_beside_the_filters_or_below_them_where_it_is_wide(unit_map: UnitMap, wide: bool) -> None:
    sheet = sheet_of(NOISE[: unit_map.units], unit_map)
    (mosaic, left, top, scale), (colours, right, below, _) = sheet.tiles[:2]
    assert (mosaic.shape[0] * scale, mosaic.shape[1] * scale) == pytest.approx(colours.shape[:2], abs=scale)
    assert (right == left, below == top) == (wide, not wide)
    assert max(colours.shape) < 1900
    for pixels, start, high, size in sheet.tiles:
        assert start + pixels.shape[1] * size <= sheet.width
        assert high + pixels.shape[0] * size <= sheet.height
    for axes in sheet.figure.axes[1:]:
        assert axes.bbox.x0 > 0
        assert axes.bbox.x1 <= sheet.width
        assert axes.bbox.width > 300


def test_a_map_of_ten_thousand_units_fits_with_filters_that_can_be_told_apart() -> None:
    filters = np.random.default_rng(0).normal(size=(10_000, 20, 20, 1)).astype(np.float32)
    sheet = draw_orientation(filters, UnitMap("torus", 100, 100), "only planned, not painted")
    assert sheet.width * sheet.height < MAX_SHEET_PIXELS
    pixels, _, _, scale = sheet.tiles[0]
    assert (pixels.shape[0] * scale - 1) / 100 == 16
    assert max(pixels.shape) * scale <= 1601


def test_small_filters_are_enlarged_by_whole_pixels() -> None:
    drawn = plan(UnitMap("torus", 10, 12), Tiles(np.zeros((120, 8, 8, 1), np.uint8), 11))
    assert drawn.unit == (89, 89)
    assert drawn.panel == (891, 1069)


def test_pictures_without_orientations_pinwheels_or_columns_say_so() -> None:
    flat = sheet_of(np.ones((36, 8, 8, 1)), UnitMap("torus", 6, 6))
    assert words(flat) == "6 × 6 units on a torus; none has an orientation"
    assert np.unique(flat.tiles[1][0]).size == 1
    one = np.full((8, 8), np.exp(1j))
    same = sheet_of(gabor_filters(one), UnitMap("sheet", 8, 8, wrap=False))
    assert "pinwheels: 0 of +½, 0 of −½; no spacing of columns stands out" in words(same)
    assert re.search(r"neighbours differ by 0\.\d°, shuffled by 0\.\d°$", words(same))
    broken = np.full((9, 8, 8, 1), np.nan)
    assert "none has an orientation" in words(sheet_of(broken, UnitMap("torus", 3, 3)))


def test_coloured_filters_and_svg_are_drawn_the_same_every_time() -> None:
    filters = np.random.default_rng(0).normal(size=(30, 6, 9, 3))
    for format in ("png", "svg"):
        first, second = (
            picture(lambda: draw_orientation(filters, UnitMap("torus", 5, 6), "colour"), format) for _ in range(2)
        )
        assert first == second
    assert b"<svg" in first
    image = Image.open(io.BytesIO(picture(lambda: draw_orientation(filters, UnitMap("torus", 5, 6), "c"), "png")))
    assert image.mode == "RGB"
