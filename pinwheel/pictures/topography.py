"""How smooth a map of filters is: differences between neighbours on the map against those between any two units.

Orientations o of bars repeat after 180°, so two of them differ by at most 90°, and by 45° on average where they have
nothing to do with each other. Frequencies f (cycles per pixel) differ by |log₂ f − log₂ f′| octaves.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.pictures.statistics import FilterStatistics, filter_statistics
from pinwheel.pictures.unit_map import UnitMap

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Topography:
    """Means over pairs of units that have the quantity; None where there is no such pair."""

    oriented_units: int
    neighbour_orientation_difference_deg: float | None
    random_pairs_orientation_difference_deg: float | None
    neighbour_frequency_difference_octaves: float | None
    random_pairs_frequency_difference_octaves: float | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def topography(filters: NDArray[np.floating], unit_map: UnitMap) -> Topography:
    """The numbers of `filters` (units, height, width, channels) that lie on `unit_map`."""
    return map_differences(filter_statistics(filters), unit_map)


def map_differences(statistics: FilterStatistics, unit_map: UnitMap) -> Topography:
    """The numbers of units with these statistics. Neighbours are the four beside, above and below."""
    left, right = unit_map.neighbours().T
    orientation, octave = statistics.orientation_deg, _octaves(statistics.frequency)
    return Topography(
        int(np.isfinite(orientation).sum()),
        _mean(orientation_difference(orientation[left], orientation[right])),
        mean_orientation_difference(orientation),
        _mean(np.abs(octave[left] - octave[right])),
        _mean_difference(octave),
    )


def orientation_difference(first: Floats, second: Floats) -> Floats:
    """The angle between bars, 0 … 90 degrees, NaN where one has no orientation."""
    return np.asarray(np.abs(np.mod(first - second + 90, 180) - 90))


def mean_orientation_difference(orientation_deg: Floats) -> float | None:
    """Mean of `orientation_difference` over all pairs of units, from sorted angles instead of from each pair."""
    angles = np.sort(np.mod(orientation_deg[np.isfinite(orientation_deg)], 180))
    count = len(angles)
    pairs = count * (count - 1) // 2
    if pairs == 0:
        return None
    # Going up from each angle, around the end, the others within 90° are those whose difference is the step itself;
    # from the rest one gets here within 90°. Only pairs at a right angle are met from neither side.
    around = np.concatenate([angles, angles + 180])
    sums = np.concatenate([[0.0], np.cumsum(around)])
    first = np.arange(count) + 1
    end = np.maximum(np.searchsorted(around, angles + 90, side="left"), first)
    met = int((end - first).sum())
    total = (sums[end] - sums[first] - (end - first) * angles).sum()
    return float((total + 90 * (pairs - met)) / pairs)


def _mean_difference(values: Floats) -> float | None:
    """Mean of |v − v′| over all pairs of finite values: in sorted order, value i is added i times, taken n − 1 − i."""
    values = np.sort(values[np.isfinite(values)])
    count = len(values)
    if count < 2:
        return None
    return float(((2 * np.arange(count) - count + 1) * values).sum() / (count * (count - 1) / 2))


def _octaves(frequency: Floats) -> Floats:
    return np.log2(frequency, out=np.full(len(frequency), np.nan), where=frequency > 0)


def _mean(values: Floats) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None
