"""Convolutional connection: kernels that are the same everywhere, a map of units for each.

    decode(z) = Σ_k D_k ∗ z_k,   ‖D_k‖₂ ≤ max_norm, or ‖D_k‖₂ = max_norm

Kavukcuoglu, Sermanet, Boureau, Gregor, Mathieu and LeCun, NIPS 2010: kernels learned on whole images need not learn
every shift of one edge, as patches do, and learn crosses, corners and centres besides. Zeros lie around a padded image.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

from worker.sparse.connections.spatial import Spatial, cheapest_side

# With more channels the library's own convolutions are as fast as products over cells.
MOST_CHANNELS = 8
LARGEST_CELL = 8


class Conv(Spatial):
    """`dictionary` (units, channels, size, size); codes are (rows, columns, units)."""

    def __init__(
        self,
        dictionary: Tensor,
        image: tuple[int, int, int],
        *,
        stride: int = 1,
        padding: int = 0,
        max_norm: float = 1.0,
        fixed: bool = False,
        update_rate: float | None = None,
    ) -> None:
        size = dictionary.shape[-1]
        rows, columns = ((side + 2 * padding - size) // stride + 1 for side in image[:2])
        super().__init__(
            dictionary,
            image,
            (rows, columns),
            stride=stride,
            padding=padding,
            per_position=len(dictionary),
            max_norm=max_norm,
            fixed=fixed,
            update_rate=update_rate,
        )

    @property
    def code_shape(self) -> tuple[int, ...]:
        return self.rows, self.columns, self.per_position

    def spread(self, values: Tensor) -> Tensor:
        return values.repeat(self.rows * self.columns)

    def gathered(self, values: Tensor) -> Tensor:
        sums: Tensor = values.view(*values.shape[:-1], self.rows * self.columns, self.per_position).sum(-2)
        return sums

    def windows(self, filters: Tensor, examples: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if generator is not None:
            tops, lefts = (
                torch.randint(count, (len(filters),), generator=generator) for count in (self.rows, self.columns)
            )
        else:
            energy = self.correlate(examples.square(), torch.ones_like(self.dictionary[:1]).expand_as(self.dictionary))
            strongest = energy.view(len(examples), -1, self.per_position)[..., 0].argmax(1)
            tops, lefts = strongest // self.columns, strongest % self.columns
        return self._windows_at(examples, tops * self.stride, lefts * self.stride)

    def matrices(self, weights: Tensor) -> Tensor:
        return weights if self._by_library(weights) else super().matrices(weights)

    def decode_by(self, matrices: Tensor, code: Tensor) -> Tensor:
        if matrices.dim() == 3:
            return super().decode_by(matrices, code)
        maps = self._at_positions(code).permute(0, 3, 1, 2)
        covered = [(count - 1) * self.stride + self.size for count in (self.rows, self.columns)]
        rest = [side - seen for side, seen in zip(self._padded_sides, covered, strict=True)]
        images = conv_transpose2d(maps, matrices, stride=self.stride)
        images = torch.nn.functional.pad(images, (0, rest[1], 0, rest[0])) if any(rest) else images
        return self._unpadded(images.permute(0, 2, 3, 1).flatten(1))

    def correlate_by(self, matrices: Tensor, x: Tensor) -> Tensor:
        if matrices.dim() == 3:
            return super().correlate_by(matrices, x)
        images = x.reshape(len(x), *self.image).permute(0, 3, 1, 2)
        maps = conv2d(images, matrices, stride=self.stride, padding=self.padding)
        return maps.permute(0, 2, 3, 1).flatten(1)

    def _by_library(self, weights: Tensor) -> bool:
        return weights.device.type != "cpu" or self.image[2] > MOST_CHANNELS

    def _cell(self) -> tuple[int, tuple[int, int]]:
        most = min(LARGEST_CELL, self.rows, self.columns)
        return cheapest_side(self.size, self.stride, self.per_position, list(range(1, most + 1))), (1, 1)

    def _in_cells(self, weights: Tensor) -> Tensor:
        return weights.permute(0, 2, 3, 1)[None, None, None]

    def _at_positions(self, code: Tensor) -> Tensor:
        return code.view(len(code), self.rows, self.columns, self.per_position)

    def _unit_at(self, rows: Tensor, columns: Tensor, inner: Tensor) -> Tensor:
        return (rows * self.columns + columns) * self.per_position + inner

    def _place_of(self, units: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        position = units // self.per_position
        return position // self.columns, position % self.columns, units % self.per_position

    def blocks_by(self, matrices: Tensor, x: Tensor) -> Tensor:
        if matrices.dim() == 3:
            return super().blocks_by(matrices, x)
        return self.correlate_by(matrices, x).view(-1, self.per_position)

    def unit_in_cell(self, numbers: Tensor, members: Tensor) -> Tensor:
        if self._by_library(self.dictionary):
            return numbers * self.per_position + members
        return super().unit_in_cell(numbers, members)

    def _as_code(self, at_positions: Tensor) -> Tensor:
        return at_positions.flatten(1)
