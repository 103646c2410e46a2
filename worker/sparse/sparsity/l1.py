"""L1 sparsity: weight · ‖z‖₁, the mean over the batch.

The convex stand-in for counting active units. Rolfe and LeCun, ICLR 2013, equation 2; their code divides out to
weight 0.018 beside 1/2 ‖x − D z‖².
"""

from torch import Tensor


class L1:
    def __init__(self, weight: float) -> None:
        self.weight = weight

    def penalty(self, code: Tensor) -> Tensor:
        """(batch, units) → scalar"""
        return self.weight * code.abs().sum() / len(code)
