"""What every sparsity is to the rest of the core.

A penalty has an energy for each code. To minimise 1/2 ‖x − D z‖² + penalty(z) the solvers ask it for `descend`: the
minimiser of

    L/2 ‖z − u‖²  +  a function that is nowhere below the penalty and touches it at `around`

For a norm with an exact proximal operator that function is the norm itself, and `dual_scale` measures how far from the
minimum a code is.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from worker.sparse.bounds import PerUnit, Rates


class Penalty(nn.Module, ABC):
    # a penalty whose `descend` is exact may be accelerated, and has a duality gap
    exact_prox = False
    # the steps may be extrapolated; where the energy has many minima they must not
    accelerates = True

    @abstractmethod
    def energies(self, code: Tensor, x: Tensor | None = None) -> Tensor:
        """(batch, units) → (batch,), weight included; differentiable, with gradient 0 where a norm is 0."""

    @abstractmethod
    def descend(self, u: Tensor, around: Tensor, lipschitz: float) -> Tensor:
        """The next code (batch, units) from `u`, the end of a gradient step of length 1 / `lipschitz` from `around`.

        Where codes are not to be negative, the caller passes u ≥ 0.
        """

    def dual_scale(self, v: Tensor) -> Tensor:
        """(batch, units) → (batch, 1): the largest s ≤ 1 with s·v in the unit ball of the dual norm."""
        raise NotImplementedError(f"{type(self).__name__} is not a norm")

    def penalty(self, code: Tensor, x: Tensor | None = None) -> Tensor:
        """The mean of `energies` over the batch."""
        return self.energies(code, x).mean()

    def settled(self, code: Tensor) -> Tensor:
        """The code at the end of the iterations, with what is smaller than the smoothing set to zero."""
        return code

    def disturbed(self, code: Tensor, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """The code as the decoder sees it while training."""
        return code

    def active(self, code: Tensor) -> Tensor:
        """(batch, units) bool"""
        return code != 0

    def learn(self, code: Tensor, factor: float) -> None:
        """Learn from a batch of codes what gradient descent on the energy does not; `factor` on the rate."""

    def rates(self) -> Rates:
        return []

    def per_unit(self) -> PerUnit:
        """Parameters with the dimension that counts the units."""
        return []


def root(squares: Tensor) -> Tensor:
    """√ with gradient 0 at 0, where there is none."""
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1).sqrt(), 0)
