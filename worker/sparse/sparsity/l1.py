"""L1 sparsity: weight · ‖z‖₁, the convex stand-in for counting active units.

Rolfe and LeCun, ICLR 2013, equation 2; their code divides out to weight 0.018 beside 1/2 ‖x − D z‖². Its proximal
operator is the soft threshold sign(u) max(0, |u| − step · weight), one-sided where u ≥ 0.
"""

from torch import Tensor
from torch.nn.functional import softshrink

from worker.sparse.sparsity.penalty import Penalty


class L1(Penalty):
    exact_prox = True

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def energies(self, code: Tensor, x: Tensor | None = None) -> Tensor:
        return self.weight * code.abs().sum(1)

    def prox(self, v: Tensor, step: float) -> Tensor:
        """argmin_z 1/2 ‖z − v‖² + step · weight · ‖z‖₁"""
        return softshrink(v, step * self.weight)

    def descend(self, u: Tensor, around: Tensor, lipschitz: float) -> Tensor:
        return self.prox(u, 1 / lipschitz)

    def dual_scale(self, v: Tensor) -> Tensor:
        return (self.weight / v.abs().amax(1, keepdim=True).clamp_min(self.weight or 1e-300)).clamp_max(1)
