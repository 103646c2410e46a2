"""The picture of a map of filters: the filters where their units lie, their orientations, and their frequencies.

A map that closes on itself goes on for a few rows and columns beyond its edges, outside the marked period: there is
no seam to see. A ring is read row by row.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinwheel.pictures.mosaic import tile
from pinwheel.pictures.orientation import bars, orientation_colors
from pinwheel.pictures.sheet import (
    FAINT,
    HEADER,
    INK,
    MARGIN,
    ORANGE,
    SCALE_COLORS,
    SMALL_SIZE,
    Point,
    Sheet,
)
from pinwheel.pictures.statistics import FilterStatistics, filter_statistics
from pinwheel.pictures.tiles import Tiles, unit_tiles
from pinwheel.pictures.topography import Topography, map_differences
from pinwheel.pictures.unit_map import UnitMap

WANTED_SIDE, LONGEST_SIDE = 1000, 1600  # of all filters together: of a square map, and of a long one
LARGEST_TILE, SMALLEST_TILE = 96, 8
GAP, SPACE, TITLE, KEY, KEY_WIDTH = 1, 34, 28, 50, 160
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Repeated:
    """`units` (rows, columns) as they are drawn, −1 for nothing; the period starts at row and column `border`.

    `in_rows`: a ring, cut into rows.
    """

    units: Places
    border: int
    rows: int
    columns: int
    in_rows: bool = False


def repeated(unit_map: UnitMap) -> Repeated:
    """The units of the map in rows, with some of the period once more on each side where the map closes on itself."""
    if unit_map.layout == "ring":
        columns = math.ceil(math.sqrt(unit_map.units))
        rows = math.ceil(unit_map.units / columns)
        places = np.full(rows * columns, -1, np.int64)
        places[: unit_map.units] = np.arange(unit_map.units)
        return Repeated(places.reshape(rows, columns), 0, rows, columns, in_rows=True)
    border = max(1, round(min(unit_map.height, unit_map.width) / 8)) if unit_map.wrap else 0
    down = np.arange(-border, unit_map.height + border) % unit_map.height
    right = np.arange(-border, unit_map.width + border) % unit_map.width
    return Repeated(down[:, None] * unit_map.width + right, border, unit_map.height, unit_map.width)


@dataclass(frozen=True)
class Plan:
    """Corners and sizes on the sheet: the filters, one cell of a panel, and the corners of both panels."""

    size: tuple[int, int]
    cell: int
    panels: tuple[Point, Point]
    width: float
    height: float


def plan(places: Repeated, tiles: Tiles) -> Plan:
    """Panels stand at the right of the filters; below them where the map is wide."""
    rows, columns = places.units.shape
    width, height = columns * (tiles.width + GAP) + GAP, rows * (tiles.height + GAP) + GAP
    wide = width > 1.6 * height
    side = (width - 2 * SPACE) / 2 if wide else min(max(height, 640) / 2 - TITLE - KEY, 420)
    cell = max(2, int(side / max(places.rows, places.columns)))
    panel = max(places.columns * cell, KEY_WIDTH), places.rows * cell + KEY
    top = HEADER + TITLE
    if wide:
        below = top + height + 14 + SPACE + TITLE
        first, second = (MARGIN, below), (MARGIN + max(panel[0], side) + SPACE, below)
    else:
        right = MARGIN + width + 1.5 * SPACE
        first, second = (right, top), (right, max(top + panel[1] + TITLE + SPACE / 2, top + height - panel[1]))
    return Plan(
        (width, height),
        cell,
        (first, second),
        max(MARGIN + width, second[0] + panel[0]) + MARGIN,
        max(top + height + 14, second[1] + panel[1]) + MARGIN,
    )


def draw_topography(filters: NDArray[np.floating], unit_map: UnitMap, title: str) -> Sheet:
    """`filters` (units, height, width, 1 or 3) on `unit_map`, beside their orientations and frequencies."""
    places = repeated(unit_map)
    tiles = unit_tiles(filters, _longest_side(places))
    drawn = plan(places, tiles)
    statistics = filter_statistics(filters)
    sheet = Sheet(drawn.width, drawn.height, title, _in_words(unit_map, map_differences(statistics, unit_map)))
    _draw_filters(sheet, tiles, places)
    period = np.s_[places.border : places.border + places.rows, places.border : places.border + places.columns]
    _draw_orientations(sheet, statistics, places.units[period], drawn.panels[0], drawn.cell)
    _draw_frequencies(sheet, statistics, places.units[period], drawn.panels[1], drawn.cell)
    return sheet


def _longest_side(places: Repeated) -> int:
    """Of a tile, so that all filters together are about as large as wanted."""
    fitting = min(WANTED_SIDE / math.sqrt(places.units.size), LONGEST_SIDE / max(places.units.shape))
    return min(LARGEST_TILE, max(SMALLEST_TILE, int(fitting)))


def _in_words(unit_map: UnitMap, found: Topography) -> str:
    rows = f"{unit_map.height} × " if unit_map.height > 1 else ""
    words = f"{rows}{unit_map.width} units on a {unit_map.layout}"
    near, far = found.neighbour_orientation_difference_deg, found.random_pairs_orientation_difference_deg
    if near is not None and far is not None:
        words += f"; orientations of neighbours differ by {near:.1f}°, of any two units by {far:.1f}°"
    return words


def _draw_filters(sheet: Sheet, tiles: Tiles, places: Repeated) -> None:
    rows, columns = places.units.shape
    blank = np.full_like(tiles.pixels[:1], 255)
    shown = np.concatenate([tiles.pixels, blank])[places.units.ravel()]
    top = HEADER + TITLE
    sheet.tile(tile(shown, columns, tiles.scale, GAP), MARGIN, top)
    below = top + rows * (tiles.height + GAP) + GAP + 14
    sheet.text(MARGIN, top - 13, "Filters", weight="bold")
    if places.border:
        right, down = tiles.width + GAP, tiles.height + GAP
        corner = (MARGIN + places.border * right + GAP / 2, top + places.border * down + GAP / 2)
        sheet.frame(*corner, places.columns * right, places.rows * down, ORANGE, 2.5)
        sheet.text(MARGIN, below, "The frame holds the map once; outside the frame it repeats.", SMALL_SIZE, FAINT)
    elif places.in_rows:
        sheet.text(MARGIN, below, "The ring goes on from the end of a row to the next.", SMALL_SIZE, FAINT)


def _draw_orientations(sheet: Sheet, statistics: FilterStatistics, units: Places, corner: Point, cell: int) -> None:
    known = np.append(statistics.orientation_deg, np.nan)
    angles = known[units]
    sheet.text(corner[0], corner[1] - 13, "Orientation of the bars", weight="bold")
    sheet.tile(_hide(orientation_colors(angles), units), *corner, cell)
    if cell >= 7:
        rows, columns = (np.indices(units.shape) + 0.5) * cell
        sheet.lines(bars(rows + corner[1], columns + corner[0], angles, 0.7 * cell), INK, max(1.0, cell / 14), 4)
    key = 22.5 * np.arange(8)
    top = corner[1] + units.shape[0] * cell + 14
    sheet.tile(orientation_colors(key)[None], corner[0], top, 20)
    middles = corner[0] + 20 * (np.arange(len(key)) + 0.5)
    sheet.lines(bars(np.full_like(key, top + 10), middles, key, 13), INK, 1.4, 4)
    for angle, middle in zip(key[::2], middles[::2], strict=True):
        sheet.text(middle, top + 30, f"{angle:.0f}°", SMALL_SIZE, FAINT, ha="center")


def _draw_frequencies(sheet: Sheet, statistics: FilterStatistics, units: Places, corner: Point, cell: int) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    frequency = statistics.frequency
    finite = frequency[np.isfinite(frequency)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    shades = ScalarMappable(Normalize(low, high if high > low else low + 1e-3), SCALE_COLORS)
    sheet.text(corner[0], corner[1] - 13, "Frequency, cycles per pixel", weight="bold")
    values = np.append(frequency, np.nan)[units]
    levels = shades.to_rgba(np.nan_to_num(values, nan=low), bytes=True)[..., :3]
    levels[~np.isfinite(values)] = 190
    sheet.tile(_hide(levels, units), *corner, cell)
    bar = sheet.chart(corner[0], corner[1] + units.shape[0] * cell + 16, KEY_WIDTH, 12)
    sheet.color_bar(bar, shades)


def _hide(levels: NDArray[np.uint8], units: Places) -> NDArray[np.uint8]:
    """Paper where no unit lies."""
    return np.where(units[..., None] < 0, np.uint8(255), levels)
