"""An orientation map in numbers: its pinwheels, how far apart its columns stand, and the same for shuffled units.

Density is the number of pinwheels in an area of Λ², with the column spacing Λ (`spacing`). It is about π in the visual
cortex of three species (M. Kaschube and others, Science 330, 2010) and in any Gaussian random map with waves of one
length (F. Wolf and T. Geisel, Spontaneous pinwheel annihilation during visual development, Nature 395, 1998), so it is
told with what a map without order does not have: a peak of the spectrum and neighbours of nearly one orientation. Units
that are shuffled over the places of the map show what chance gives; the same smoothing makes pinwheels of it, too.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.pictures.pinwheels import Field, Pinwheels, find_pinwheels, opposite_neighbours, smoothed
from pinwheel.pictures.spacing import Spectrum, spectrum
from pinwheel.pictures.topography import orientation_difference
from pinwheel.pictures.tuning import Tuning
from pinwheel.pictures.unit_map import UnitMap

Floats = NDArray[np.float64]
# σ of the Gaussian in units, before pinwheels are counted. It takes 3 % of the pinwheels of random columns that are 8
# units apart; if units are off by 20°, the map has 2 % too many, and without smoothing would have 50 % too many.
SMOOTHING = 0.7
# ... or this share of the column spacing where that is more: filters that are learned differ from their neighbours in
# patches, too. A wave of the spacing keeps 82 % of its amplitude, one of half of it 45 %.
SMOOTHING_SHARE = 0.1
SHUFFLES, SEED = 5, 0
LISTS = ("distances_units", "orientation_differences_deg")
FARTHEST, DIRECTIONS = 24, 12  # units; directions in which each distance is measured


@dataclass(frozen=True)
class OrientationNumbers:
    """The numbers of one map, or means over shuffled ones; None where a quantity does not exist.

    num_positive, num_negative: pinwheels of charge +½ and −½.  pinwheels_per_unit: of the area between the outermost
    units, or of the whole of a map that closes.  spacing_units: Λ.  spectral_peak: the highest power of the radial
    spectrum over the mean power.  pinwheel_density: pinwheels per Λ².  opposite_neighbours: share of pinwheels whose
    nearest other one has the opposite sign.  neighbour_orientation_difference_deg: mean over pairs side by side or one
    above the other.  distances_units, orientation_differences_deg: means over pairs that lie about 1, 2, … units apart.
    """

    num_pinwheels: float
    num_positive: float
    num_negative: float
    pinwheels_per_unit: float
    spacing_units: float | None
    spectral_peak: float | None
    pinwheel_density: float | None
    opposite_neighbours: float | None
    neighbour_orientation_difference_deg: float | None
    distances_units: list[float]
    orientation_differences_deg: list[float | None]


@dataclass(frozen=True)
class OrientationMap:
    """What was found.

    oriented_units: how many have an orientation.  mean_selectivity: theirs; None if there is none.
    smoothing_units: σ.  field: (height, width) selectivity · e^{2iθ}, smoothed.  spectrum: of the map as it is.
    shuffled: means over `SHUFFLES` maps of the same units at other places.
    """

    unit_map: UnitMap
    oriented_units: int
    mean_selectivity: float | None
    smoothing_units: float
    field: Field
    pinwheels: Pinwheels
    spectrum: Spectrum
    numbers: OrientationNumbers
    shuffled: OrientationNumbers

    def as_json(self) -> dict[str, Any]:
        found = zip(self.pinwheels.rows, self.pinwheels.columns, self.pinwheels.signs, strict=True)
        places = [{"row": float(row), "column": float(column), "sign": int(sign)} for row, column, sign in found]
        return {
            "map": self.unit_map.as_json(),
            "oriented_units": self.oriented_units,
            "mean_selectivity": self.mean_selectivity,
            "smoothing_units": self.smoothing_units,
            **asdict(self.numbers),
            "shuffled": asdict(self.shuffled),
            "pinwheels": places,
        }


def orientation_map(tuned: Tuning, unit_map: UnitMap) -> OrientationMap:
    """The map of units of this tuning, (units,), that lie on `unit_map`, which has at least two rows and columns."""
    vectors = tuned.vectors
    sigma = smoothing_of(_spectrum(vectors, unit_map).spacing)
    chance = np.random.default_rng(SEED)
    shuffled = [_measured(chance.permutation(vectors), unit_map, sigma)[-1] for _ in range(SHUFFLES)]
    oriented, selectivity = int(np.isfinite(vectors).sum()), _mean(np.abs(vectors))
    found = _measured(vectors, unit_map, sigma)
    return OrientationMap(unit_map, oriented, selectivity, sigma, *found, _mean_numbers(shuffled))


def smoothing_of(spacing: float | None) -> float:
    """σ in units for a map with columns this far apart."""
    return SMOOTHING if spacing is None else max(SMOOTHING, SMOOTHING_SHARE * spacing)


def _spectrum(vectors: Field, unit_map: UnitMap) -> Spectrum:
    """Of the map as it is."""
    grid = vectors.reshape(unit_map.height, unit_map.width)
    return spectrum(np.where(np.isfinite(grid), grid, 0), unit_map.wrap)


def _measured(vectors: Field, unit_map: UnitMap, sigma: float) -> tuple[Field, Pinwheels, Spectrum, OrientationNumbers]:
    """The smoothed map of `vectors` (units,), its pinwheels, the spectrum of the map as it is, and its numbers."""
    field = smoothed(vectors, unit_map, sigma)
    pinwheels, waves = find_pinwheels(field, unit_map.wrap), _spectrum(vectors, unit_map)
    return field, pinwheels, waves, _numbers(vectors, pinwheels, waves, unit_map)


def _numbers(vectors: Field, pinwheels: Pinwheels, waves: Spectrum, unit_map: UnitMap) -> OrientationNumbers:
    count, positive = len(pinwheels.signs), int((pinwheels.signs > 0).sum())
    per_unit = count / _area(unit_map)
    degrees = np.degrees(np.angle(vectors)) / 2
    left, right = unit_map.neighbours().T
    apart = difference_by_distance(degrees, unit_map)
    return OrientationNumbers(
        count,
        positive,
        count - positive,
        per_unit,
        waves.spacing,
        waves.peak,
        None if waves.spacing is None else per_unit * waves.spacing**2,
        opposite_neighbours(pinwheels, unit_map),
        _mean(orientation_difference(degrees[left], degrees[right])),
        [distance for distance, _ in apart],
        [difference for _, difference in apart],
    )


def _area(unit_map: UnitMap) -> int:
    """In which pinwheels are found."""
    return unit_map.units if unit_map.wrap else (unit_map.height - 1) * (unit_map.width - 1)


def difference_by_distance(orientation_deg: Floats, unit_map: UnitMap) -> list[tuple[float, float | None]]:
    """Mean distance and mean orientation difference of pairs: of neighbours, then of those a unit farther apart each.

    `orientation_deg` (units,). Distances go up to half the shorter side, and to `FARTHEST`.
    """
    grid = orientation_deg.reshape(unit_map.height, unit_map.width)
    found = []
    for steps in _steps(min(min(grid.shape) // 2, FARTHEST)):
        pairs = [_pairs(grid, *step, unit_map.wrap) for step in steps]
        differences = np.concatenate([orientation_difference(first, second).ravel() for first, second in pairs])
        found.append((sum(math.hypot(*step) for step in steps) / len(steps), _mean(differences)))
    return found


def _steps(farthest: int) -> list[list[tuple[int, int]]]:
    """For each distance some steps (down, right) of about that length, no two opposite; of 1, those to neighbours."""
    sides = range(-farthest, farthest + 1)
    half = [(down, right) for down in range(farthest + 1) for right in sides if (down, right) > (0, 0)]
    half.sort(key=lambda step: math.atan2(*step))
    found = []
    for distance in range(1, farthest + 1):
        # Up to 0.4 farther, so that diagonal neighbours, at √2, are of the second distance.
        band = [step for step in half if distance - 0.6 < math.hypot(*step) <= distance + 0.4]
        found.append(band[:: math.ceil(len(band) / DIRECTIONS)])
    return found


def _pairs(grid: Floats, down: int, right: int, wrap: bool) -> tuple[Floats, Floats]:
    """The units of `grid` and those that lie `down` ≥ 0 and `right` from them."""
    there = np.roll(grid, (-down, -right), (0, 1))
    if wrap:
        return grid, there
    height, width = grid.shape
    inside = np.s_[: height - down, max(0, -right) : width - max(0, right)]
    return grid[inside], there[inside]


def _mean_numbers(several: list[OrientationNumbers]) -> OrientationNumbers:
    columns = {field.name: [getattr(numbers, field.name) for numbers in several] for field in fields(several[0])}
    means: dict[str, Any] = {name: _mean_of_most(values) for name, values in columns.items() if name not in LISTS}
    means["distances_units"] = several[0].distances_units
    means["orientation_differences_deg"] = [
        _mean_of_most(values) for values in zip(*columns["orientation_differences_deg"], strict=True)
    ]
    return OrientationNumbers(**means)


def _mean_of_most(values: Sequence[float | None]) -> float | None:
    """The mean of those that exist; None unless most do, for what exists in few shuffled maps is chance."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if 2 * len(known) > len(values) else None


def _mean(values: Floats) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None
