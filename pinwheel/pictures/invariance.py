"""How far the code moves when the input is shifted or turned, against how far the pixels do.

Distances are relative to those between unrelated inputs: 0 is the same, 1 is as different as chance.
"""

from collections.abc import Mapping
from typing import Any

from pinwheel.pictures.sheet import BLUE, FAINT, HEADER, MARGIN, ORANGE, Sheet

CHART, SPACE, TITLE, LABELS = (420, 380), 96, 34, 64
# The curve's name in the object → as people read it, colour, marker.
CURVES = {"pixels": ("pixels", FAINT, "s"), "code": ("code", ORANGE, "o"), "pooled": ("pooled", BLUE, "D")}
MOVES = {
    "shift": ("pixels_moved", "Shifted inputs", "shift, pixels"),
    "rotation": ("degrees", "Turned inputs", "rotation, degrees"),
}
MOST_MARKERS = 20
LEAST_GAP = 0.045  # between labels, as a share of the axis


def draw_invariance(invariance: Mapping[str, Any], title: str) -> Sheet:
    """One chart for each movement that `invariance` of model.json has, with the curves it has."""
    moves = [move for move in MOVES if invariance.get(move)]
    step = CHART[0] + LABELS + SPACE
    width = MARGIN + 54 + len(moves) * step - SPACE + MARGIN
    words = "Distance between the codes of an input and of its moved copy; 1 is the distance of unrelated inputs"
    sheet = Sheet(width, HEADER + TITLE + CHART[1] + 62 + MARGIN, title, words)
    for place, move in enumerate(moves):
        _draw_curves(sheet, move, invariance[move], MARGIN + 54 + place * step)
    return sheet


def _draw_curves(sheet: Sheet, move: str, curves: Mapping[str, Any], left: float) -> None:
    amounts, title, label = MOVES[move]
    shown = {name: curves[name] for name in CURVES if curves.get(name)}
    highest = max([1.0, *(max(values) for values in shown.values())])
    axes = sheet.chart(left, HEADER + TITLE, *CHART, ylim=(0, 1.08 * highest))
    axes.set(title=title, xlabel=label, ylabel="relative distance")
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="y")
    axes.axhline(1, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for name, values in shown.items():
        _, color, marker = CURVES[name]
        marker = marker if len(values) <= MOST_MARKERS else ""
        axes.plot(curves[amounts], values, color=color, marker=marker, markersize=6, linewidth=2, clip_on=False)
    ends = _apart({name: values[-1] / (1.08 * highest) for name, values in shown.items()})
    for name, height in ends.items():
        words, color, _ = CURVES[name]
        axes.text(1.03, height, words, color=color, transform=axes.transAxes, va="center", fontweight="bold")


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """The same heights, moved up where two labels would overlap."""
    placed: dict[str, float] = {}
    above = -1.0
    for name in sorted(heights, key=lambda name: heights[name]):
        above = max(heights[name], above + LEAST_GAP)
        placed[name] = above
    return placed
