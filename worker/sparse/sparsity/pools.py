"""Group sparsity: weight · Σ_P √(Σ_{j ∈ P} g_j z_j²), pools of units that go on and off together.

Kavukcuoglu, Ranzato, Fergus and LeCun, CVPR 2009 (overlapping windows on a torus, Gaussian g); Yuan and Lin, JRSS B
68(1), 2006 (disjoint groups, with their proximal operator u_P · max(0, 1 − step · weight / ‖u_P‖)).
"""

import torch
from torch import Tensor

from worker.sparse.sparsity.pool_norm import PoolNorm


class Pools(PoolNorm):
    """`members` (pools, size) indices of units, `profile` (size,) or (pools, size): g of each member."""

    members: Tensor
    matrix: Tensor

    def __init__(
        self,
        members: Tensor,
        units: int,
        *,
        profile: Tensor | None = None,
        weight: float = 0.1,
        smoothing: float = 1e-6,
        disjoint: bool = False,
    ) -> None:
        super().__init__(weight, smoothing, disjoint)
        if disjoint and profile is not None:
            raise ValueError("disjoint pools are flat; a profile goes with pools that overlap")
        given = torch.ones(members.shape[1]) if profile is None else profile
        self.register_buffer("members", members, persistent=False)
        self.register_buffer("matrix", profile_matrix(members, given.expand(members.shape), units), persistent=False)
        if (self.matrix.sum(0) == 0).any():
            raise ValueError(f"unit {int((self.matrix.sum(0) == 0).nonzero()[0])} is in no pool; every unit needs one")
        self.in_turn = disjoint and torch.equal(members.reshape(-1), torch.arange(units))

    def squares(self, code: Tensor) -> Tensor:
        if self.in_turn:
            pools, size = self.members.shape
            return code.square().reshape(len(code), pools, size).sum(2)
        return torch.mm(code.square(), self.matrix.to(code.dtype).t())

    def spread(self, values: Tensor) -> Tensor:
        return values @ self.matrix.to(values.dtype)

    def touched(self, pools: Tensor) -> Tensor:
        if self.in_turn:
            return pools.repeat_interleave(self.members.shape[1], dim=1)
        return pools @ (self.matrix > 0).to(pools.dtype)

    @property
    def pooled_shape(self) -> tuple[int, ...]:
        return (len(self.members),)


def profile_matrix(members: Tensor, profile: Tensor, units: int) -> Tensor:
    """G (pools, units)"""
    matrix = torch.zeros(len(members), units, dtype=profile.dtype)
    return matrix.scatter_add_(1, members, profile)


def disjoint_pools(units: int, size: int) -> Tensor:
    """Members (units / size, size): units in turn."""
    return torch.arange(units).reshape(-1, size)


def ring_pools(units: int, size: int, stride: int) -> Tensor:
    """Members (⌈units / stride⌉, size): windows on a ring that closes."""
    return (torch.arange(0, units, stride)[:, None] + torch.arange(size)) % units


def torus_pools(height: int, width: int, size: int, stride: int) -> Tensor:
    """Members (pools, size²): square windows on a map that closes in both directions."""
    rows, columns = ring_pools(height, size, stride), ring_pools(width, size, stride)
    return (rows[:, None, :, None] * width + columns[None, :, None, :]).reshape(-1, size * size)


def gaussian_profile(size: int, sigma: float, dimensions: int) -> Tensor:
    """g (size^dimensions,): exp(−d² / 2σ²), d the distance from the middle of the pool, in units."""
    squares = (torch.arange(size) - (size - 1) / 2).square()
    distances = squares if dimensions == 1 else squares[:, None] + squares
    return torch.exp(-distances / (2 * sigma**2)).reshape(-1)
