"""Trees of units on the plane: each root at the middle of its tree, each generation on a ring around it.

A branch gets a sector as wide as its share of the tree's leaves. Rings are as far apart as the outermost allows. A ring
with many units can be drawn in lanes, neighbours in turn, which makes it smaller. Several trees stand side by side.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinwheel.pictures.unit_map import children_of

Floats = NDArray[np.float64]
# Least distance between middles of tiles in tile sides: along x or y on one ring; of rings and lanes, which is enough
# along x or y in any direction.
NEAR = 1.1
APART = NEAR * math.sqrt(2)


@dataclass(frozen=True)
class Radial:
    """One tree. `units` breadth first, `places` (units, 2) x and y from its middle; the radius has room for tiles.

    Lengths are in sides of a tile.
    """

    units: list[int]
    places: Floats
    radius: float


@dataclass(frozen=True)
class Forest:
    """`places` (units, 2): x and y of each unit's middle on a plane of this size."""

    places: Floats
    width: float
    height: float


@dataclass(frozen=True)
class Ring:
    """One generation, in sides of a tile: `places` (units, 2), and the radii of its innermost and outermost lane."""

    places: Floats
    inner: float
    outer: float


def grown(parent: NDArray[np.integer], lanes: int) -> list[Radial]:
    """Each tree of `parent` (units,), with at most `lanes` lanes a ring; lengths in sides of a tile."""
    children = children_of(parent)
    return [_radial(root, children, lanes) for root in np.flatnonzero(parent < 0).tolist()]


def forest(trees: list[Radial], tile: float, space: float) -> Forest:
    """All trees with tiles of side `tile`, in rows, `space` apart: as nearly square as rows can be."""
    diameters = [2 * tile * tree.radius for tree in trees]
    side = math.sqrt(sum((diameter + space) ** 2 for diameter in diameters))
    tried = [_rows(diameters, max(*diameters, share * side), space) for share in np.linspace(0.9, 1.8, 10)]
    rows, width, height = min(tried, key=lambda found: max(found[1:]))
    places = np.zeros((sum(len(tree.units) for tree in trees), 2))
    top = 0.0
    for row in rows:
        tallest, left = max(diameters[index] for index in row), 0.0
        for index in row:
            middle = np.array([left + diameters[index] / 2, top + tallest / 2])
            places[trees[index].units] = tile * trees[index].places + middle
            left += diameters[index] + space
        top += tallest + space
    return Forest(places, width, height)


def _rows(diameters: list[float], widest: float, space: float) -> tuple[list[list[int]], float, float]:
    """Indices of the trees in rows that are at most `widest`; width and height of all rows."""
    rows: list[list[int]] = [[]]
    used = width = height = tallest = 0.0
    for index, diameter in enumerate(diameters):
        if rows[-1] and used + diameter > widest:
            rows.append([])
            height += tallest + space
            used = tallest = 0.0
        rows[-1].append(index)
        width, tallest = max(width, used + diameter), max(tallest, diameter)
        used += diameter + space
    return rows, width, height + tallest


def least_side(units: int, deepest: int, tile: float) -> float:
    """No plane of trees with so many units, and one of that depth, is smaller: known without laying them out."""
    return max(2 * deepest * APART * tile, math.sqrt(units) * tile)


def _radial(root: int, children: list[list[int]], lanes: int) -> Radial:
    generations = [[root]]
    while below := [child for unit in generations[-1] for child in children[unit]]:
        generations.append(below)
    units = [unit for generation in generations for unit in generation]
    angle = _angles(units, children)
    rings = _rings([np.array([angle[unit] for unit in below]) for below in generations[1:]], lanes)
    places = np.concatenate([np.zeros((1, 2)), *(ring.places for ring in rings)])
    return Radial(units, places, (rings[-1].outer if rings else 0.0) + 0.75)


def _angles(units: list[int], children: list[list[int]]) -> dict[int, float]:
    """The middle of each unit's sector, clockwise from the top. `units` breadth first."""
    leaves = dict.fromkeys(units, 0)
    for unit in reversed(units):
        leaves[unit] = sum(leaves[child] for child in children[unit]) or 1
    start = {units[0]: 0.0}
    wide = 2 * math.pi / leaves[units[0]]
    for unit in units:
        angle = start[unit]
        for child in children[unit]:
            start[child] = angle
            angle += wide * leaves[child]
    return {unit: start[unit] + wide * leaves[unit] / 2 for unit in units}


def _rings(generations: list[Floats], lanes: int) -> list[Ring]:
    """One ring for the angles of each generation: the smallest outermost one, the others evenly spaced inside."""
    rings: list[Ring] = []
    for angles in generations:
        rings.append(_smallest(angles, (rings[-1].outer if rings else 0.0) + APART, lanes))
    for depth in range(len(rings) - 2, -1, -1):
        first = (rings[depth - 1].outer if depth else 0.0) + APART
        outside = rings[depth + 1].inner
        even = outside * (depth + 1) / (depth + 2)
        rings[depth] = _between(generations[depth], (first, even, outside - APART), rings[depth])
    return rings


def _smallest(angles: Floats, first: float, lanes: int) -> Ring:
    """Outside the radius `first`."""
    return min((_ring(angles, count, first) for count in range(1, lanes + 1)), key=lambda ring: ring.outer)


def _between(angles: Floats, radii: tuple[float, float, float], smallest: Ring) -> Ring:
    """The ring of fewest lanes near the middle one of `radii`, between the others; else the smallest ring."""
    low, wanted, high = radii
    for lanes in range(1, len(angles) + 1):
        half = (lanes - 1) / 2 * APART
        ring = _ring(angles, lanes, max(low, min(wanted - half, high - 2 * half)))
        if ring.outer <= high + 1e-6:
            return ring
        if high - low < 2 * half:
            break
    return smallest


def _ring(angles: Floats, lanes: int, first: float) -> Ring:
    """On `lanes` circles, neighbours in turn, the innermost as near to the radius `first` as the tiles fit."""
    lanes = min(lanes, len(angles))
    inner = max(first, max(_least_radius(angles[lane::lanes]) for lane in range(lanes)))
    radii = inner + APART * (np.arange(len(angles)) % lanes)
    places = np.stack([np.sin(angles), -np.cos(angles)], axis=1) * radii[:, None]
    return Ring(places, inner, inner + APART * (lanes - 1))


def _least_radius(angles: Floats) -> float:
    """Of a circle on which tiles at these angles do not touch."""
    if len(angles) < 2:
        return 0.0
    directions = np.stack([np.sin(angles), -np.cos(angles)], axis=1)
    steps = np.abs(directions - np.roll(directions, -1, axis=0)).max(axis=1)
    return NEAR / float(steps.min())
