"""Group sparsity over space: weight · Σ_P √(Σ_{j ∈ P} g_j z_j²), each pool a window of positions and a group of maps.

The convolutional auto-encoder of LeCun's lecture 9.1 (pools over a spatial window and a set of feature maps) and the
sheet of Gregor and LeCun, arXiv 1006.0448 (overlapping Gaussian neighbourhoods). The profile of a pool is a product, g
= down(row) · right(column) · group(map): all pools together are three small matrices applied in turn, whatever the size
of the sheet. Energies, their smoothing and `descend` are those of all pools.
"""

import torch
from torch import Tensor

from worker.sparse.sparsity.pool_norm import PoolNorm


class SpatialPools(PoolNorm):
    """`down` (pools down, rows), `right` (pools right, columns), `groups` (pools at a place, units at a position)."""

    down: Tensor
    right: Tensor
    groups: Tensor

    def __init__(
        self,
        down: Tensor,
        right: Tensor,
        groups: Tensor,
        *,
        weight: float,
        smoothing: float = 1e-6,
        disjoint: bool = False,
    ) -> None:
        super().__init__(weight, smoothing, disjoint)
        for name, matrix in {"down": down, "right": right, "groups": groups}.items():
            if (matrix.sum(0) == 0).any():
                raise ValueError(f"{name} {int((matrix.sum(0) == 0).nonzero()[0])} is in no pool; every unit needs one")
            self.register_buffer(name, matrix, persistent=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, columns, units at a position) of a code"""
        return self.down.shape[1], self.right.shape[1], self.groups.shape[1]

    @property
    def pooled_shape(self) -> tuple[int, ...]:
        return self.down.shape[0], self.right.shape[0], self.groups.shape[0]

    def squares(self, code: Tensor) -> Tensor:
        return self._sums(code.square())

    def spread(self, values: Tensor) -> Tensor:
        return self._along(values, self.pooled_shape, (self.down.t(), self.right.t(), self.groups.t()))

    def touched(self, pools: Tensor) -> Tensor:
        matrices = ((matrix > 0).to(pools.dtype).t() for matrix in (self.down, self.right, self.groups))
        return self._along(pools, self.pooled_shape, tuple(matrices))

    def _sums(self, values: Tensor) -> Tensor:
        return self._along(values, self.shape, (self.down, self.right, self.groups))

    def _along(self, values: Tensor, shape: tuple[int, ...], matrices: tuple[Tensor, ...]) -> Tensor:
        """One matrix along each axis of `values` (batch, …)."""
        down, right, groups = (matrix.to(values.dtype) for matrix in matrices)
        rows, columns, units = shape
        at_places = values.view(-1, rows, columns, units)
        if units > 1 or len(groups) > 1:
            at_places = at_places @ groups.t()
        at_rows = down @ at_places.flatten(2)
        if len(groups) == 1:  # one product for all rows, instead of one for each
            return (at_rows @ right.t()).flatten(1)
        return (right @ at_rows.view(len(values), len(down), columns, -1)).flatten(1)


def windows(length: int, size: int, stride: int) -> Tensor:
    """(windows, length) 1 where a window holds a place: one every `stride` until the end is reached, the last cut."""
    count = max(0, -(-(length - size) // stride)) + 1
    starts = stride * torch.arange(count)[:, None]
    places = torch.arange(length)
    return ((places >= starts) & (places < starts + size)).float()


def gaussian_windows(length: int, size: int, stride: int, sigma: float) -> Tensor:
    """(windows, length) exp(−d² / 2σ²) around every `stride`-th place, zero from size / 2 on; cut at the ends.

    The last middle may lie beyond the end, where it is needed for the last place to be in a window.
    """
    count = max(-(-length // stride), -(-(length - 1 - size // 2) // stride) + 1)
    middles = stride * torch.arange(count)[:, None]
    distances = (torch.arange(length) - middles).float()
    return torch.exp(-distances.square() / (2 * sigma**2)) * (distances.abs() <= size / 2)


def ring_windows(length: int, size: int, stride: int) -> Tensor:
    """(windows, length) windows that go on from the end at the beginning."""
    starts = torch.arange(0, length, stride)[:, None]
    return (((torch.arange(length) - starts) % length) < size).float()
