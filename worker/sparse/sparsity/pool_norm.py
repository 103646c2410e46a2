"""The energy of pools, wherever their units lie: weight · Σ_P √(Σ_{j ∈ P} g_j z_j²).

Pools that overlap have no proximal operator in closed form. There √(v) becomes √(v + ε) − √ε, which lies below its
tangent in v: the quadratic 1/2 Σ_j p_j z_j² with p = weight · Gᵀ(1 / √(G y² + ε)), G the (pools, units) profile
matrix, touches it from above at y, and z = u L / (L + p). At the end a unit is zero where one of its pools has shrunk
to the size of the smoothing: the units that survive are those outside every vanished pool.
"""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from worker.sparse.sparsity.penalty import Penalty, root

# Pools below this many √ε count as vanished: the iterations leave them there instead of at zero.
VANISHED = 4.0


class PoolNorm(Penalty):
    """`weight` and `smoothing` ε; `exact_prox` where no two pools share a unit and all g are 1."""

    def __init__(self, weight: float, smoothing: float, disjoint: bool) -> None:
        super().__init__()
        self.weight = weight
        self.smoothing = smoothing
        self.exact_prox = disjoint

    @property
    @abstractmethod
    def pooled_shape(self) -> tuple[int, ...]:
        """What the pools of a code are."""

    @abstractmethod
    def squares(self, code: Tensor) -> Tensor:
        """(batch, units) → (batch, pools): Σ g z²"""

    @abstractmethod
    def spread(self, values: Tensor) -> Tensor:
        """The adjoint of `squares` in the squares: (batch, pools) → (batch, units)"""

    @abstractmethod
    def touched(self, pools: Tensor) -> Tensor:
        """(batch, pools) → (batch, units): of each unit the sum over all pools that it belongs to"""

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
        return v * self.touched((1 - step * self.weight / norms).clamp_min_(0))

    def descend(self, u: Tensor, around: Tensor, lipschitz: float) -> Tensor:
        if self.exact_prox:
            return self.prox(u, 1 / lipschitz)
        curvature = self.spread((self.squares(around) + self.smoothing).rsqrt())
        return u / curvature.mul_(self.weight / lipschitz).add_(1)

    def dual_scale(self, v: Tensor) -> Tensor:
        largest = self.pooled(v).amax(1, keepdim=True)
        return (self.weight / largest.clamp_min(self.weight or 1e-300)).clamp_max(1)

    def settled(self, code: Tensor) -> Tensor:
        if self.exact_prox:
            return code
        vanished = (self.squares(code) < VANISHED**2 * self.smoothing).to(code.dtype)
        return torch.where(self.touched(vanished) > 0, 0, code)
