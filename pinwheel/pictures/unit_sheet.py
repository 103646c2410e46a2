"""One unit of a recurrent encoder: what it writes and looks for, its numbers, its classes and its connections."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pinwheel.pictures.part_units import PartUnits, unit_numbers
from pinwheel.pictures.sheet import BLUE, FAINT, HEADER, MARGIN, SMALL_SIZE, Sheet
from pinwheel.pictures.tiles import Tiles, unit_tiles
from pinwheel.pictures.unit_rows import (
    BAR,
    CAPTION,
    GAP,
    KIND_NAMES,
    across,
    draw_connections,
    strongest,
    tiles_of,
)

PARTNERS, LARGE, SPACE, TITLE, LINE = 20, 168, 26, 30, 21
NUMBERS_WIDTH, CHART_HEIGHT = 330, 130
# Names of numbers as people read them.
TOLD = {
    "angle_rad": "angle, rad",
    "plain_angle_rad": "plain angle, rad",
    "usage": "share of inputs that use it",
    "mean_active": "mean |z| when active",
    "switched_late": "switched on by others",
    "mean_decoder": "mean of the decoder",
    "explaining_away_norm": "‖(S − I) row‖",
    "self_connection": "connection to itself",
    "classifier_norm": "‖C column‖",
}


def one_unit_numbers(found: PartUnits, unit: int) -> dict[str, Any]:
    """Those of the unit, with more of its connections, and what it says for each class; null without a classifier."""
    weights = None if found.classifier is None else found.classifier[:, unit].tolist()
    return {"unit": {**unit_numbers(found, unit, PARTNERS), "class_weights": weights}}


def draw_unit(found: PartUnits, unit: int, title: str, class_names: Sequence[Any] | None = None) -> Sheet:
    tiles = tiles_of(found)
    row = tiles.height + BAR + CAPTION + GAP
    large = unit_tiles(np.stack([found.decoder[unit], found.encoder[unit]]), LARGE)
    top = HEADER + TITLE
    below = top + max(large.height + CAPTION, len(TOLD) * LINE) + SPACE
    connected = found.connections is not None
    height = below + (2 * (TITLE + row) + SPACE if connected else 0) + MARGIN / 2
    width = 2 * MARGIN + across(tiles, PARTNERS)
    sheet = Sheet(max(width, 1300), height, title, _in_words(found, unit))
    for number, words in enumerate(("what it writes (D)", "what it looks for (E)")):
        left = MARGIN + number * (large.width + SPACE)
        sheet.tile(large.pixels[number], left, top, large.scale)
        sheet.text(left + large.width / 2, top + large.height + 11, words, SMALL_SIZE, FAINT, ha="center")
    left = MARGIN + 2 * (large.width + SPACE) + 10
    _draw_numbers(sheet, found, unit, left, top)
    if found.classifier is not None:
        _draw_classes(sheet, found, unit, left + NUMBERS_WIDTH + 80, top, class_names)
    if connected:
        _draw_connections(sheet, found, tiles, unit, below)
    return sheet


def _in_words(found: PartUnits, unit: int) -> str:
    kind = found.kinds[unit]
    if kind == "dead":
        return f"unit {unit}, never used"
    words = f"unit {unit}, {'between part and category' if kind == 'intermediate' else KIND_NAMES[kind]}"
    return words + f", at an angle of {found.angle[unit]:.2f} rad"


def _draw_numbers(sheet: Sheet, found: PartUnits, unit: int, left: float, top: float) -> None:
    numbers = unit_numbers(found, unit)
    there = {name: words for name, words in TOLD.items() if numbers[name] is not None}
    for row, (name, words) in enumerate(there.items()):
        line = top + 8 + row * LINE
        sheet.text(left, line, words, color=FAINT)
        shown = f"{numbers[name]:.3g}".replace("-", "−")
        sheet.text(left + NUMBERS_WIDTH - 60, line, shown, ha="right")


def _draw_classes(
    sheet: Sheet, found: PartUnits, unit: int, left: float, top: float, class_names: Sequence[Any] | None
) -> None:
    assert found.classifier is not None
    weights = found.classifier[:, unit]
    axes = sheet.chart(left, top + 4, sheet.width - MARGIN - left, CHART_HEIGHT)
    axes.set(title="What it says about each class (column of C)")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.bar(np.arange(len(weights)), weights, color=BLUE, width=0.7)
    axes.axhline(0, color=FAINT, linewidth=1)
    if len(weights) <= 20:
        names = range(len(weights)) if class_names is None else class_names
        axes.set_xticks(range(len(weights)), [f"{name}"[:6] for name in names])


def _draw_connections(sheet: Sheet, found: PartUnits, tiles: Tiles, unit: int, top: float) -> None:
    incoming, outgoing = found.incoming(unit, PARTNERS), found.outgoing(unit, PARTNERS)
    longest = strongest(incoming, outgoing)
    row = TITLE + tiles.height + BAR + CAPTION + GAP
    heads = ("What comes into it", "What goes out of it")
    for number, (head, partners) in enumerate(zip(heads, (incoming, outgoing), strict=True)):
        line = top + number * (row + SPACE)
        words = f"{head}: black bars excite, outlines inhibit; a bar as wide as a tile is {longest:.2g}"
        sheet.text(MARGIN, line + 6, words if partners.units else f"{head}: nothing", weight="bold")
        draw_connections(sheet, found, tiles, partners, longest, MARGIN, line + TITLE)
