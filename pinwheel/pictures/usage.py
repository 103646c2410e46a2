"""How evenly a model uses its units: the share of inputs that activate each, in numbers and as two charts."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.pictures.sheet import BLUE, FAINT, HEADER, MARGIN, ORANGE, SMALL_SIZE, Sheet

Usage = NDArray[np.floating]
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
CHART, SPACE, TITLE = (560, 360), 76, 34
FEW = 60  # points that can be told apart


def usage_numbers(usage: Usage) -> dict[str, Any]:
    """`usage` (units,), how many units are never used, quantiles, and how evenly it is spread.

    gini: 0 where all units are used alike, towards 1 where one does everything. effective_units: exp of the entropy
    of usage / Σ usage, the number of units that would be as even a spread if all were used alike. None if all are dead.
    """
    values = usage.astype(np.float64)
    return {
        "usage": values.tolist(),
        "dead_units": int((values <= 0).sum()),
        "mean": float(values.mean()),
        "quantiles": {f"{share:g}": float(np.quantile(values, share)) for share in QUANTILES},
        "gini": gini(values),
        "effective_units": effective_units(values),
    }


def gini(usage: Usage) -> float | None:
    """Mean |u − u′| over all ordered pairs (a unit with itself too), over twice the mean."""
    values = np.sort(usage.astype(np.float64))
    count, total = len(values), values.sum()
    if total <= 0:
        return None
    return float(((2 * np.arange(count) - count + 1) * values).sum() / (count * total))


def effective_units(usage: Usage) -> float | None:
    share = usage.astype(np.float64)[usage > 0]
    if len(share) == 0:
        return None
    share = share / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def draw_usage(usage: Usage, title: str) -> Sheet:
    """The units from most to least used, and how many are used how much; both on a logarithmic scale."""
    top = HEADER + TITLE
    right = MARGIN + 54 + CHART[0] + SPACE
    sheet = Sheet(right + CHART[0] + MARGIN, top + CHART[1] + 62 + MARGIN, title, _in_words(usage))
    values = np.sort(usage.astype(np.float64))[::-1]
    floor = _floor(values)
    _draw_curve(sheet, values, floor, MARGIN + 54, top)
    _draw_histogram(sheet, values, floor, right, top)
    return sheet


def _in_words(usage: Usage) -> str:
    dead, even = int((usage <= 0).sum()), effective_units(usage)
    words = f"{len(usage)} units, {dead} never used"
    return words if even is None else f"{words}; spread as evenly as {even:.0f} units that are used alike"


def _floor(values: NDArray[np.float64]) -> float:
    """The power of ten below every unit that is used."""
    alive = values[values > 0]
    return float(10.0 ** math.floor(math.log10(alive.min()) - 1e-9)) if len(alive) else 1e-4


def _draw_curve(sheet: Sheet, values: NDArray[np.float64], floor: float, left: float, top: float) -> None:
    axes = sheet.chart(
        left, top, *CHART, yscale="log", ylim=(floor * 0.8, 1.3), xlim=(-0.01 * len(values), len(values))
    )
    axes.set(title="Units from most to least used", xlabel="rank of the unit", ylabel="share of inputs")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y")
    alive = int((values > 0).sum())
    axes.fill_between(np.arange(alive) + 0.5, floor * 0.8, values[:alive], color=BLUE, alpha=0.12, linewidth=0)
    marker = "o" if alive < FEW else None
    axes.plot(np.arange(alive) + 0.5, values[:alive], color=BLUE, linewidth=2, marker=marker, markersize=5)
    if alive < len(values):
        dead = np.arange(alive, len(values)) + 0.5
        axes.plot(dead, np.full(len(dead), floor), linestyle="none", marker="|", color=ORANGE, markersize=11)
        words = f"{len(dead)} never used"
        axes.text(len(values), floor * 1.35, words, color=ORANGE, fontsize=SMALL_SIZE, ha="right", va="bottom")


def _draw_histogram(sheet: Sheet, values: NDArray[np.float64], floor: float, left: float, top: float) -> None:
    axes = sheet.chart(left, top, *CHART, xscale="log")
    axes.set(title="How many units are used how much", xlabel="share of inputs", ylabel="units")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y")
    axes.locator_params(axis="y", integer=True)
    axes.set_axisbelow(True)
    decades = round(-math.log10(floor))
    edges = np.logspace(-decades, 0, 10 * decades + 1)
    axes.hist(values[values > 0], edges.tolist(), color=BLUE, edgecolor="white", linewidth=0.6)
    dead = int((values <= 0).sum())
    if dead:
        place = floor / 10**0.3
        axes.bar([place], [dead], width=[0.35 * place], color=ORANGE)
        axes.text(place, dead, "never", color=ORANGE, fontsize=SMALL_SIZE, ha="center", va="bottom")
    axes.set_xlim(floor / 10**0.6 if dead else floor * 0.8, 1.2)
    axes.set_ylim(0, 1.12 * axes.get_ylim()[1])
    if len(values) > dead:
        median = float(np.median(values[values > 0]))
        axes.axvline(median, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        words = f"median of those in use {median:.2g}"
        aside, side = (1 / 1.06, "right") if median > math.sqrt(floor) else (1.06, "left")
        height = 0.96 * axes.get_ylim()[1]
        axes.text(median * aside, height, words, color=FAINT, fontsize=SMALL_SIZE, ha=side)
