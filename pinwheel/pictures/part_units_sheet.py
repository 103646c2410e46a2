"""The picture of parts and categories: charts over the angle, then the units themselves in rows of tiles.

After figures 2 to 8 of J. T. Rolfe and Y. LeCun, Discriminative Recurrent Sparse Auto-Encoders, ICLR 2013. What a model
does not have, a classifier for example, is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pinwheel.pictures.part_units import PartUnits, examples
from pinwheel.pictures.sheet import FAINT, HEADER, MARGIN, SMALL_SIZE, Sheet
from pinwheel.pictures.tiles import Tiles, unit_tiles
from pinwheel.pictures.unit_charts import Curves, Scatters
from pinwheel.pictures.unit_kinds import CATEGORICAL, PART
from pinwheel.pictures.unit_rows import (
    BAR,
    CAPTION,
    GAP,
    KIND_COLORS,
    TILE_SIDE,
    across,
    draw_connections,
    draw_tiles,
    draw_units,
    strongest,
    tiles_of,
)

WIDTH, SPACE, TITLE, HEADS = 1440, 26, 30, 18
CLASSES, CLASS_COLUMNS, NAME = 20, 2, 56
CONNECTED, EXAMPLES, FOLLOWED, PASSES = 3, 5, 5, 9  # rows of each kind; passes in a row
STEPS, COMPONENTS = (1, 2, 3, 5, 8, 13, 21), 12


class Panel(Protocol):
    """A part of the sheet, over its whole width."""

    @property
    def height(self) -> float: ...

    def draw(self, sheet: Sheet, top: float) -> None: ...


def draw_part_units(found: PartUnits, title: str, class_names: Sequence[Any] | None = None) -> Sheet:
    """All panels that there is something to show in, one below the other."""
    panels = _panels(found, class_names)
    height = HEADER + sum(panel.height + SPACE for panel in panels) + MARGIN - SPACE
    sheet = Sheet(WIDTH, height, title, _in_words(found))
    top: float = HEADER
    for panel in panels:
        panel.draw(sheet, top)
        top += panel.height + SPACE
    return sheet


def _panels(found: PartUnits, class_names: Sequence[Any] | None) -> list[Panel]:
    tiles = tiles_of(found)
    panels: list[Panel] = []
    if {"explaining_away_norm", "classifier_norm"} & set(found.columns):
        panels.append(Scatters(found))
    panels.append(Curves(found))
    if found.classifier is not None:
        panels.append(Classes(found, tiles, class_names))
    if found.connections is not None:
        panels.append(Connections(found, tiles))
    if found.example_inputs is not None:
        panels.append(Reconstructions(found))
    if found.optimal_units is not None and len(found.optimal_units):
        panels.append(Optimal(found))
    return panels


def _in_words(found: PartUnits) -> str:
    words = (
        f"{len(found.usage)} units: {found.count('part')} parts (angle below {PART} rad), "
        f"{found.count('categorical')} categorical (above {CATEGORICAL} rad), {found.count('intermediate')} between"
    )
    dead = found.count("dead")
    return words + (f", {dead} never used" if dead else "")


@dataclass(frozen=True)
class Classes:
    """The mean input of each class, and the units that speak for it most."""

    found: PartUnits
    tiles: Tiles
    names: Sequence[Any] | None

    @property
    def _count(self) -> int:
        assert self.found.classifier is not None
        return min(CLASSES, len(self.found.classifier))

    @property
    def _rows(self) -> int:
        return -(-self._count // CLASS_COLUMNS)

    @property
    def height(self) -> float:
        return TITLE + self._rows * _row(self.tiles) - GAP

    def draw(self, sheet: Sheet, top: float) -> None:
        sheet.text(MARGIN, top + 8, "Classes: their mean input, and the units that speak for them most", weight="bold")
        means = None if self.found.class_means is None else unit_tiles(self.found.class_means, TILE_SIDE)
        for label in range(self._count):
            start = MARGIN + (label // self._rows) * (WIDTH - 2 * MARGIN + 40) / CLASS_COLUMNS
            line = top + TITLE + (label % self._rows) * _row(self.tiles)
            name = f"{label}" if self.names is None else f"{self.names[label]}"
            sheet.text(start, line + self.tiles.height / 2, name[:6], weight="bold")
            if means is not None and label < len(means.pixels):
                draw_tiles(sheet, _one(means, label), start + NAME, line, ["mean"])
            units = self.found.prototypes(label)
            draw_units(sheet, self.found, self.tiles, units, start + NAME + self.tiles.width + 20, line)


@dataclass(frozen=True)
class Connections:
    """The clearest parts and the most categorical units, with those that they are connected to most."""

    found: PartUnits
    tiles: Tiles

    @property
    def _units(self) -> list[int]:
        parts, categorical = self.found.of_kind("part"), self.found.of_kind("categorical")[::-1]
        chosen = [*parts[:CONNECTED].tolist(), *categorical[:CONNECTED].tolist()]
        return chosen or self.found.of_kind("intermediate")[:CONNECTED].tolist()

    @property
    def height(self) -> float:
        return TITLE + HEADS + len(self._units) * (_row(self.tiles) + BAR + 4) - GAP

    def draw(self, sheet: Sheet, top: float) -> None:
        words = "Strongest connections; black bars excite, outlines inhibit, each row has its own scale"
        sheet.text(MARGIN, top + 8, words, weight="bold")
        coming = MARGIN + self.tiles.width + 28
        going = coming + across(self.tiles, 10) + 36
        for left, head in ((MARGIN, "unit"), (coming, "what comes into it"), (going, "what goes out of it")):
            sheet.text(left, top + TITLE + 3, head, SMALL_SIZE, FAINT)
        for row, unit in enumerate(self._units):
            line = top + TITLE + HEADS + row * (_row(self.tiles) + BAR + 4)
            incoming, outgoing = self.found.incoming(unit), self.found.outgoing(unit)
            longest = strongest(incoming, outgoing)
            draw_units(sheet, self.found, self.tiles, [unit], MARGIN, line)
            draw_connections(sheet, self.found, self.tiles, incoming, longest, coming, line)
            draw_connections(sheet, self.found, self.tiles, outgoing, longest, going, line)


@dataclass(frozen=True)
class Reconstructions:
    """Some inputs, rebuilt by more and more of the units of their codes, and those units."""

    found: PartUnits

    @property
    def _count(self) -> int:
        assert self.found.example_inputs is not None
        return min(EXAMPLES, len(self.found.example_inputs))

    @property
    def _tiles(self) -> Tiles:
        return unit_tiles(self.found.decoder[:1], TILE_SIDE)

    @property
    def height(self) -> float:
        return TITLE + HEADS + self._count * _row(self._tiles) - GAP

    def draw(self, sheet: Sheet, top: float) -> None:
        words = "Inputs rebuilt by their strongest units, what is left of ‖x‖², and what each of these units adds"
        sheet.text(MARGIN, top + 8, words, weight="bold")
        adding = MARGIN + across(self._tiles, len(STEPS) + 2) + 36
        step = self._tiles.width + GAP
        heads = [(MARGIN, "input"), *((MARGIN + (place + 1) * step, f"{n}") for place, n in enumerate(STEPS))]
        for left, head in (*heads, (MARGIN + (len(STEPS) + 1) * step, "all")):
            middle = left + self._tiles.width / 2
            sheet.text(middle, top + TITLE + 3, head, SMALL_SIZE, FAINT, ha="center")
        sheet.text(adding, top + TITLE + 3, "first, second, …", SMALL_SIZE, FAINT)
        chosen = np.linspace(0, len(examples(self.found)) - 1, self._count).round().astype(int)
        for row, number in enumerate(chosen.tolist()):
            self._draw_example(sheet, number, adding, top + TITLE + HEADS + row * _row(self._tiles))

    def _draw_example(self, sheet: Sheet, number: int, adding: float, top: float) -> None:
        assert self.found.example_inputs is not None
        assert self.found.example_codes is not None
        example, x = examples(self.found)[number], self.found.example_inputs[number].astype(np.float64)
        code = self.found.example_codes[number, -1]
        parts = code[example.units, None, None, None] * self.found.decoder[example.units].astype(np.float64)
        if len(parts) == 0:
            draw_tiles(sheet, unit_tiles(x[None], TILE_SIDE), MARGIN, top, [""])
            return
        sums = parts.cumsum(axis=0)
        steps = [min(step, len(parts)) for step in (*STEPS, len(parts))]
        shown = np.stack([x, *(sums[step - 1] for step in steps)])
        left = [_share(example.squared_error[step - 1], example.squared_norm) for step in steps]
        draw_tiles(sheet, unit_tiles(shown, TILE_SIDE, "global"), MARGIN, top, ["", *left])
        tiles = unit_tiles(parts[:COMPONENTS], TILE_SIDE)
        for place, unit in enumerate(example.units[:COMPONENTS]):
            start = adding + place * (tiles.width + GAP)
            sheet.tile(tiles.pixels[place], start, top, tiles.scale)
            color = KIND_COLORS[self.found.kinds[unit]]
            sheet.text(start + tiles.width / 2, top + tiles.height + 9, f"{unit}", SMALL_SIZE, color, ha="center")


@dataclass(frozen=True)
class Optimal:
    """What would have to be written after each pass: at the left by parts, at the right by categorical units."""

    found: PartUnits

    @property
    def _blocks(self) -> list[list[int]]:
        """Places among those that have optimal decoders."""
        assert self.found.optimal_units is not None
        categorical = [self.found.kinds[unit] == "categorical" for unit in self.found.optimal_units.tolist()]
        places = [[place for place, found in enumerate(categorical) if found == wanted] for wanted in (False, True)]
        blocks = [block for block in places if block]
        if len(blocks) == 1:  # of one kind, on both sides
            blocks = [block for block in (blocks[0][::2], blocks[0][1::2]) if block]
        return [block[:FOLLOWED] for block in blocks]

    @property
    def _tiles(self) -> Tiles:
        return unit_tiles(self.found.decoder[:1], TILE_SIDE)

    @property
    def height(self) -> float:
        rows = max(map(len, self._blocks))
        return TITLE + HEADS + rows * (self._tiles.height + GAP) - GAP

    def draw(self, sheet: Sheet, top: float) -> None:
        words = "Best decoders of the code after each pass, and D, which is learned for the last"
        sheet.text(MARGIN, top + 8, words, weight="bold")
        for number, block in enumerate(self._blocks):
            left = MARGIN + number * (WIDTH - 2 * MARGIN + 40) / 2
            self._draw_block(sheet, block, left, top + TITLE)

    def _draw_block(self, sheet: Sheet, block: list[int], left: float, top: float) -> None:
        assert self.found.optimal_decoders is not None
        assert self.found.optimal_units is not None
        assert self.found.example_passes is not None
        passes = np.unique(np.linspace(0, len(self.found.example_passes) - 1, PASSES).round().astype(int))
        heads = [*(f"{number}" for number in self.found.example_passes[passes]), "D"]
        step = self._tiles.width + GAP
        for place, head in enumerate(heads):
            middle = left + NAME + place * step + self._tiles.width / 2
            sheet.text(middle, top + 3, head, SMALL_SIZE, FAINT, ha="center")
        for row, place in enumerate(block):
            unit = int(self.found.optimal_units[place])
            line = top + HEADS + row * (self._tiles.height + GAP)
            color = KIND_COLORS[self.found.kinds[unit]]
            sheet.text(left, line + self._tiles.height / 2, f"{unit}", SMALL_SIZE, color)
            shown = self.found.optimal_decoders[passes, place].astype(np.float64)
            shown = np.concatenate([shown, self.found.decoder[unit : unit + 1]])
            draw_tiles(sheet, unit_tiles(shown, TILE_SIDE), left + NAME, line, [""] * len(shown))


def _row(tiles: Tiles) -> float:
    """Height of a row of tiles with captions."""
    return tiles.height + CAPTION + GAP


def _one(tiles: Tiles, number: int) -> Tiles:
    return Tiles(tiles.pixels[number : number + 1], tiles.scale)


def _share(error: float, whole: float) -> str:
    return f"{100 * error / whole:.0f} %" if whole > 0 else ""
