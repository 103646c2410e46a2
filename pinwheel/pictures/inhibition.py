"""Who silences whom: the inhibition matrix, in numbers and as a picture.

Inhibition works if units that inhibit each other are rarely active together: the share of inputs with both units
active (co-activation) is compared between pairs with inhibition > 0 and pairs without.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.pictures.sheet import FAINT, HEADER, MARGIN, SCALE_COLORS, SMALL_SIZE, Sheet
from pinwheel.pictures.tiles import Tiles, unit_tiles

Matrix = NDArray[np.floating]
WANTED_SIDE, BAR_WIDTH, SPACE, TITLE = 640, 14, 40, 28
ROWS, PARTNERS, TILE_SIDE = 7, 6, 48


@dataclass(frozen=True)
class CoActivation:
    """Mean shares of inputs that activate both units of a pair; None where there is no such pair.

    ratio: inhibited / free.  correlation: of inhibition and co-activation over pairs, None where either is constant.
    """

    inhibited: float | None
    free: float | None
    ratio: float | None
    correlation: float | None


@dataclass(frozen=True)
class InhibitionNumbers:
    """What the matrix (units, units) is like. min, max: of entries off the diagonal. row_sum: mean, min, max."""

    units: int
    symmetric: bool
    min: float
    max: float
    row_sum: dict[str, float]
    inhibited_pairs: int
    free_pairs: int
    coactivation: CoActivation | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def inhibition_numbers(inhibition: Matrix, coactivation: Matrix | None = None) -> InhibitionNumbers:
    """The numbers of `inhibition` and `coactivation`, both (units, units)."""
    matrix = inhibition.astype(np.float64)
    pairs = np.triu_indices(len(matrix), 1)
    others = matrix[~np.eye(len(matrix), dtype=bool)]
    inhibited = int((matrix[pairs] > 0).sum())
    rows = matrix.sum(axis=1)
    return InhibitionNumbers(
        len(matrix),
        bool(np.allclose(matrix, matrix.T, rtol=0, atol=1e-6 * np.abs(matrix).max(initial=0.0))),
        float(others.min(initial=others.max(initial=0.0))),
        float(others.max(initial=0.0)),
        {"mean": float(rows.mean()), "min": float(rows.min()), "max": float(rows.max())},
        inhibited,
        len(pairs[0]) - inhibited,
        None if coactivation is None else _coactivation(matrix[pairs], coactivation[pairs].astype(np.float64)),
    )


def _coactivation(inhibition: NDArray[np.float64], together: NDArray[np.float64]) -> CoActivation:
    """Both (pairs,)."""
    inhibited, free = _mean(together[inhibition > 0]), _mean(together[inhibition <= 0])
    ratio = inhibited / free if inhibited is not None and free else None
    varied = len(together) > 1 and np.ptp(inhibition) > 0 and np.ptp(together) > 0
    return CoActivation(inhibited, free, ratio, float(np.corrcoef(inhibition, together)[0, 1]) if varied else None)


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


@dataclass(frozen=True)
class Partners:
    """The units that inhibit `unit` most, strongest first, and how strongly."""

    unit: int
    partners: list[int]
    inhibition: list[float]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def most_inhibited(inhibition: Matrix, filters: NDArray[np.floating], usage: NDArray[np.floating]) -> list[Partners]:
    """Some units, evenly spaced over those in use, with their partners: of equally strong ones, the most similar first.

    `filters` (units, height, width, channels), `usage` (units,).
    """
    alive = np.flatnonzero((usage > 0) & (inhibition > 0).any(axis=1))
    some = alive[np.unique(np.linspace(0, len(alive) - 1, min(ROWS, len(alive))).round().astype(int))]
    flat = filters.reshape(len(filters), -1).astype(np.float64)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    found = []
    for unit in some.tolist():
        similarity = np.abs(flat @ flat[unit])
        order = np.lexsort((-similarity, -inhibition[unit]))[:PARTNERS]
        partners = [other for other in order.tolist() if inhibition[unit, other] > 0]
        found.append(Partners(unit, partners, [float(inhibition[unit, other]) for other in partners]))
    return found


def draw_inhibition(
    inhibition: Matrix,
    filters: NDArray[np.floating],
    usage: NDArray[np.floating],
    coactivation: Matrix | None,
    title: str,
) -> Sheet:
    """The matrix (units, units), dark for none, and beside it some units with those that they inhibit most."""
    shown = most_inhibited(inhibition, filters, usage)
    tiles = unit_tiles(filters, TILE_SIDE)
    cells = _reduced(inhibition)
    side = len(cells) * max(1, round(WANTED_SIDE / len(cells)))
    right = MARGIN + 44 + side + SPACE / 2 + BAR_WIDTH + 2 * SPACE + 10
    width = right + 30 + (PARTNERS + 1) * (tiles.width + 10) + MARGIN
    height = HEADER + TITLE + max(side, len(shown) * _row_height(tiles)) + 40 + MARGIN / 2
    sheet = Sheet(width, height, title, _in_words(inhibition_numbers(inhibition, coactivation)))
    _draw_matrix(sheet, cells, len(inhibition), side)
    _draw_partners(sheet, tiles, shown, right)
    return sheet


def _in_words(found: InhibitionNumbers) -> str:
    together = found.coactivation
    pairs = found.inhibited_pairs + found.free_pairs
    words = f"{found.units} units, {found.inhibited_pairs} of {pairs} pairs inhibited"
    if together and together.inhibited is not None and together.free is not None:
        inhibited, free = 100 * together.inhibited, 100 * together.free
        words += f"; active together for {inhibited:.2g} % of inputs where inhibited, {free:.2g} % elsewhere"
    elif together and together.correlation is not None:
        words += f"; correlation with co-activation {together.correlation:.2f}".replace("-0", "−0")
    return words


def _draw_matrix(sheet: Sheet, cells: NDArray[np.float64], units: int, side: int) -> None:
    left, top = MARGIN + 44, HEADER + TITLE
    sheet.text(MARGIN, top - 13, "Inhibition of each unit (rows) by each other unit (columns)", weight="bold")
    axes = sheet.chart(left, top, side, side)
    peak = float(cells.max(initial=0.0))
    edge = units - 0.5
    axes.set(xlabel="unit")
    shades = axes.imshow(
        cells, SCALE_COLORS, vmin=0, vmax=peak or 1.0, interpolation="none", extent=(-0.5, edge, edge, -0.5)
    )
    for spine in axes.spines.values():
        spine.set_visible(False)
    sheet.color_bar(sheet.chart(left + side + SPACE / 2, top, BAR_WIDTH, side), shades)


def _reduced(matrix: Matrix) -> NDArray[np.float64]:
    """Means of blocks, where there are more entries than pixels: picking single entries would make patterns."""
    block = -(-len(matrix) // (2 * WANTED_SIDE))
    starts = np.arange(0, len(matrix), block)
    counts = np.diff(np.append(starts, len(matrix)))
    sums = np.add.reduceat(np.add.reduceat(matrix.astype(np.float64), starts, axis=0), starts, axis=1)
    return np.asarray(sums / (counts[:, None] * counts))


def _row_height(tiles: Tiles) -> int:
    return tiles.height + 44


def _draw_partners(sheet: Sheet, tiles: Tiles, shown: list[Partners], left: float) -> None:
    step, top = tiles.width + 10, HEADER + TITLE
    sheet.text(left, top - 13, "Units, those that inhibit them most, and how much", weight="bold")
    for row, partners in enumerate(shown):
        line = top + row * _row_height(tiles)
        _draw_unit(sheet, tiles, partners.unit, left, line)
        for place, (other, strength) in enumerate(zip(partners.partners, partners.inhibition, strict=True)):
            start = left + step + 30 + place * step
            _draw_unit(sheet, tiles, other, start, line)
            words = f"{strength:.2g}"
            sheet.text(start + tiles.width / 2, line + tiles.height + 23, words, SMALL_SIZE, ha="center")


def _draw_unit(sheet: Sheet, tiles: Tiles, unit: int, left: float, top: float) -> None:
    sheet.tile(tiles.pixels[unit], left, top, tiles.scale)
    sheet.text(left + tiles.width / 2, top + tiles.height + 9, f"{unit}", SMALL_SIZE, FAINT, ha="center")
