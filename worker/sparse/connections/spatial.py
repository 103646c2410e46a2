"""What connections with small filters on an image have in common: kernels that are shared, and fields that are not.

`dictionary` and encoders are (filters, channels, size, size). Inputs are images, row by row with the channels
innermost; codes lie over them, row by row with the units of a position innermost. All maps are matrix products over
cells of positions (`cells`).
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from worker.sparse.bounds import FILTER_DIMS
from worker.sparse.connections.cells import Cells
from worker.sparse.connections.connection import Connection
from worker.sparse.connections.hessian import DiagonalHessian
from worker.sparse.solvers import LinearMap, waves

TEMPLATE_SHARE = 0.25
POWER_ITERATIONS = 1
MOST_TEMPLATES = 2**24  # numbers of the examples that first filters are cut from at once
# What reading a value of a field costs beside a multiplication, measured.
COST_OF_READING = 120


class Spatial(Connection):
    """`image` (height, width, channels) of an input; `rows` × `columns` positions, one every `stride` pixels from
    `padding` pixels before the borders on; `per_position` units at each."""

    def __init__(
        self,
        dictionary: Tensor,
        image: tuple[int, int, int],
        positions: tuple[int, int],
        *,
        stride: int,
        padding: int,
        per_position: int,
        max_norm: float,
        fixed: bool,
        update_rate: float | None,
    ) -> None:
        super().__init__(dictionary.clone(memory_format=torch.contiguous_format), max_norm, fixed)
        self.image = image
        self.size = dictionary.shape[-1]
        self.stride, self.padding, self.per_position = stride, padding, per_position
        self.rows, self.columns = positions
        self.register_buffer("coverage", self._coverage(), persistent=False)
        if update_rate is not None:
            first = waves(dictionary.numel(), dictionary).view_as(dictionary)
            self.hessian = DiagonalHessian(len(dictionary), first, update_rate, POWER_ITERATIONS)

    @property
    def inputs(self) -> int:
        height, width, channels = self.image
        return height * width * channels

    @property
    def units(self) -> int:
        return self.rows * self.columns * self.per_position

    @cached_property
    def cells(self) -> Cells:
        height, width, channels = self.image
        side, period = self._cell()
        return Cells(
            height + 2 * self.padding,
            width + 2 * self.padding,
            channels,
            self.size,
            self.stride,
            self.rows,
            self.columns,
            side,
            period,
        )

    @abstractmethod
    def _cell(self) -> tuple[int, tuple[int, int]]:
        """Side of a cell in positions, and its period in cells."""

    def matrices(self, weights: Tensor) -> Tensor:
        """`weights` (filters, channels, size, size) as the matrices of the cells."""
        return self.cells.matrices(self._in_cells(weights))

    @abstractmethod
    def _in_cells(self, weights: Tensor) -> Tensor:
        """(filters, channels, size, size) → (periods, side, side, per_position, size, size, channels), or of one
        position where all share it"""

    @abstractmethod
    def _at_positions(self, code: Tensor) -> Tensor:
        """(batch, units) → (batch, rows, columns, per_position)"""

    @abstractmethod
    def _as_code(self, at_positions: Tensor) -> Tensor:
        """The inverse of `_at_positions`."""

    @abstractmethod
    def _unit_at(self, rows: Tensor, columns: Tensor, inner: Tensor) -> Tensor:
        """(n,) the units at these positions, `inner` counting those of one"""

    @abstractmethod
    def _place_of(self, units: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n,) row and column of the position of each unit, and its filter"""

    def corners(self, units: Tensor) -> Tensor:
        """(n, 2) top and left pixel of the field of each of `units` (n,), below 0 where it reaches over the border."""
        rows, columns, _ = self._place_of(units)
        return torch.stack([rows, columns], 1) * self.stride - self.padding

    def decode(self, code: Tensor, dictionary: Tensor | None = None) -> Tensor:
        return self.decode_by(self.matrices(self.dictionary if dictionary is None else dictionary), code)

    def correlate(self, x: Tensor, dictionary: Tensor | None = None) -> Tensor:
        return self.correlate_by(self.matrices(self.dictionary if dictionary is None else dictionary), x)

    def decode_by(self, matrices: Tensor, code: Tensor) -> Tensor:
        fields = torch.bmm(self.cells.by_cell(self._at_positions(code), self.per_position), matrices)
        return self._unpadded(self.cells.joined(fields))

    def correlate_by(self, matrices: Tensor, x: Tensor) -> Tensor:
        codes = torch.bmm(self.cells.fields(self._padded(x)), matrices.transpose(1, 2))
        return self._as_code(self.cells.by_position(codes, self.per_position))

    def blocks_by(self, matrices: Tensor, x: Tensor) -> Tensor:
        """`correlate_by` of one input (1, inputs), cell by cell: (cells, units of a cell), zero where there is none"""
        found = torch.bmm(self.cells.fields(self._padded(x)), matrices.transpose(1, 2)).flatten(0, 1)
        cut, there = self._cut_cells
        found[cut] *= there
        return found

    @cached_property
    def _cut_cells(self) -> tuple[Tensor, Tensor]:
        """Cells that reach beyond the last position, and (cells, units of a cell) 1 for what they have all the same."""
        ones = torch.ones(1, self.rows, self.columns, self.per_position, device=self.dictionary.device)
        there = self.cells.by_cell(ones, self.per_position).flatten(0, 1)
        cut = (there.amin(1) == 0).nonzero()[:, 0]
        return cut, there[cut].to(self.dictionary.dtype)

    def unit_in_cell(self, numbers: Tensor, members: Tensor) -> Tensor:
        """(n,) the units at these places of `blocks_by`"""
        rows, columns = self.cells.position_of(numbers, members // self.per_position)
        return self._unit_at(rows, columns, members % self.per_position)

    def columns_of(self, units: Tensor) -> tuple[Tensor, Tensor]:
        """Of `units` (n,) the pixels of their fields (n, size² · channels) and what they write there; pixels in the
        padding are pixel 0, with nothing written."""
        (height, width, channels), steps = self.image, torch.arange(self.size, device=units.device)
        rows, columns, filters = self._place_of(units)
        down = (rows * self.stride - self.padding)[:, None] + steps
        right = (columns * self.stride - self.padding)[:, None] + steps
        pixels = (down * width)[:, :, None] + right[:, None]
        inside = ((down >= 0) & (down < height))[:, :, None] & ((right >= 0) & (right < width))[:, None]
        every = torch.arange(channels, device=units.device)
        places = torch.where(inside, pixels, 0)[..., None] * channels + every
        values = self.dictionary.detach().permute(0, 2, 3, 1)[filters] * inside[..., None]
        return places.flatten(1), values.flatten(1)

    def encode(self, encoder: Tensor, x: Tensor) -> Tensor:
        return self.correlate(x, encoder)

    def first_encoder(self) -> Tensor:
        return self.dictionary.detach()

    def pictures(self, weights: Tensor) -> Tensor:
        return weights.permute(0, 2, 3, 1)

    def linear_map(self) -> LinearMap:
        return SpatialMap(self)

    def norms(self) -> Tensor:
        norms: Tensor = torch.linalg.vector_norm(self.dictionary.detach(), dim=FILTER_DIMS)
        return norms

    def scale_(self, factors: Tensor) -> None:
        self.dictionary.mul_(factors[:, None, None, None])

    def curvature_of(self, code: Tensor, weights: Tensor) -> Callable[[Tensor], Tensor]:
        scales, code = weights[:, None, None, None], code.detach()

        def multiply(vector: Tensor) -> Tensor:
            with torch.enable_grad():
                filters = (vector * scales).requires_grad_()
                x = self.decode(code, filters)
                weighed = self.weighed(x.detach())
                (product,) = torch.autograd.grad(x, filters, weighed)
            return product * scales / len(code)

        return multiply

    @torch.no_grad()
    def draw(self, examples: Tensor, generator: torch.Generator) -> None:
        """First filters of norm 1: noise, and for a quarter what `examples` (n, inputs), n ≥ 1, show at their
        places."""
        noise = torch.randn(self.dictionary.shape, dtype=examples.dtype, generator=generator)
        numbers, some = torch.arange(self.filters), max(1, MOST_TEMPLATES // self.inputs)
        parts = [numbers[start : start + some] for start in range(0, self.filters, some)]
        templates = torch.cat([self.windows(part, examples[part % len(examples)], generator) for part in parts])
        drawn = unit_norm(noise) + TEMPLATE_SHARE * unit_norm(templates)
        self.dictionary.copy_(unit_norm(drawn))

    @torch.no_grad()
    def revive(self, filters: Tensor, examples: Tensor) -> None:
        length = self.max_norm if self.fixed else self.norms().mean()
        self.dictionary[filters] = length * unit_norm(self.windows(filters, examples))

    @abstractmethod
    def windows(self, filters: Tensor, examples: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(k, channels, size, size) of `examples` (k, inputs) what each of `filters` (k,) may see: where it can be in
        many places a drawn one, or without a generator the one where the example is strongest."""

    def _windows_at(self, examples: Tensor, tops: Tensor, lefts: Tensor) -> Tensor:
        """(k, channels, size, size) of each example the window at its corner, counted on the padded image."""
        images = self._padded(examples).view(len(examples), *self._padded_sides, self.image[2])
        windows = images.unfold(1, self.size, 1).unfold(2, self.size, 1)  # no copy
        return windows[torch.arange(len(examples), device=examples.device), tops, lefts]

    @property
    def _padded_sides(self) -> tuple[int, int]:
        return self.image[0] + 2 * self.padding, self.image[1] + 2 * self.padding

    def _padded(self, x: Tensor) -> Tensor:
        if self.padding == 0:
            return x
        edge = self.padding
        framed = torch.nn.functional.pad(x.reshape(len(x), *self.image), (0, 0, edge, edge, edge, edge))
        return framed.flatten(1)

    def _unpadded(self, x: Tensor) -> Tensor:
        if self.padding == 0:
            return x
        edge, (height, width, channels) = self.padding, self.image
        whole = x.view(len(x), *self._padded_sides, channels)
        return whole[:, edge : edge + height, edge : edge + width].flatten(1)

    def _coverage(self) -> Tensor | None:
        """(inputs,) share of the positions that see each pixel, of the most that see one; None where all are equal."""
        down = self._seen_by(self.rows, self.image[0])
        right = self._seen_by(self.columns, self.image[1])
        if bool((down == down[0]).all() and (right == right[0]).all()):
            return None
        seen = (down[:, None] * right)[..., None].expand(self.image).flatten()
        return (seen / seen.max()).to(self.dictionary.dtype)

    def _seen_by(self, positions: int, length: int) -> Tensor:
        """(length,) how many of the positions along an axis see each pixel"""
        seen = torch.zeros(length + 2 * self.padding)
        for position in range(positions):
            seen[position * self.stride : position * self.stride + self.size] += 1
        return seen[self.padding : self.padding + length]


class SpatialMap(LinearMap):
    """The maps of a connection, with the matrices of its cells made once."""

    def __init__(self, connection: Spatial) -> None:
        self.connection = connection
        self.matrices = connection.matrices(connection.dictionary.detach())
        self.inputs, self.units = connection.inputs, connection.units

    def decode(self, code: Tensor) -> Tensor:
        return self.connection.decode_by(self.matrices, code)

    def correlate(self, x: Tensor) -> Tensor:
        return self.connection.correlate_by(self.matrices, self.weighed(x))

    def weighed(self, x: Tensor) -> Tensor:
        return self.connection.weighed(x)

    def columns(self, units: Tensor) -> tuple[Tensor, Tensor]:
        return self.connection.columns_of(units)

    def blocks(self, x: Tensor) -> Tensor:
        return self.connection.blocks_by(self.matrices, self.weighed(x))

    def unit_at(self, blocks: Tensor, members: Tensor) -> Tensor:
        return self.connection.unit_in_cell(blocks, members)

    def half_squares(self, x: Tensor) -> Tensor:
        return 0.5 * self.weighed(x.square()).sum(1)

    @property
    def first(self) -> Tensor:
        return waves(self.units, self.matrices)


def unit_norm(filters: Tensor) -> Tensor:
    """`filters` (k, channels, size, size) of norm 1; those of zeros stay."""
    norms: Tensor = torch.linalg.vector_norm(filters, dim=FILTER_DIMS, keepdim=True)
    return filters / norms.clamp_min(torch.finfo(filters.dtype).tiny)


def cheapest_side(size: int, stride: int, per_position: int, sides: list[int]) -> int:
    """Which of `sides` makes cells that cost least: large ones multiply by more zeros, small ones read more often."""

    def cost(side: int) -> float:
        reach = size + (side - 1) * stride
        return reach**2 * (per_position + COST_OF_READING / side**2)

    return min(sides, key=cost)
