"""Fields of an image as matrix products: positions in square cells, each cell one matrix.

A unit at position (i, j) sees the field of `size` × `size` pixels whose corner is pixel (i · stride, j · stride). The
`side`² positions of a cell together see `reach` = size + (side − 1) · stride pixels a side, and with `per_position`
units at each position they are one matrix (side² · per_position, reach² · channels), with zeros where a unit does not
see:

    codes of all images, cell by cell   (cells, images, reach² C) × (cells, reach² C, side² per_position)

These are real matrix products, at some four tenths of useful multiplications; unfolded one position at a time the same
work is bound by memory. Cells repeat every `period` cells: one period for shared filters (a convolution), as many as
there are cells where every unit has its own.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Cells:
    """How positions (rows, columns) over images (height, width, channels) are gathered in cells.

    `rows` and `columns` count positions; `period` (down, right) counts cells until the same matrices come again.
    """

    height: int
    width: int
    channels: int
    size: int
    stride: int
    rows: int
    columns: int
    side: int
    period: tuple[int, int]

    @property
    def reach(self) -> int:
        return self.size + (self.side - 1) * self.stride

    @property
    def count(self) -> tuple[int, int]:
        """Cells down and right, the last ones filled up with positions that are not there."""
        down, right = -(-self.rows // self.side), -(-self.columns // self.side)
        return -(-down // self.period[0]) * self.period[0], -(-right // self.period[1]) * self.period[1]

    @property
    def framed(self) -> tuple[int, int]:
        """Height and width of an image that is large enough for all cells."""
        step = self.side * self.stride
        down, right = self.count
        return max(self.height, (down - 1) * step + self.reach), max(self.width, (right - 1) * step + self.reach)

    def fields(self, x: Tensor) -> Tensor:
        """(batch, height · width · channels) → (periods, batch · repeats, reach² · channels)"""
        fields: Tensor = Fields.apply(x, self)  # type: ignore[no-untyped-call]
        return fields

    def joined(self, fields: Tensor) -> Tensor:
        """The adjoint of `fields`: overlapping fields add up."""
        joined: Tensor = Joined.apply(fields, self)  # type: ignore[no-untyped-call]
        return joined

    def by_cell(self, code: Tensor, per_position: int) -> Tensor:
        """(batch, rows, columns, per_position) → (periods, batch · repeats, side² · per_position)"""
        down, right = self.count
        extra = down * self.side - self.rows, right * self.side - self.columns
        if any(extra):
            code = torch.nn.functional.pad(code, (0, 0, 0, extra[1], 0, extra[0]))
        (py, px), side = self.period, self.side
        split = code.view(len(code), down // py, py, side, right // px, px, side, per_position)
        return split.permute(2, 5, 0, 1, 4, 3, 6, 7).reshape(py * px, -1, side * side * per_position)

    def by_position(self, code: Tensor, per_position: int) -> Tensor:
        """The inverse of `by_cell`."""
        down, right = self.count
        (py, px), side = self.period, self.side
        split = code.view(py, px, -1, down // py, right // px, side, side, per_position)
        whole = split.permute(2, 3, 0, 5, 4, 1, 6, 7).reshape(-1, down * side, right * side, per_position)
        return whole[:, : self.rows, : self.columns]

    def position_of(self, cells: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) row and column of the position at each of `places` within its cell; `cells` counts them as `by_cell`
        lays out those of one image."""
        (py, px), (down, right) = self.period, self.count
        across = right // px
        phase, repeat = cells // (down // py * across), cells % (down // py * across)
        row, column = repeat // across * py + phase // px, repeat % across * px + phase % px
        return row * self.side + places // self.side, column * self.side + places % self.side

    def matrices(self, filters: Tensor) -> Tensor:
        """(periods, side, side, per_position, size, size, channels) → (periods, side² per_position, reach² channels)

        A period of one cell with one position's filters, (1, 1, 1, …), shares them among all positions.
        """
        matrices: Tensor = Matrices.apply(filters, self)  # type: ignore[no-untyped-call]
        return matrices


