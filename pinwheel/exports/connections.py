"""Connections as operators, and their largest eigenvalue: see `worker.sparse.connections`, whose maps these are.

Weights are as they are published, but for a dense dictionary, which is transposed: one row or filter for each unit or
filter. Inputs are (batch, inputs), codes (batch, units).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pinwheel.exports.graph import Array, Graph
from pinwheel.specs import Connection, Conv, Dense, Local, Shape


class Maps(ABC):
    """`image` (height, width, channels) of an input, `code_shape` of a code."""

    image: Shape
    code_shape: tuple[int, ...]
    coverage: Array | None = None  # (inputs,) what each input counts in the energy

    @property
    def inputs(self) -> int:
        return math.prod(self.image)

    @property
    def units(self) -> int:
        return math.prod(self.code_shape)

    @abstractmethod
    def correlate(self, g: Graph, weights: Array, x: str) -> str:
        """(batch, inputs) → (batch, units)"""

    @abstractmethod
    def decode(self, g: Graph, weights: Array, code: str) -> str:
        """(batch, units) → (batch, inputs)"""

    def spread(self, values: Array) -> Array:
        """(filters,) → (units,)"""
        return values

    def weighed(self, g: Graph, x: str) -> str:
        return x if self.coverage is None else g.op("Mul", x, self.coverage)

    def half_squares(self, g: Graph, x: str) -> str:
        """1/2 Σ c x², (batch,)"""
        return g.op("Mul", g.sum(self.weighed(g, g.op("Mul", x, x)), 1), 0.5)

    @abstractmethod
    def curve(self, weights: Array, code: Array) -> Array:
        """Dᵀ c D code, (units,), as numbers."""


@dataclass(frozen=True)
class DenseMaps(Maps):
    image: Shape
    code_shape: tuple[int, ...]

    def correlate(self, g: Graph, weights: Array, x: str) -> str:
        return g.op("MatMul", x, np.ascontiguousarray(weights.T))

    def decode(self, g: Graph, weights: Array, code: str) -> str:
        return g.op("MatMul", code, weights)

    def curve(self, weights: Array, code: Array) -> Array:
        return np.asarray(weights @ (code @ weights))


@dataclass(frozen=True)
class Spatial(Maps):
    """Filters of side `size` at `rows` × `columns` positions, from `padding` pixels before the borders on."""

    image: Shape
    rows: int
    columns: int
    size: int
    stride: int
    padding: int = 0

    @cached_property
    def coverage(self) -> Array | None:  # type: ignore[override]
        down, right = (self._seen(n, side) for n, side in zip((self.rows, self.columns), self.image[:2], strict=True))
        if (down == down[0]).all() and (right == right[0]).all():
            return None
        seen = np.broadcast_to(np.multiply.outer(down, right)[..., None], self.image).reshape(-1)
        return np.asarray(seen / seen.max(), np.float32)

    def _seen(self, positions: int, length: int) -> Array:
        """(length,) how many of the positions along an axis see each pixel"""
        seen = np.zeros(length + 2 * self.padding)
        for position in range(positions):
            seen[position * self.stride : position * self.stride + self.size] += 1
        return seen[self.padding : self.padding + length]

    @abstractmethod
    def _bank(self, weights: Array) -> Array:
        """(rows or 1, columns or 1, units at a position, channels, size, size)"""

    @abstractmethod
    def _at_positions(self, code: Array) -> Array:
        """(units,) → (rows, columns, units at a position)"""

    @abstractmethod
    def _as_code(self, at_positions: Array) -> Array:
        """The inverse of `_at_positions`."""

    def curve(self, weights: Array, code: Array) -> Array:
        bank, at = self._bank(weights).astype(np.float64), self._at_positions(code)
        height, width, channels = self.image
        whole = np.zeros((height + 2 * self.padding, width + 2 * self.padding, channels))
        taps = [(a, b) for a in range(self.size) for b in range(self.size)]
        for a, b in taps:
            whole[self._window(a, b)] += (at[..., None] * bank[..., a, b]).sum(2)
        frame = slice(self.padding, self.padding + height), slice(self.padding, self.padding + width)
        seen = np.zeros_like(whole)
        seen[frame] = whole[frame] * (1 if self.coverage is None else self.coverage.reshape(self.image))
        found = sum((seen[self._window(a, b)][:, :, None] * bank[..., a, b]).sum(3) for a, b in taps)
        return self._as_code(np.asarray(found))

    def _window(self, a: int, b: int) -> tuple[slice, slice]:
        """The pixels that the positions see at row `a` and column `b` of their filters."""
        ends = (a + (self.rows - 1) * self.stride + 1, b + (self.columns - 1) * self.stride + 1)
        return slice(a, ends[0], self.stride), slice(b, ends[1], self.stride)


@dataclass(frozen=True)
class ConvMaps(Spatial):
    kernels: int = 1

    @property
    def code_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.rows, self.columns, self.kernels

    def correlate(self, g: Graph, weights: Array, x: str) -> str:
        images = g.transposed(g.shaped(x, -1, *self.image), 0, 3, 1, 2)
        maps = g.op("Conv", images, weights, strides=[self.stride] * 2, pads=[self.padding] * 4)
        return g.shaped(g.transposed(maps, 0, 2, 3, 1), -1, self.units)

    def decode(self, g: Graph, weights: Array, code: str) -> str:
        maps = g.transposed(g.shaped(code, -1, *self.code_shape), 0, 3, 1, 2)
        # pixels after the last position, which none of them sees
        rest = [(side + 2 * self.padding - self.size) % self.stride for side in self.image[:2]]
        images = g.op(
            "ConvTranspose",
            maps,
            weights,
            strides=[self.stride] * 2,
            pads=[self.padding] * 4,
            output_padding=rest,
        )
        return g.shaped(g.transposed(images, 0, 2, 3, 1), -1, self.inputs)

    def spread(self, values: Array) -> Array:
        return np.tile(values, self.rows * self.columns)

    def _bank(self, weights: Array) -> Array:
        return weights[None, None]

    def _at_positions(self, code: Array) -> Array:
        return code.reshape(self.code_shape)

    def _as_code(self, at_positions: Array) -> Array:
        return at_positions.reshape(-1)


@dataclass(frozen=True)
class LocalMaps(Spatial):
    """`block` positions down and right after which filters repeat, with `side`² units at each."""

    side: int = 1
    block: tuple[int, int] = (1, 1)

    @property
    def code_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.rows * self.side, self.columns * self.side, 1

    @property
    def _repeats(self) -> tuple[int, int]:
        return self.rows // self.block[0], self.columns // self.block[1]

    def _by_position(self, weights: Array) -> Array:
        """(block down, block right, side, side, channels, size, size)"""
        (down, right), side = self.block, self.side
        return weights.reshape(down, side, right, side, *weights.shape[1:]).transpose(0, 2, 1, 3, 4, 5, 6)

    def correlate(self, g: Graph, weights: Array, x: str) -> str:
        (down, right), (times_down, times_right), k, side = self.block, self._repeats, self.size, self.side
        steps = np.arange(k)
        rows, columns = (np.arange(n)[:, None] * self.stride + steps for n in (self.rows, self.columns))
        images = g.shaped(x, -1, *self.image)
        fields = g.op("Gather", g.op("Gather", images, rows.reshape(-1), axis=1), columns.reshape(-1), axis=2)
        split = g.shaped(fields, -1, times_down, down, k, times_right, right, k, self.image[2])
        order = g.transposed(split, 2, 5, 0, 1, 4, 3, 6, 7)
        matrices = self._by_position(weights).transpose(0, 1, 5, 6, 4, 2, 3)
        matrices = np.ascontiguousarray(matrices).reshape(down * right, k * k * self.image[2], side * side)
        found = g.op("MatMul", g.shaped(order, down * right, -1, k * k * self.image[2]), matrices)
        split = g.shaped(found, down, right, -1, times_down, times_right, side, side)
        return g.shaped(g.transposed(split, 2, 3, 0, 5, 4, 1, 6), -1, self.units)

    def decode(self, g: Graph, weights: Array, code: str) -> str:
        (down, right), (times_down, times_right), k, side = self.block, self._repeats, self.size, self.side
        reach = self.image[2] * k * k
        split = g.shaped(code, -1, times_down, down, side, times_right, right, side)
        order = g.shaped(g.transposed(split, 2, 5, 0, 1, 4, 3, 6), down * right, -1, side * side)
        matrices = np.ascontiguousarray(self._by_position(weights)).reshape(down * right, side * side, reach)
        fields = g.shaped(g.op("MatMul", order, matrices), down, right, -1, times_down, times_right, reach)
        columns = g.shaped(g.transposed(fields, 2, 5, 3, 0, 4, 1), -1, reach, self.rows * self.columns)
        images = g.op("Col2Im", columns, list(self.image[:2]), [k, k], strides=[self.stride] * 2)
        return g.shaped(g.transposed(images, 0, 2, 3, 1), -1, self.inputs)

    def spread(self, values: Array) -> Array:
        down, right = self.block[0] * self.side, self.block[1] * self.side
        return np.tile(values.reshape(down, right), self._repeats).reshape(-1)

    def _bank(self, weights: Array) -> Array:
        bank = self._by_position(weights).reshape(*self.block, self.side**2, *weights.shape[1:])
        return np.tile(bank, (*self._repeats, 1, 1, 1, 1))

    def _at_positions(self, code: Array) -> Array:
        split = code.reshape(self.rows, self.side, self.columns, self.side)
        return split.transpose(0, 2, 1, 3).reshape(self.rows, self.columns, -1)

    def _as_code(self, at_positions: Array) -> Array:
        split = at_positions.reshape(self.rows, self.columns, self.side, self.side)
        return split.transpose(0, 2, 1, 3).reshape(-1)


def maps_of(spec: Connection, image: Shape, units: int) -> Maps:
    """`units` of a dense connection: fewer than its spec says where branches were cut."""
    if isinstance(spec, Dense):
        return DenseMaps(image, (units,))
    if isinstance(spec, Conv):
        rows, columns, kernels = spec.code_shape(image)
        return ConvMaps(image, rows, columns, spec.kernel_size, spec.stride, spec.padding, kernels)
    assert isinstance(spec, Local)
    rows, columns = spec.positions(image)
    block = (rows, columns) if spec.tile is None else (spec.tile, spec.tile)
    return LocalMaps(image, rows, columns, spec.field_size, spec.field_stride, 0, spec.side, block)
