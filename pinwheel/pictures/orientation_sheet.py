"""The picture of an orientation map: the filters where their units lie, and the map of their orientations in colour.

Both are drawn to one scale, so that what meets in a pinwheel can be looked up among the filters. The colour is that of
the smoothed map between the units (cubic, E. Catmull and R. Rom, A class of local interpolating splines, 1974): hue for
orientation, dark where orientations cancel each other.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinwheel.pictures.mosaic import tile
from pinwheel.pictures.orientation import bars, orientation_colors
from pinwheel.pictures.orientation_map import OrientationMap, orientation_map
from pinwheel.pictures.sheet import BLUE, FAINT, HEADER, INK, MARGIN, ORANGE, SMALL_SIZE, Point, Sheet
from pinwheel.pictures.tiles import Tiles, unit_tiles
from pinwheel.pictures.tuning import tuning
from pinwheel.pictures.unit_map import UnitMap

WANTED_SIDE, LONGEST_SIDE = 1000, 1600  # of the map: of one with few units, and of one with many
LARGEST_TILE, SMALLEST_TILE, CLEAR_TILE = 96, 8, 15
GAP, SPACE, TITLE = 1, 40, 28
KEY_WIDTH, KEY_HEIGHT, CHART_WIDTH, CHART_HEIGHT, AXIS = 330, 54, 330, 200, 62
SMALLEST_BAR, BAR_INK = 20, "#1c1f24a0"  # pixels from one to the next; ink that lets the colour through
FULL = 0.8  # of the mean selectivity: a smoothed map of that length has the full colour, one that cancels out is dark


@dataclass(frozen=True)
class Plan:
    """Corners and sizes on the sheet: of one unit, of both panels and of the row below them."""

    unit: tuple[int, int]  # height, width
    panel: tuple[int, int]  # height, width
    corners: tuple[Point, Point]
    below: float  # top of the key
    charts: tuple[Point, Point]
    chart_width: float
    width: float
    height: float


def plan(unit_map: UnitMap, tiles: Tiles) -> Plan:
    """The map stands at the right of the filters; below them where it is wide."""
    unit = tiles.height + GAP, tiles.width + GAP
    height, width = unit_map.height * unit[0] + GAP, unit_map.width * unit[1] + GAP
    top = HEADER + TITLE
    wide = width > 1.6 * height
    second = (MARGIN, top + height + SPACE + TITLE) if wide else (MARGIN + width + SPACE, top)
    below = second[1] + height + SPACE + TITLE
    inside = max(second[0] + width - MARGIN, KEY_WIDTH + 2 * (AXIS + SPACE + CHART_WIDTH))
    third = (inside - KEY_WIDTH) / 2  # a chart with its axis and the space before it
    charts = [(MARGIN + KEY_WIDTH + number * third + SPACE + AXIS, below) for number in range(2)]
    return Plan(
        unit,
        (height, width),
        ((MARGIN, top), second),
        below,
        (charts[0], charts[1]),
        third - SPACE - AXIS,
        inside + 2 * MARGIN,
        below + CHART_HEIGHT + 48 + MARGIN,
    )


def draw_orientation(filters: NDArray[np.floating], unit_map: UnitMap, title: str) -> Sheet:
    """`filters` (units, height, width, 1 or 3) on `unit_map` of at least two rows and columns, and their map."""
    found = orientation_map(tuning(filters), unit_map)
    tiles = unit_tiles(filters, _longest_side(unit_map))
    drawn = plan(unit_map, tiles)
    sheet = Sheet(drawn.width, drawn.height, title, _in_words(found))
    _draw_filters(sheet, tiles, unit_map, drawn)
    _draw_map(sheet, found, drawn)
    _draw_key(sheet, MARGIN, drawn.below)
    _draw_spectrum(sheet, found, drawn.charts[0], drawn.chart_width)
    _draw_differences(sheet, found, drawn.charts[1], drawn.chart_width)
    return sheet


def _longest_side(unit_map: UnitMap) -> int:
    """Of a tile, so that the map is about as large as wanted and its filters can be told apart."""
    wanted = max(WANTED_SIDE / math.sqrt(unit_map.units), CLEAR_TILE)
    fitting = min(wanted, LONGEST_SIDE / max(unit_map.height, unit_map.width) - GAP)
    return min(LARGEST_TILE, max(SMALLEST_TILE, int(fitting)))


def _in_words(found: OrientationMap) -> str:
    layout, numbers = found.unit_map, found.numbers
    words = f"{layout.height} × {layout.width} units on a {layout.layout}"
    if found.oriented_units == 0:
        return f"{words}; none has an orientation"
    words += f"; pinwheels: {numbers.num_positive} of +½, {numbers.num_negative} of −½"
    if numbers.spacing_units is not None:
        words += f"; columns {numbers.spacing_units:.1f} units apart, {numbers.pinwheel_density:.2f} pinwheels per Λ²"
    else:
        words += "; no spacing of columns stands out"
    near, shuffled = (of.neighbour_orientation_difference_deg for of in (numbers, found.shuffled))
    if near is not None and shuffled is not None:
        words += f"; neighbours differ by {near:.1f}°, shuffled by {shuffled:.1f}°"
    return words


def _draw_filters(sheet: Sheet, tiles: Tiles, unit_map: UnitMap, drawn: Plan) -> None:
    left, top = drawn.corners[0]
    sheet.text(left, top - 13, "Filters", weight="bold")
    sheet.tile(tile(tiles.pixels, unit_map.width, tiles.scale, GAP), left, top)
    if unit_map.wrap:
        words = "Left and right edge are neighbours, so are top and bottom."
        sheet.text(left, top + drawn.panel[0] + 14, words, SMALL_SIZE, FAINT)


def _draw_map(sheet: Sheet, found: OrientationMap, drawn: Plan) -> None:
    left, top = drawn.corners[1]
    sheet.text(left, top - 13, "Orientation of the bars, and pinwheels", weight="bold")
    sheet.tile(map_pixels(found, drawn.panel), left, top)
    _draw_bars(sheet, found, drawn)
    places = found.pinwheels
    # On a map that closes a pinwheel may lie beyond the last unit, which is before the first.
    down = np.mod(places.rows + 0.5, found.unit_map.height) * drawn.unit[0] + top
    right = np.mod(places.columns + 0.5, found.unit_map.width) * drawn.unit[1] + left
    size = min(11.0, max(5.5, 0.45 * min(drawn.unit)))
    for sign in (1, -1):
        _mark(sheet, right[places.signs == sign], down[places.signs == sign], sign, size)


def _draw_bars(sheet: Sheet, found: OrientationMap, drawn: Plan) -> None:
    """Bars along the smoothed map, one for each unit, or for some where units are drawn small."""
    left, top = drawn.corners[1]
    every = math.ceil(SMALLEST_BAR / min(drawn.unit))
    field = found.field[every // 2 :: every, every // 2 :: every]
    rows, columns = (every * np.indices(field.shape) + every // 2 + 0.5).reshape(2, -1)
    angles = np.where(field != 0, np.degrees(np.angle(field)) / 2, np.nan).ravel()
    length = 0.62 * every * min(drawn.unit)
    lines = bars(top + rows * drawn.unit[0], left + columns * drawn.unit[1], angles, length)
    sheet.lines(lines, BAR_INK, max(1.0, length / 11), 4)


def _mark(sheet: Sheet, x: NDArray[np.float64], y: NDArray[np.float64], sign: int, size: float) -> None:
    """White discs for +½, black squares for −½."""
    marker, face, edge = ("o", "white", INK) if sign > 0 else ("s", INK, "white")
    sheet.axes.plot(
        x,
        y,
        linestyle="none",
        marker=marker,
        markersize=size if sign > 0 else 0.86 * size,
        markerfacecolor=face,
        markeredgecolor=edge,
        markeredgewidth=1.2,
        zorder=5,
    )


def map_pixels(found: OrientationMap, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(height, width, 3) The smoothed map in colours, `size` pixels in all."""
    down = _between(found.unit_map.height, size[0], found.unit_map.wrap)
    right = _between(found.unit_map.width, size[1], found.unit_map.wrap)
    field = down @ found.field @ right.T
    if found.mean_selectivity is None:
        return orientation_colors(np.full(size, np.nan))
    strength = np.abs(field) / (FULL * found.mean_selectivity)
    return orientation_colors(np.degrees(np.angle(field)) / 2, strength)