class Fields(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cells: Cells) -> Tensor:
        ctx.cells = cells
        return cut(x, cells)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return overlapped(gradient, ctx.cells), None


class Joined(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, fields: Tensor, cells: Cells) -> Tensor:
        ctx.cells = cells
        return overlapped(fields, cells)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return cut(gradient, ctx.cells), None


class Matrices(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, filters: Tensor, cells: Cells) -> Tensor:
        ctx.cells, ctx.shape = cells, filters.shape
        periods, given, _, per_position, size, _, channels = filters.shape
        side, reach = cells.side, cells.reach
        out = filters.new_zeros(periods, side, side, per_position, reach, reach, channels)
        for a, b, top, left in corners(cells):
            own = filters[:, a % given, b % given]
            out[:, a, b, :, top : top + size, left : left + size] = own
        return out.view(periods, side * side * per_position, reach * reach * channels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        cells, shape = ctx.cells, ctx.shape
        periods, given, _, per_position, size, _, channels = shape
        side, reach = cells.side, cells.reach
        gradient = gradient.view(periods, side, side, per_position, reach, reach, channels)
        out = gradient.new_zeros(shape)
        for a, b, top, left in corners(cells):
            out[:, a % given, b % given] += gradient[:, a, b, :, top : top + size, left : left + size]
        return out, None


def corners(cells: Cells) -> list[tuple[int, int, int, int]]:
    """Of each position of a cell: its row and column, and the corner of its field within the reach of the cell."""
    side, stride = cells.side, cells.stride
    return [(a, b, a * stride, b * stride) for a in range(side) for b in range(side)]


def cut(x: Tensor, cells: Cells) -> Tensor:
    (height, width), (down, right), (py, px) = cells.framed, cells.count, cells.period
    images = x.reshape(-1, cells.height, cells.width, cells.channels)
    extra = height - cells.height, width - cells.width
    if any(extra):
        images = torch.nn.functional.pad(images, (0, 0, 0, extra[1], 0, extra[0]))
    step = cells.side * cells.stride
    seen = images.unfold(1, cells.reach, step).unfold(2, cells.reach, step)[:, :down, :right]
    # (batch, down, right, C, reach, reach), no copy yet
    split = seen.view(len(images), down // py, py, right // px, px, cells.channels, cells.reach, cells.reach)
    order: Tensor = split.permute(2, 4, 0, 1, 3, 6, 7, 5)
    return order.reshape(py * px, -1, cells.reach**2 * cells.channels)


def overlapped(fields: Tensor, cells: Cells) -> Tensor:
    (height, width), (down, right), (py, px) = cells.framed, cells.count, cells.period
    step, reach, channels = cells.side * cells.stride, cells.reach, cells.channels
    split = fields.view(py, px, -1, down // py, right // px, reach, reach, channels)
    # (batch, down, reach, right, reach, C)
    rows = split.permute(2, 3, 0, 5, 4, 1, 6, 7).flatten(1, 2).flatten(3, 4)
    pieces = -(-reach // step)
    out = fields.new_zeros(len(rows), down + pieces, step, right + pieces, step, channels)
    for a in range(pieces):
        tall = min(step, reach - a * step)
        for b in range(pieces):
            wide = min(step, reach - b * step)
            part = rows[:, :, a * step : a * step + tall, :, b * step : b * step + wide]
            out[:, a : a + down, :tall, b : b + right, :wide] += part
    image = out.view(len(rows), (down + pieces) * step, (right + pieces) * step, channels)
    if image.shape[1] < height or image.shape[2] < width:
        image = torch.nn.functional.pad(image, (0, 0, 0, width - image.shape[2], 0, height - image.shape[1]))
    return image[:, : cells.height, : cells.width].reshape(len(rows), -1)
