"""Rows of unit tiles for a sheet: tiles with captions, and the connections of a unit as tiles with bars.

A bar is as long as its weight is strong: black where it is positive, an outline where it is negative, as in the figures
of Rolfe and LeCun, ICLR 2013.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pinwheel.pictures.part_units import Partners, PartUnits
from pinwheel.pictures.sheet import BLUE, FAINT, INK, ORANGE, SMALL_SIZE, Sheet
from pinwheel.pictures.tiles import Tiles, unit_tiles
from pinwheel.pictures.unit_kinds import UnitKind

TILE_SIDE, GAP, CAPTION, BAR = 56, 6, 18, 8
KIND_COLORS: dict[UnitKind, str] = {"part": BLUE, "intermediate": FAINT, "categorical": ORANGE, "dead": FAINT}
KIND_NAMES: dict[UnitKind, str] = {"part": "part", "intermediate": "between", "categorical": "categorical"}


def tiles_of(found: PartUnits) -> Tiles:
    """What the units write, one tile for each."""
    return unit_tiles(found.decoder, TILE_SIDE)


def draw_tiles(sheet: Sheet, tiles: Tiles, left: float, top: float, captions: Sequence[str]) -> None:
    """All of them in a row, with a word under each."""
    for number, words in enumerate(captions):
        start = left + number * (tiles.width + GAP)
        sheet.tile(tiles.pixels[number], start, top, tiles.scale)
        sheet.text(start + tiles.width / 2, top + tiles.height + 9, words, SMALL_SIZE, FAINT, ha="center")


def draw_units(
    sheet: Sheet, found: PartUnits, tiles: Tiles, units: Sequence[int], left: float, top: float, below: float = 0
) -> None:
    """Those of the tiles in a row, their numbers in the colour of their kind, `below` pixels further down."""
    for place, unit in enumerate(units):
        start = left + place * (tiles.width + GAP)
        sheet.tile(tiles.pixels[unit], start, top, tiles.scale)
        middle, line = start + tiles.width / 2, top + tiles.height + 9 + below
        sheet.text(middle, line, f"{unit}", SMALL_SIZE, KIND_COLORS[found.kinds[unit]], ha="center")


def draw_connections(
    sheet: Sheet, found: PartUnits, tiles: Tiles, partners: Partners, longest: float, left: float, top: float
) -> None:
    """The partners in a row with a bar under each; a bar as wide as a tile stands for a weight of `longest`."""
    draw_units(sheet, found, tiles, partners.units, left, top, BAR + 2)
    line = top + tiles.height + 3
    for place, weight in enumerate(partners.weights):
        draw_bar(sheet, weight / longest * tiles.width, left + place * (tiles.width + GAP), line)


def draw_bar(sheet: Sheet, length: float, left: float, top: float) -> None:
    """From `left` on to the right, whatever its sign."""
    if length > 0:
        sheet.bar(left, top, length, BAR, INK)
    else:
        sheet.frame(left + 0.5, top + 0.5, max(1.0, -length - 1), BAR - 1, INK, 1)


def across(tiles: Tiles, count: int) -> float:
    """Width of so many tiles in a row."""
    return count * (tiles.width + GAP) - GAP


def strongest(*partners: Partners) -> float:
    """The largest of their weights, whatever the sign; 1 where there is none."""
    weights: NDArray[np.float64] = np.abs(np.concatenate([each.weights for each in partners]))
    return float(weights.max(initial=0.0)) or 1.0
