"""Group sparsity: weight · Σ_P √(Σ_{j ∈ P} g_j z_j²), pools of units that go on and off together.

Kavukcuoglu, Ranzato, Fergus and LeCun, CVPR 2009 (overlapping windows on a torus, Gaussian g); Yuan and Lin, JRSS B
68(1), 2006 (disjoint groups, with their proximal operator u_P · max(0, 1 − step · weight / ‖u_P‖)).

Pools that overlap have no proximal operator in closed form. There √(v) becomes √(v + ε) − √ε, which lies below its
tangent in v: the quadratic 1/2 Σ_j p_j z_j² with p = weight · Gᵀ(1 / √(G y² + ε)), G the (pools, units) profile
matrix, touches it from above at y, and z = u L / (L + p). At the end a unit is zero where one of its pools has shrunk
to the size of the smoothing: the units that survive are those outside every vanished pool.
"""

import math

import torch
from torch import Tensor

from worker.sparse.sparsity.penalty import Penalty, root

# Pools below this many √ε count as vanished: the iterations leave them there instead of at zero.
VANISHED = 4.0


class Pools(Penalty):
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
        super().__init__()
        if disjoint and profile is not None:
            raise ValueError("disjoint pools are flat; a profile goes with pools that overlap")
        given = torch.ones(members.shape[1]) if profile is None else profile
        self.register_buffer("members", members, persistent=False)
        self.register_buffer("matrix", profile_matrix(members, given.expand(members.shape), units), persistent=False)
        if (self.matrix.sum(0) == 0).any():
            raise ValueError(f"unit {int((self.matrix.sum(0) == 0).nonzero()[0])} is in no pool; every unit needs one")
        self.weight = weight
        self.smoothing = smoothing
        self.exact_prox = disjoint
        self.in_turn = disjoint and torch.equal(members.reshape(-1), torch.arange(units))

    def squares(self, code: Tensor) -> Tensor:
        """(batch, units) → (batch, pools): Σ g z²"""
        if self.in_turn:
            pools, size = self.members.shape
            return code.square().reshape(len(code), pools, size).sum(2)
        return torch.mm(code.square(), self.matrix.to(code.dtype).t())

    def pooled(self, code: Tensor) -> Tensor:
        """L2 pooling as an output: (batch, units) → (batch, pools)"""
        return root(self.squares(code))

    def energies(self, code: Tensor, x: Tensor | None = None) -> Tensor:
        if self.exact_prox:
            return self.weight * root(self.squares(code)).sum(1)
        return self.weight * ((self.squares(code) + self.smoothing).sqrt() - math.sqrt(self.smoothing)).sum(1)

    def prox(self, v: Tensor, step: float) -> Tensor:
        """argmin_z 1/2 ‖z − v‖² + step · energies(z), for disjoint pools. Raises ValueError where they overlap."""
        if not self.exact_prox:
            raise ValueError("pools that overlap have no proximal operator in closed form")
        norms = self.pooled(v).clamp_min(torch.finfo(v.dtype).tiny)
        shares = (1 - step * self.weight / norms).clamp_min_(0)
        if self.in_turn:
            return v * shares.repeat_interleave(self.members.shape[1], dim=1)
        return v * (shares @ (self.matrix > 0).to(v.dtype))

    def descend(self, u: Tensor, around: Tensor, lipschitz: float) -> Tensor:
        if self.exact_prox:
            return self.prox(u, 1 / lipschitz)
        curvature = (self.squares(around) + self.smoothing).rsqrt() @ self.matrix.to(u.dtype)
        return u / curvature.mul_(self.weight / lipschitz).add_(1)

    def dual_scale(self, v: Tensor) -> Tensor:
        largest = self.pooled(v).amax(1, keepdim=True)
        return (self.weight / largest.clamp_min(self.weight or 1e-300)).clamp_max(1)

    def settled(self, code: Tensor) -> Tensor:
        if self.exact_prox:
            return code
        vanished = (self.squares(code) < VANISHED**2 * self.smoothing).to(code.dtype)
        return torch.where(vanished @ (self.matrix > 0).to(code.dtype) > 0, 0, code)


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
