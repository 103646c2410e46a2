"""Pools of units as operators: see `worker.sparse.sparsity.pools` and `spatial_pools`, whose members these are.

The profile of all pools is one matrix (pools, units), or one for each axis of a code over an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pinwheel.specs import Dense, Model, Pools, Shape

if TYPE_CHECKING:  # shapes are worked out without the package `onnx`
    from pinwheel.exports.graph import Array, Graph


@dataclass(frozen=True)
class Pooling:
    """`matrices`, one along each axis of a code of `shape`, which give pools of `pooled`."""

    matrices: tuple[Array, ...]
    shape: tuple[int, ...]
    pooled: tuple[int, ...]

    def squares(self, g: Graph, code: str) -> str:
        """(batch, units) → (batch, pools): Σ g z²"""
        return self._along(g, g.op("Mul", code, code), self.shape, self.matrices)

    def spread(self, g: Graph, values: str) -> str:
        """The adjoint of `squares` in the squares."""
        return self._along(g, values, self.pooled, tuple(matrix.T for matrix in self.matrices))

    def touched(self, g: Graph, pools: str) -> str:
        """(batch, pools) → (batch, units): of each unit the sum over its pools"""
        members = tuple((matrix > 0).astype(np.float32).T for matrix in self.matrices)
        return self._along(g, pools, self.pooled, members)

    def norms(self, g: Graph, code: str) -> str:
        """(batch, pools): the L2 norm of each"""
        return g.op("Sqrt", self.squares(g, code))

    def _along(self, g: Graph, values: str, shape: tuple[int, ...], matrices: tuple[Array, ...]) -> str:
        """`matrices` (out, in) along the axes of `values` (batch, …)"""
        if len(matrices) == 1:
            return g.op("MatMul", values, np.ascontiguousarray(matrices[0].T))
        down, right, groups = matrices
        rows, columns, _ = shape
        at = g.op("MatMul", g.shaped(values, -1, *shape), np.ascontiguousarray(groups.T))
        at = g.op("MatMul", down, g.shaped(at, -1, rows, columns * len(groups)))
        at = g.op("MatMul", right, g.shaped(at, -1, len(down), columns, len(groups)))
        return g.shaped(at, -1, len(down) * len(right) * len(groups))


def pooling_of(model: Model, code_shape: tuple[int, ...]) -> Pooling:
    """The pools of a model whose sparsity they are."""
    spec = model.sparsity
    assert isinstance(spec, Pools)
    if isinstance(model.connection, Dense):
        matrix = dense_pools(spec, code_shape[0])
        return Pooling((matrix,), code_shape, (len(matrix),))
    rows, columns, units = code_shape
    if spec.layout == "sheet":
        down, right, groups = sheet(spec, rows), sheet(spec, columns), np.ones((1, 1), np.float32)
    else:
        down, right = (windows(length, spec.window, spec.window_distance) for length in (rows, columns))
        groups = ring(units, spec.size, spec.distance)
    return Pooling((down, right, groups), code_shape, (len(down), len(right), len(groups)))


def feature_shape(model: Model, image: Shape, units: int) -> tuple[int, ...]:
    """Of inputs of the shape `image`; `units` of a dense connection. Raises ValueError where they do not fit."""
    code = (units,) if isinstance(model.connection, Dense) else model.connection.code_shape(image)
    return code if model.output == "code" else pooling_of(model, code).pooled


def is_disjoint(spec: Pools) -> bool:
    """Whether no two pools share a unit."""
    if spec.layout == "maps":
        return spec.distance == spec.size and spec.window_distance == spec.window
    return spec.layout == "disjoint"


def dense_pools(spec: Pools, units: int) -> Array:
    """(pools, units)"""
    if spec.layout == "disjoint":
        return np.kron(np.eye(units // spec.size), np.ones(spec.size)).astype(np.float32)
    profile = np.ones(spec.size)
    if spec.profile == "gaussian":
        sigma = spec.sigma or spec.size / 4
        profile = np.exp(-((np.arange(spec.size) - (spec.size - 1) / 2) ** 2) / (2 * sigma**2))
    if spec.layout == "ring":
        return on_ring(units, spec.size, spec.distance, profile)
    sides = spec.map_of(units)
    down, right = (on_ring(side, spec.size, spec.distance, profile) for side in (sides.height, sides.width))
    return np.kron(down, right).astype(np.float32)


def on_ring(length: int, size: int, stride: int, profile: Array) -> Array:
    """(windows, length) windows that go on from the end at the beginning, with this profile"""
    starts = np.arange(0, length, stride)
    matrix = np.zeros((len(starts), length), np.float64)
    for step, value in enumerate(profile):
        matrix[np.arange(len(starts)), (starts + step) % length] += value
    return matrix.astype(np.float32)


def ring(length: int, size: int, stride: int) -> Array:
    return on_ring(length, size, stride, np.ones(min(size, length)))


def windows(length: int, size: int, stride: int) -> Array:
    """(windows, length) one every `stride` until the end is reached, the last cut"""
    starts = stride * np.arange(max(0, -(-(length - size) // stride)) + 1)[:, None]
    places = np.arange(length)
    return ((places >= starts) & (places < starts + size)).astype(np.float32)


def sheet(spec: Pools, length: int) -> Array:
    """(windows, length) around every `stride`-th place, or windows that are flat"""
    size, stride = spec.size, spec.distance
    if spec.profile != "gaussian":
        return windows(length, size, stride)
    sigma = spec.sigma or size / 4
    count = max(-(-length // stride), -(-(length - 1 - size // 2) // stride) + 1)
    distances = np.arange(length) - stride * np.arange(count)[:, None]
    found = np.exp(-(distances**2) / (2 * sigma**2)) * (np.abs(distances) <= size / 2)
    return np.asarray(found, np.float32)
