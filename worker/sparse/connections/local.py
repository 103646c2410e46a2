"""Local connection: every unit has its own filter on its own field of the image, and nothing is shared.

    decode(z) at pixel p = Σ_j d_j(p − corner of j) z_j,   ‖d_j‖₂ ≤ max_norm, or ‖d_j‖₂ = max_norm

Gregor and LeCun, arXiv 1006.0448. The units lie on a sheet over the image, a square of `side`² at every position. With
`tile` the block of tile × tile positions repeats over the image: every filter then sees as many fields of an image as
there are blocks, and the sheet of filters closes on itself.
"""

import math

import torch
from torch import Tensor

from worker.sparse.connections.spatial import Spatial, cheapest_side

LARGEST_CELL = 16


class Local(Spatial):
    """`dictionary` (filters, channels, size, size), row by row over the sheet of filters, (rows · side, columns · side)
    or of one tile; codes are the sheet over the whole image."""

    def __init__(
        self,
        dictionary: Tensor,
        image: tuple[int, int, int],
        *,
        stride: int = 1,
        side: int = 1,
        tile: int | None = None,
        max_norm: float = 1.0,
        fixed: bool = False,
        update_rate: float | None = None,
    ) -> None:
        size = dictionary.shape[-1]
        rows, columns = ((length - size) // stride + 1 for length in image[:2])
        self.side, self.tile = side, tile
        self.block = (rows, columns) if tile is None else (tile, tile)
        wanted = self.block[0] * self.block[1] * side * side
        if len(dictionary) != wanted:
            raise ValueError(f"{len(dictionary)} filters; {self.block} positions with {side * side} each need {wanted}")
        super().__init__(
            dictionary,
            image,
            (rows, columns),
            stride=stride,
            padding=0,
            per_position=side * side,
            max_norm=max_norm,
            fixed=fixed,
            update_rate=update_rate,
        )

    @property
    def code_shape(self) -> tuple[int, ...]:
        return self.rows * self.side, self.columns * self.side, 1

    @property
    def map_shape(self) -> tuple[int, int]:
        """Rows and columns of the sheet of filters."""
        return self.block[0] * self.side, self.block[1] * self.side

    @property
    def positions(self) -> Tensor:
        """(filters, 2) top and left pixel of each filter's field, the first one where it repeats"""
        number = torch.arange(self.filters)
        rows, columns = number // self.map_shape[1], number % self.map_shape[1]
        return torch.stack([rows, columns], 1) // self.side * self.stride

    def spread(self, values: Tensor) -> Tensor:
        down, right = self.map_shape
        times = self.rows // self.block[0], self.columns // self.block[1]
        return values.view(1, down, 1, right).expand(times[0], down, times[1], right).flatten()

    def gathered(self, values: Tensor) -> Tensor:
        down, right = self.map_shape
        times = self.rows // self.block[0], self.columns // self.block[1]
        sums: Tensor = values.view(*values.shape[:-1], times[0], down, times[1], right).sum((-4, -2))
        return sums.flatten(-2)

    def windows(self, filters: Tensor, examples: Tensor, generator: torch.Generator | None = None) -> Tensor:
        tops, lefts = self.positions[filters.cpu()].to(examples.device).unbind(1)
        return self._windows_at(examples, tops, lefts)

    def _cell(self) -> tuple[int, tuple[int, int]]:
        if self.tile is not None:
            sides = [n for n in range(1, min(LARGEST_CELL, self.tile) + 1) if self.tile % n == 0]
        else:
            sides = list(range(1, min(LARGEST_CELL, self.rows, self.columns) + 1))
        side = cheapest_side(self.size, self.stride, self.per_position, sides)
        return side, (math.ceil(self.block[0] / side), math.ceil(self.block[1] / side))

    def _in_cells(self, weights: Tensor) -> Tensor:
        side, (down, right) = self.cells.side, self.cells.period
        sheet = weights.view(self.block[0], self.side, self.block[1], self.side, *weights.shape[1:])
        extra = down * side - self.block[0], right * side - self.block[1]
        if any(extra):
            none = (0,) * 8
            sheet = torch.nn.functional.pad(sheet, (*none, 0, extra[1], 0, 0, 0, extra[0]))
        cells = sheet.view(down, side, self.side, right, side, self.side, *weights.shape[1:])
        order = cells.permute(0, 3, 1, 4, 2, 5, 7, 8, 6)
        return order.reshape(down * right, side, side, self.per_position, self.size, self.size, weights.shape[1])

    def _at_positions(self, code: Tensor) -> Tensor:
        split = code.view(len(code), self.rows, self.side, self.columns, self.side)
        return split.permute(0, 1, 3, 2, 4).flatten(3)

    def _unit_at(self, rows: Tensor, columns: Tensor, inner: Tensor) -> Tensor:
        across = self.columns * self.side
        return (rows * self.side + inner // self.side) * across + columns * self.side + inner % self.side

    def _place_of(self, units: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        across, (down, right) = self.columns * self.side, self.map_shape
        rows, columns = units // across, units % across
        return rows // self.side, columns // self.side, rows % down * right + columns % right

    def _as_code(self, at_positions: Tensor) -> Tensor:
        split = at_positions.reshape(-1, self.rows, self.columns, self.side, self.side)
        return split.permute(0, 1, 3, 2, 4).flatten(1)
