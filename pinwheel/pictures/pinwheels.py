"""Pinwheels of an orientation map: the points that all orientations meet in, found by walking around them.

The map is complex, z = selectivity · e^{2iθ}, smoothed by a Gaussian. Around each square of four neighbouring units
we add up the steps of arg z, each taken the short way; the sum is 2π times a whole number, the winding number, since
the way is closed. A pinwheel is where it is not 0: its charge is half of it, +½ where orientations turn against the
clock as one walks against the clock. Each step belongs to two squares that walk it in opposite directions, so that all
charges of a torus add up to exactly 0. A pinwheel stands where Re z = Im z = 0, both bilinear inside the square; that
field turns along the edges of the square as z does from unit to unit, so there is such a point.

The closed ring of eight neighbours around a unit, and clusters of units where it winds (M. Á. Carreira-Perpiñán and
G. J. Goodhill, Influence of lateral connections on the structure of cortical maps, J. Neurophysiology 92, 2004),
adds up the four squares that meet in the unit: it sees the same charges, but no two of opposite sign within it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinwheel.pictures.unit_map import UnitMap

Floats = NDArray[np.float64]
Field = NDArray[np.complex128]
FAR = 1e6
CHUNK = 512  # pinwheels whose distances are held at once


@dataclass(frozen=True)
class Pinwheels:
    """rows, columns: (pinwheels,) where they stand, unit (r, c) at (r, c); on a map that closes, 0 ≤ row < height.

    signs: (pinwheels,) +1 for the charge +½, −1 for −½.
    """

    rows: Floats
    columns: Floats
    signs: NDArray[np.int64]


def smoothed(values: NDArray[np.complexfloating], unit_map: UnitMap, sigma: float) -> Field:
    """(height, width) Means of `values` (units,) under a Gaussian of `sigma` units, over those that are not NaN.

    A map that closes is smoothed around its edges; at open ones the mean is over what is there. 0 if nothing is.
    """
    field = values.reshape(unit_map.height, unit_map.width).astype(np.complex128)
    known = np.isfinite(field)
    field = np.where(known, field, 0)
    if sigma <= 0:
        return field
    down = _weights(unit_map.height, sigma, unit_map.wrap)
    right = _weights(unit_map.width, sigma, unit_map.wrap)
    share = down @ known.astype(np.float64) @ right.T
    return np.divide(down @ field @ right.T, share, out=np.zeros_like(field), where=share > 1e-300)


def _weights(length: int, sigma: float, wrap: bool) -> Floats:
    """(length, length) What each place takes of each other. Around the edge, of all its repetitions."""
    distance = np.arange(length)[:, None] - np.arange(length)
    turns = math.ceil(6 * sigma / length) if wrap else 0
    weights = sum(np.exp(-np.square((distance + turn * length) / sigma) / 2) for turn in range(-turns, turns + 1))
    return np.asarray(weights / np.sum(weights, axis=1).max())


def winding_numbers(field: Field, wrap: bool) -> NDArray[np.int64]:
    """−1, 0 or 1: how often arg z turns on the way around each square of four units, named by its upper left one.

    (height, width) where the map closes, otherwise (height − 1, width − 1).
    """
    # Zero has a sign: at arg −1 − 0i = −π and arg −1 + 0i = π one direction would count as two.
    phase = np.angle(field + 0)
    right, down = _steps(phase, 1, wrap), _steps(phase, 0, wrap)
    # Against the clock as one sees it, rows counting downwards: down, right, up, left.
    total = down + np.roll(right, -1, 0) - np.roll(down, -1, 1) - right
    turns = np.rint(total / (2 * np.pi)).astype(np.int64)
    return turns if wrap else turns[:-1, :-1]


def _steps(phase: Floats, axis: int, wrap: bool) -> Floats:
    """From each unit to the next, the short way."""
    step = np.roll(phase, -1, axis) - phase
    return step - 2 * np.pi * np.rint(step / (2 * np.pi))


def find_pinwheels(field: Field, wrap: bool) -> Pinwheels:
    """The pinwheels of the complex map `field` (height, width), row by row."""
    turns = winding_numbers(field, wrap)
    rows, columns = np.nonzero(turns)
    below, beside = (rows + 1) % field.shape[0], (columns + 1) % field.shape[1]
    down, right = _zeros(field[rows, columns], field[rows, beside], field[below, columns], field[below, beside])
    return Pinwheels((rows + down) % field.shape[0], (columns + right) % field.shape[1], turns[rows, columns])


def _zeros(corner: Field, right: Field, below: Field, across: Field) -> tuple[Floats, Floats]:
    """Where the bilinear fields with these corners are 0: shares of the way down and right, each (squares,).

    a + b x + (c + d x) y = 0 has a real y where (a + b x) times the conjugate of (c + d x) is real, so that x solves a
    quadratic equation.
    """
    a, b, c, d = corner, right - corner, below - corner, across - right - below + corner
    x = _roots((b * d.conj()).imag, (b * c.conj() + a * d.conj()).imag, (a * c.conj()).imag)
    slope = c + d * x
    length = np.square(np.abs(slope))
    y = -((a + b * x) * slope.conj()).real / np.where(length > 0, length, 1.0)
    # Of the two, the one inside the square; none is, by a rounding error, where it lies on the edge.
    inside = np.argmin(np.maximum(np.abs(x - 0.5), np.abs(y - 0.5)), axis=0)[None]
    return tuple(np.clip(np.take_along_axis(share, inside, 0)[0], 0, 1) for share in (y, x))


def _roots(square: Floats, linear: Floats, constant: Floats) -> Floats:
    """(2, equations) The solutions of s x² + l x + c = 0; those that there are not, and distant ones, at `FAR`."""
    root = np.sqrt(np.maximum(np.square(linear) - 4 * square * constant, 0))
    both = -(linear + np.copysign(root, linear)) / 2  # no difference of nearly equal numbers
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.clip(np.nan_to_num(np.stack([both / square, constant / both]), nan=FAR), -FAR, FAR)


def opposite_neighbours(pinwheels: Pinwheels, unit_map: UnitMap) -> float | None:
    """The share of pinwheels whose nearest other one has the opposite sign; None where there is no other."""
    count = len(pinwheels.signs)
    if count < 2:
        return None
    nearest = np.empty(count, np.int64)
    for start in range(0, count, CHUNK):
        some = np.arange(start, min(start + CHUNK, count))
        down = _distances(pinwheels.rows, some, unit_map.height, unit_map.wrap)
        distance = np.hypot(down, _distances(pinwheels.columns, some, unit_map.width, unit_map.wrap))
        distance[some - start, some] = np.inf
        nearest[some] = distance.argmin(axis=1)
    return float((pinwheels.signs[nearest] != pinwheels.signs).mean())


def _distances(places: Floats, some: NDArray[np.int64], length: int, wrap: bool) -> Floats:
    """From `some` of the places to all."""
    steps = np.abs(places[some, None] - places)
    return np.minimum(steps, length - steps) if wrap else steps
