"""Second-order steps on a dictionary, with the diagonal of its Hessian (LeCun, Bottou, Orr and Müller 1998, 9).

The energy 1/2 ‖x − D z‖² is quadratic in D, and z_j² is its curvature along column j; where units share a filter, the
sum over them. With h a running mean of it

    D ← D − rate · ∇ / (h + 0.1 mean h)

Where all units are active at once, as with overlapping pools, Adam divides every entry by its own noise and columns
never become clean; this divides whole columns. The steps of correlated units add up: the rate is lowered so that their
sum stays stable, to the inverse of the largest eigenvalue of the Hessian, scaled as the step is.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from worker.sparse.connections.connection import Connection

DECAY = 0.99
DAMPING = 0.1


class DiagonalHessian(nn.Module):
    """`curvature` h (filters,) and `direction`, the eigenvector as far as it is known; both are carried on.

    Each step goes on from the last search with `iterations` multiplications.
    """

    curvature: Tensor
    direction: Tensor

    def __init__(self, filters: int, direction: Tensor, rate: float, iterations: int) -> None:
        super().__init__()
        self.register_buffer("curvature", torch.zeros(filters))
        self.register_buffer("direction", direction)
        self.rate = rate
        self.iterations = iterations

    @torch.no_grad()
    def step(self, connection: "Connection", code: Tensor, factor: float) -> None:
        """Change the dictionary by its gradient, from the `code` (batch, units) that gave it."""
        first = not bool(self.curvature.any())
        self.curvature.lerp_(connection.gathered(code.square().mean(0)), 1.0 if first else 1 - DECAY)
        damped = self.curvature + DAMPING * self.curvature.mean()
        damped = damped.clamp_min(torch.finfo(code.dtype).tiny)
        dictionary = connection.dictionary
        assert dictionary.grad is not None
        rate = min(self.rate, 1 / max(self._largest(connection, code, damped.rsqrt()), 1e-12))
        across = [1] * dictionary.dim()
        across[connection.filter_dim] = -1
        dictionary.addcdiv_(dictionary.grad, damped.view(across).expand_as(dictionary), value=-factor * rate)

    def _largest(self, connection: "Connection", code: Tensor, weights: Tensor) -> float:
        """The largest eigenvalue of the scaled Hessian, from where the last search ended."""
        multiply = connection.curvature_of(code, weights)
        vector, length = self.direction, code.new_zeros(())
        for _ in range(self.iterations):
            vector = multiply(vector)
            length = torch.linalg.vector_norm(vector)
            vector = vector / length.clamp_min(1e-12)
        # never all zeros: the next search has to find its way back
        self.direction.copy_(vector + 1e-3 * vector.numel() ** -0.5)
        return float(length)
