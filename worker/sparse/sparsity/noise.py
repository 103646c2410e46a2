"""A noisy code instead of a sparse one: weight · KL(N(z, σ²) ‖ N(0, 1)).

What the lecture asks of variational auto-encoders: noise limits what the code can tell about the input. The encoder's
code is the mean; the decoder sees z + σ(x) ε with ε ~ N(0, 1) while training. log σ² = V x + v is learned here.
Kingma and Welling, ICLR 2014, appendix B:  KL = 1/2 Σ (z² + σ² − 1 − log σ²).  A unit counts as active for an input
where its mean is more than a tenth of the prior's deviation from zero (the measure of Burda, Grosse and Salakhutdinov,
ICLR 2016, who ask this of its deviation over the data).
"""

import torch
from torch import Tensor, nn

from worker.sparse.bounds import PerUnit, Rates
from worker.sparse.sparsity.penalty import Penalty

ACTIVE = 0.1
FIRST_LOG_VARIANCE = -4.0


class Noise(Penalty):
    """`spread` V (units, inputs), `bias` v (units,)."""

    def __init__(self, spread: Tensor, bias: Tensor, weight: float) -> None:
        super().__init__()
        self.spread = nn.Parameter(spread.clone())
        self.bias = nn.Parameter(bias.clone())
        self.weight = weight

    @classmethod
    def fresh(cls, units: int, inputs: int, weight: float) -> "Noise":
        return cls(torch.zeros(units, inputs), torch.full((units,), FIRST_LOG_VARIANCE), weight)

    def log_variance(self, x: Tensor) -> Tensor:
        """(batch, inputs) → (batch, units)"""
        return torch.addmm(self.bias, x, self.spread.t())

    def energies(self, code: Tensor, x: Tensor | None = None) -> Tensor:
        if x is None:
            raise ValueError("the noise of a code depends on its input; the input is missing")
        logarithm = self.log_variance(x)
        return 0.5 * self.weight * (code.square() + logarithm.exp() - 1 - logarithm).sum(1)

    def descend(self, u: Tensor, around: Tensor, lipschitz: float) -> Tensor:
        raise NotImplementedError("a noisy code is predicted, not searched for")

    def disturbed(self, code: Tensor, x: Tensor, generator: torch.Generator | None) -> Tensor:
        if generator is None:
            return code
        draw = torch.randn(code.shape, generator=generator, device=code.device, dtype=code.dtype)
        return code + (0.5 * self.log_variance(x)).exp() * draw

    def active(self, code: Tensor) -> Tensor:
        return code.abs() > ACTIVE

    def rates(self) -> Rates:
        return [(self.spread, 1.0), (self.bias, 1.0)]

    def per_unit(self) -> PerUnit:
        return [(self.spread, 0), (self.bias, 0)]
