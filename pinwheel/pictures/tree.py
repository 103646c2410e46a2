"""The tree of units as a picture: each root at the centre, its descendants on rings around it, edges between them.

After the figure of inhibition on a tree in Y. LeCun's lecture on sparse coding (A. Szlam, K. Gregor, Y. LeCun,
Structured sparse coding via lateral inhibition, NIPS 2011): coarse filters at the centre, finer ones outwards.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.errors import InvalidRequest
from pinwheel.pictures.sheet import BLUE, FAINT, HEADER, MARGIN, ORANGE, Sheet, check_size
from pinwheel.pictures.tiles import Tiles, unit_tiles
from pinwheel.pictures.tree_layout import Forest, forest, grown, least_side
from pinwheel.pictures.unit_map import depths

LARGEST_TILE, MOST_TILES, MOST_LANES = 56, 5000, 6
REDUCED = (48, 36, 27, 20, 14)
WANTED_SIDE, SPACE, TITLE = 1500, 24, 28
CHART_WIDTH, CHART_SPACE, BAR_STEP = 260, 30, 26
EDGE, MANY = "#9aa3af", 60


@dataclass(frozen=True)
class Depth:
    """The units at one distance from their roots, and the mean share of inputs that activate them."""

    depth: int
    units: int
    usage: float


def usage_by_depth(parent: NDArray[np.integer], usage: NDArray[np.floating]) -> list[Depth]:
    """From the roots outwards. `parent` and `usage` (units,)."""
    depth = depths(parent)
    return [
        Depth(level, int((depth == level).sum()), float(usage[depth == level].mean(dtype=np.float64)))
        for level in range(int(depth.max()) + 1)
    ]


def tree_numbers(parent: NDArray[np.integer], usage: NDArray[np.floating]) -> dict[str, Any]:
    """What the picture shows, in numbers. `falls`: units are used less, on average, the deeper they lie."""
    by_depth = usage_by_depth(parent, usage)
    means = [level.usage for level in by_depth]
    return {
        "trees": int((parent < 0).sum()),
        "parent": parent.tolist(),
        "depth": depths(parent).tolist(),
        "by_depth": [vars(level) for level in by_depth],
        "falls": all(deeper < above for above, deeper in pairwise(means)),
    }


def draw_tree(
    filters: NDArray[np.floating], parent: NDArray[np.integer], usage: NDArray[np.floating], title: str
) -> Sheet:
    """`filters` (units, height, width, 1 or 3) as the tree of `parent` (units,); those never used are framed."""
    tiles, drawn = _fitting(filters, parent)
    levels = usage_by_depth(parent, usage)
    top = HEADER + 4
    right = MARGIN + drawn.width + CHART_SPACE
    bottom = max(top + drawn.height, top + TITLE + len(levels) * BAR_STEP)
    sheet = Sheet(right + CHART_WIDTH + MARGIN, bottom + MARGIN, title, _in_words(levels, parent, usage))
    places = drawn.places + np.array([MARGIN, top])
    _draw_edges(sheet, places, parent)
    for unit, (x, y) in enumerate(places.tolist()):
        left, upper = round(x - tiles.width / 2), round(y - tiles.height / 2)
        sheet.tile(tiles.pixels[unit], left, upper, tiles.scale)
        if usage[unit] <= 0:
            sheet.frame(left - 1, upper - 1, tiles.width + 2, tiles.height + 2, ORANGE, 2)
    _draw_usage(sheet, right, top + TITLE, levels)
    return sheet


def _fitting(filters: NDArray[np.floating], parent: NDArray[np.integer]) -> tuple[Tiles, Forest]:
    """The largest tiles, and with them the fewest lanes, that make the trees about as large as wanted.

    Raises `InvalidRequest` where even the smallest do not fit.
    """
    if len(parent) > MOST_TILES:
        raise InvalidRequest(f"The tree has {len(parent)} units; at most {MOST_TILES} are drawn. Ask for json.")
    deepest = int(depths(parent).max())
    trees = cache(lambda lanes: grown(parent, lanes))
    for longest in _sizes(max(filters.shape[1:3])):
        tiles = unit_tiles(filters, longest)
        side = max(tiles.height, tiles.width)
        for lanes in range(1, MOST_LANES + 1):
            if least_side(len(parent), deepest, side) > WANTED_SIDE:
                break
            drawn = forest(trees(lanes), side, SPACE)
            if max(drawn.width, drawn.height) <= WANTED_SIDE:
                return tiles, drawn
    check_size(least_side(len(parent), deepest, side), least_side(1, deepest, side))
    drawn = forest(trees(MOST_LANES), side, SPACE)
    check_size(drawn.width, drawn.height)
    return tiles, drawn


def _sizes(side: int) -> list[int]:
    """Sides of tiles to try: small filters in whole pixels, then reduced ones, down to the last of `REDUCED`."""
    whole = [side * scale for scale in range(LARGEST_TILE // side, 0, -1)]
    return [*whole, *(size for size in REDUCED if size < side)] or [side]


def _in_words(levels: list[Depth], parent: NDArray[np.integer], usage: NDArray[np.floating]) -> str:
    trees, dead = int((parent < 0).sum()), int((usage <= 0).sum())
    sizes = " + ".join(str(level.units) for level in levels)
    words = f"{len(parent)} units = {sizes}" if trees == 1 else f"{trees} trees, {len(parent)} units = {sizes}"
    return words + (f"; {dead} never used (framed)" if dead else "")


def _draw_edges(sheet: Sheet, places: NDArray[np.float64], parent: NDArray[np.integer]) -> None:
    depth = depths(parent)
    for level in range(1, int(depth.max()) + 1):
        units = np.flatnonzero(depth == level)
        paths = np.stack([places[parent[units]], places[units]], axis=1)
        sheet.lines(paths, EDGE, 0.9 if len(units) > MANY else max(0.9, 2.4 - 0.5 * level))


def _draw_usage(sheet: Sheet, left: float, top: float, levels: list[Depth]) -> None:
    sheet.text(left, top - 13, "Mean usage by depth", weight="bold")
    most = max(max(level.usage for level in levels), 1e-12)
    for row, level in enumerate(levels):
        middle = top + (row + 0.5) * BAR_STEP
        sheet.text(left + 12, middle, str(level.depth), color=FAINT, ha="right")
        long = (CHART_WIDTH - 80) * level.usage / most
        sheet.bar(left + 22, middle - 8, long, 16, BLUE)
        sheet.text(left + 28 + long, middle, f"{level.usage:.3f}")