def _between(units: int, pixels: int, wrap: bool) -> NDArray[np.float64]:
    """(pixels, units) What each pixel takes of each unit, on the cubic through the four units around it."""
    place = (np.arange(pixels) + 0.5) * units / pixels - 0.5
    first = np.floor(place).astype(np.int64)
    t = place - first
    shares = (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    weights = np.zeros((pixels, units))
    for offset, share in enumerate(shares):
        unit = first + offset - 1
        unit = unit % units if wrap else np.clip(unit, 0, units - 1)
        np.add.at(weights, (np.arange(pixels), unit), share)
    return weights


def _draw_key(sheet: Sheet, left: float, top: float) -> None:
    """Hue and darkness with bars over them, and the marks of pinwheels."""
    sheet.text(left, top - 13, "Key", weight="bold")
    across = 180 * (np.arange(KEY_WIDTH) + 0.5) / KEY_WIDTH
    strength = 1 - (np.arange(KEY_HEIGHT) + 0.5) / KEY_HEIGHT
    sheet.tile(orientation_colors(*np.broadcast_arrays(across, strength[:, None])), left, top)
    angles = 22.5 * (np.arange(8) + 0.5)
    middles = left + KEY_WIDTH * angles / 180
    sheet.lines(bars(np.full(8, top + 15), middles, angles, 20), INK, 1.8, 4)
    for angle in (0, 45, 90, 135, 180):
        sheet.text(left + KEY_WIDTH * angle / 180, top + KEY_HEIGHT + 11, f"{angle}°", SMALL_SIZE, FAINT, ha="center")
    for row, (sign, words) in enumerate(
        ((1, "+½: orientations turn the way one walks around"), (-1, "−½: they turn against it"))
    ):
        line = top + KEY_HEIGHT + 46 + 24 * row
        _mark(sheet, np.array([left + 8.0]), np.array([line]), sign, 9)
        sheet.text(left + 24, line, words)


def _draw_spectrum(sheet: Sheet, found: OrientationMap, corner: Point, width: float) -> None:
    waves = found.spectrum
    axes = sheet.chart(
        *corner, width, CHART_HEIGHT, xlabel="cycles per unit", ylabel="power, chance is 1", xlim=(0, 0.5)
    )
    axes.set_title("Spectrum of the map")
    axes.grid(axis="y")
    axes.locator_params(axis="y", nbins=4)
    axes.axhline(1, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.fill_between(waves.frequency, 0, waves.power, color=BLUE, alpha=0.12, linewidth=0)
    axes.plot(waves.frequency, waves.power, color=BLUE, linewidth=2)
    highest = max(2.0, 1.18 * float(waves.power.max(initial=0)))
    axes.set_ylim(0, highest)
    if waves.spacing is None:
        axes.text(0.49, 0.95 * highest, "no peak", color=FAINT, fontsize=SMALL_SIZE, ha="right", va="top")
        return
    peak = 1 / waves.spacing
    axes.plot(waves.frequency, waves.fitted, color=INK, linewidth=1, linestyle=(0, (1, 2)))
    axes.axvline(peak, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    words = f"Λ = {waves.spacing:.1f} units"
    aside, side = (0.012, "left") if peak < 0.3 else (-0.012, "right")
    axes.text(peak + aside, 0.95 * highest, words, color=INK, fontsize=SMALL_SIZE, ha=side, va="top")


def _draw_differences(sheet: Sheet, found: OrientationMap, corner: Point, width: float) -> None:
    axes = sheet.chart(*corner, width, CHART_HEIGHT, xlabel="distance in units", ylabel="degrees", ylim=(0, 90))
    axes.set_title("How much orientations differ")
    axes.grid(axis="y")
    axes.set_yticks([0, 45, 90])
    for numbers, color, name in ((found.shuffled, ORANGE, "shuffled"), (found.numbers, BLUE, "map")):
        curve = [math.nan if value is None else value for value in numbers.orientation_differences_deg]
        axes.plot(numbers.distances_units, curve, color=color, linewidth=2, marker="o", markersize=4, label=name)
    axes.set_xlim(0, 1.04 * max(found.numbers.distances_units))
    if found.spectrum.spacing is not None:
        axes.axvline(found.spectrum.spacing, ymax=0.86, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.legend(frameon=False, fontsize=SMALL_SIZE, loc="upper right", ncols=2)
