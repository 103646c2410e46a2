"""Charts over the angle between what units look for and what they write: one dot for each unit, and means of bins."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pinwheel.pictures.part_units import PartUnits, correlation, curves, pairs
from pinwheel.pictures.sheet import FAINT, INK, LINE, MARGIN, SMALL_SIZE, Sheet
from pinwheel.pictures.unit_kinds import CATEGORICAL, PART, UnitKind
from pinwheel.pictures.unit_rows import KIND_COLORS, KIND_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXIS, LABELS, TITLE = 66, 44, 30  # left of a chart, below it, above it
MARKERS: dict[UnitKind, str] = {"part": "o", "intermediate": "s", "categorical": "^"}
MOST_PAIRS = 1500  # of each colour
CURVES = {
    "mean_active": ("How strong they are when on", "mean |z| when active"),
    "afferent_angle_rad": ("Who they listen to", "mean angle, rad"),
    "switched_late": ("Switched on by others", "share of inputs"),
    "mean_decoder": ("How much light they add", "mean of the decoder"),
}


@dataclass(frozen=True)
class Scatters:
    """What comes into a unit, and what classes it speaks for, against the angle; weights against overlaps."""

    found: PartUnits
    height: float = TITLE + 280 + LABELS

    def draw(self, sheet: Sheet, top: float) -> None:
        drawn = [self._explaining_away, self._classifier, self._pairs]
        wanted = [name in self.found.columns for name in ("explaining_away_norm", "classifier_norm")]
        shown = [draw for draw, there in zip(drawn, [*wanted, wanted[0]], strict=True) if there]
        width = (sheet.width - 2 * MARGIN) / len(shown) - AXIS
        for place, draw in enumerate(shown):
            axes = sheet.chart(MARGIN + AXIS + place * (width + AXIS), top + TITLE, width - 14, 280)
            draw(axes)
            axes.set_axisbelow(True)

    def _explaining_away(self, axes: "Axes") -> None:
        axes.set(title="What comes into a unit", ylabel="‖(S − I) row‖")
        self._units(axes, "explaining_away_norm")
        axes.legend(frameon=False, fontsize=SMALL_SIZE, handletextpad=0, columnspacing=1, loc="upper left", ncols=3)

    def _classifier(self, axes: "Axes") -> None:
        axes.set(title="What it says about classes", ylabel="‖C column‖")
        self._units(axes, "classifier_norm")

    def _units(self, axes: "Axes", column: str) -> None:
        angle_axis(axes, self.found, 0.88)
        for kind, marker in MARKERS.items():
            units = self.found.of_kind(kind)
            heights = self.found.columns[column][units]
            label = f"{KIND_NAMES[kind]} ({len(units)})"
            dots(axes, self.found.angle[units], heights, marker, KIND_COLORS[kind], label)
        axes.set_ylim(0, 1.22 * float(self.found.columns[column].max(initial=1e-9)))

    def _pairs(self, axes: "Axes") -> None:
        """S takes away what another unit has explained where it falls along a line."""
        axes.set(title="Weights into parts, against overlaps", xlabel="Dᵢ · Dⱼ", ylabel="Sᵢⱼ")
        axes.grid(color=LINE)
        sources: tuple[UnitKind, ...] = ("categorical", "part")
        for kind in sources:
            overlap, weights = pairs(self.found, kind)
            if len(weights) == 0:
                continue
            every = -(-len(weights) // MOST_PAIRS)
            found = correlation(self.found, kind)
            label = f"from {KIND_NAMES[kind]}" + ("" if found is None else f", r = {found:.2f}".replace("-", "−"))
            dots(axes, overlap[::every], weights[::every], MARKERS[kind], KIND_COLORS[kind], label)
        if axes.lines:
            axes.legend(frameon=False, fontsize=SMALL_SIZE, handletextpad=0.2, loc="upper right")
            low, high = axes.get_ylim()
            axes.set_ylim(low, high + 0.2 * (high - low))


@dataclass(frozen=True)
class Curves:
    """Means of the units of each bin of angles."""

    found: PartUnits
    height: float = TITLE + 190 + LABELS

    def draw(self, sheet: Sheet, top: float) -> None:
        rows = curves(self.found)
        middles = np.array([(row["from_rad"] + row["to_rad"]) / 2 for row in rows])  # type: ignore[operator]
        width = (sheet.width - 2 * MARGIN) / len(CURVES) - AXIS
        for place, (name, (title, label)) in enumerate(CURVES.items()):
            values = np.array([row[name] for row in rows], np.float64)
            axes = sheet.chart(MARGIN + AXIS + place * (width + AXIS), top + TITLE, width - 10, 190)
            axes.set(title=title, ylabel=label)
            angle_axis(axes, self.found)
            axes.grid(axis="y")
            axes.locator_params(axis="y", nbins=4)
            axes.plot(middles, values, color=INK, linewidth=2, marker="o", markersize=5)
            _from_zero(axes, values[np.isfinite(values)])


def angle_axis(axes: "Axes", found: PartUnits, share: float = 1) -> None:
    """Over all angles of units in use, with lines at the limits of parts and categories, as high as `share` says."""
    angles = np.append(found.angle[found.in_use], [PART, CATEGORICAL])
    axes.set(xlabel="angle, rad", xlim=(angles.min() - 0.05, angles.max() + 0.05))
    axes.locator_params(axis="x", nbins=6)
    for limit in (PART, CATEGORICAL):
        axes.axvline(limit, ymax=share, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)


def dots(axes: "Axes", x: NDArray[np.float64], y: NDArray[np.float64], marker: str, color: str, label: str) -> None:
    axes.plot(
        x,
        y,
        linestyle="none",
        marker=marker,
        markersize=5,
        markerfacecolor=color,
        markeredgewidth=0,
        alpha=0.65,
        label=label,
    )


def _from_zero(axes: "Axes", values: NDArray[np.float64]) -> None:
    """Limits that hold zero and all of `values`."""
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    space = 0.12 * (high - low) or 1.0
    axes.set_ylim(low - space if low < 0 else 0, high + space)
