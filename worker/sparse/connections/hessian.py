"""Second-order steps on a dictionary, with the diagonal of its Hessian (LeCun, Bottou, Orr and Müller 1998, 9).

The energy 1/2 ‖x − D z‖² is quadratic in D, and z_j² is its curvature along column j. With h a running mean of z_j²

    D ← D − rate · ∇ / (h + 0.1 mean h)

Where all units are active at once, as with overlapping pools, Adam divides every entry by its own noise and columns
never become clean; this divides whole columns. The steps of correlated units add up: the rate is lowered so that their
sum stays stable, to the inverse of the largest eigenvalue of the codes' correlations, scaled as the step is.
"""

import torch
from torch import Tensor, nn

DECAY = 0.99
DAMPING = 0.1
POWER_ITERATIONS = 3


class DiagonalHessian(nn.Module):
    """`curvature` h (units,) and `direction` (units,), the eigenvector as far as it is known; both are carried on."""

    curvature: Tensor
    direction: Tensor

    def __init__(self, units: int, rate: float) -> None:
        super().__init__()
        self.register_buffer("curvature", torch.zeros(units))
        self.register_buffer("direction", torch.full((units,), units**-0.5))
        self.rate = rate

    @torch.no_grad()
    def step(self, dictionary: nn.Parameter, code: Tensor, factor: float) -> None:
        """Change `dictionary` (inputs, units) by its gradient, from the `code` (batch, units) that gave it."""
        first = not bool(self.curvature.any())
        self.curvature.lerp_(code.square().mean(0), 1.0 if first else 1 - DECAY)
        damped = self.curvature + DAMPING * self.curvature.mean()
        damped = damped.clamp_min(torch.finfo(code.dtype).tiny)
        assert dictionary.grad is not None
        rate = min(self.rate, 1 / max(self._largest(code * damped.rsqrt()), 1e-12))
        dictionary.addcdiv_(dictionary.grad, damped.expand_as(dictionary), value=-factor * rate)

    def _largest(self, scaled: Tensor) -> float:
        """The largest eigenvalue of scaledᵀ scaled / batch, from where the last search ended."""
        vector, length = self.direction, scaled.new_zeros(())
        for _ in range(POWER_ITERATIONS):
            vector = scaled.t() @ (scaled @ vector) / len(scaled)
            length = torch.linalg.vector_norm(vector)
            vector = vector / length.clamp_min(1e-12)
        # never all zeros: the next search has to find its way back
        self.direction.copy_(vector + 1e-3 * len(vector) ** -0.5)
        return float(length)
