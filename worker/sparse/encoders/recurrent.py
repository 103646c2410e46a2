"""The recurrent encoder of DrSAE: T unrolled passes with shared weights.

    z¹ = max(0, E x − b),   zᵗ⁺¹ = max(0, E x − b + zᵗ + S̃ zᵗ),   code = zᵀ

Rolfe and LeCun, ICLR 2013, equation 1; there S = I + S̃. The identity is explicit and only S̃ is learned. At the start
the passes are proximal gradient steps on the sparse coding energy: E = (τ/T) Dᵀ, S̃ = −(τ/T) DᵀD, τ = `total_step`.
Rows of E stay within τ / (T − 1): several aligned units would otherwise explain an input twice and oscillate.

Where we differ from the plain form: what does not change between passes, E x − b, is computed once, and the backward
pass gathers the gradients at all pre-activations first and then takes one matrix product for S̃ and one for E.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from worker.sparse.bounds import Rates, bound_norms_

FIRST_BIAS = 1e-5


class Recurrent(nn.Module):
    """`encoder` E (units, inputs), `explaining_away` S̃ = S − I (units, units), `bias` b (units,)."""

    identity: Tensor

    def __init__(
        self,
        encoder: Tensor,
        explaining_away: Tensor,
        bias: Tensor,
        *,
        passes: int = 11,
        total_step: float = 1.25,
        rate_multiplier: float = 0.25,
        bias_rate_multiplier: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = nn.Parameter(encoder.clone(memory_format=torch.contiguous_format))
        self.explaining_away = nn.Parameter(explaining_away.clone(memory_format=torch.contiguous_format))
        self.bias = nn.Parameter(bias.clone())
        self.register_buffer("identity", torch.eye(len(bias), dtype=bias.dtype), persistent=False)
        self.passes = passes
        self.max_norm = total_step / max(1, passes - 1)
        self.rate_multiplier = rate_multiplier
        self.bias_rate_multiplier = bias_rate_multiplier

    @classmethod
    def from_dictionary(cls, dictionary: Tensor, *, passes: int, total_step: float, **rates: float) -> "Recurrent":
        """The encoder that, before it has learned anything, takes `passes` proximal gradient steps."""
        step = total_step / passes
        gram = dictionary.t() @ dictionary
        bias = dictionary.new_full((dictionary.shape[1],), FIRST_BIAS)
        return cls(step * dictionary.t(), -step * gram, bias, passes=passes, total_step=total_step, **rates)

    def encode(self, x: Tensor, passes: int | None = None) -> Tensor:
        """(batch, inputs) → codes (batch, units), none negative. `passes` replaces the number it was trained with."""
        drive = torch.addmm(-self.bias, x, self.encoder.t())
        matrix = self.matrix()
        if torch.is_grad_enabled():
            code: Tensor = Unrolled.apply(drive, matrix, passes or self.passes)  # type: ignore[no-untyped-call]
            return code
        return last_code(drive, matrix, passes or self.passes)

    def matrix(self) -> Tensor:
        """S = I + S̃ (units, units)"""
        return self.explaining_away + self.identity

    def rates(self) -> Rates:
        shared = self.rate_multiplier
        return [(self.encoder, shared), (self.explaining_away, shared), (self.bias, self.bias_rate_multiplier)]

    def project(self) -> None:
        bound_norms_(self.encoder, 1, self.max_norm)


def last_code(drive: Tensor, matrix: Tensor, passes: int) -> Tensor:
    """The code after `passes` passes from `drive` = E x − b (batch, units), without keeping the ones before it."""
    code, spare = drive.clamp_min(0), torch.empty_like(drive)
    for _ in range(passes - 1):
        torch.addmm(drive, code, matrix.t(), out=spare).relu_()
        code, spare = spare, code
    return code


class Unrolled(torch.autograd.Function):
    """`last_code` with its gradient; every code is kept for the way back."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, matrix: Tensor, passes: int) -> Tensor:
        codes = drive.new_empty(passes, *drive.shape)
        torch.clamp_min(drive, 0, out=codes[0])
        for t in range(1, passes):
            torch.addmm(drive, codes[t - 1], matrix.t(), out=codes[t]).relu_()
        ctx.save_for_backward(codes, matrix)
        return codes[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        codes, matrix = ctx.saved_tensors
        units = matrix.shape[0]
        errors = torch.empty_like(codes)  # gradients at the pre-activations
        mask_(gradient, codes[-1], out=errors[-1])
        for t in range(len(codes) - 1, 0, -1):
            torch.mm(errors[t], matrix, out=errors[t - 1])
            mask_(errors[t - 1], codes[t - 1], out=errors[t - 1])
        later, earlier = errors[1:].reshape(-1, units), codes[:-1].reshape(-1, units)
        return errors.sum(0), later.t() @ earlier, None


def mask_(gradient: Tensor, code: Tensor, out: Tensor) -> None:
    """out ← gradient where code > 0, else 0: the derivative of the rectifier in one pass over memory."""
    torch.ops.aten.threshold_backward.grad_input(gradient, code, 0, grad_input=out)
