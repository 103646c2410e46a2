"""The recurrent encoder of LISTA and DrSAE: T unrolled passes with shared weights.

    z¹ = h(E x),   zᵗ⁺¹ = h(E x + zᵗ + S̃ zᵗ),   code = zᵀ
    h(v) = max(0, v − b), or sign(v) max(0, |v| − b) where codes are signed

Rolfe and LeCun, ICLR 2013, equation 1, and Gregor and LeCun, ICML 2010; there S = I + S̃. The identity is explicit and
only S̃ is learned. Three ways to begin:

    ista    E = Dᵀ/L, S̃ = −DᵀD/L, b = λ/L: before it has learned anything it is ISTA, stopped after T steps
    drsae   E = (τ/T) Dᵀ, S̃ = −(τ/T) DᵀD, b ≈ 0, τ = `total_step`
    random  E uniform, S̃ = 0, b ≈ 0

Where `total_step` is given, rows of E stay within τ / (T − 1): several aligned units would otherwise explain an input
twice and oscillate.

Where we differ from the plain form: what does not change between passes is computed once, and the backward pass
gathers the gradients at all pre-activations first and then takes one matrix product for S̃ and one for E.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from worker.sparse.bounds import PerUnit, Rates, bound_norms_
from worker.sparse.connections import Connection
from worker.sparse.encoders.encoder import Encoder
from worker.sparse.encoders.shrink import shrink
from worker.sparse.encoders.tied import tie_rows_
from worker.sparse.solvers import largest_eigenvalue
from worker.sparse.sparsity import Penalty

FIRST_BIAS = 1e-5
# Share of the mean norm of the encoder's rows that a unit begins anew with.
REVIVED_SHARE = 0.5


class Recurrent(Encoder):
    """`encoder` E (units, inputs), `explaining_away` S̃ = S − I (units, units), `bias` b (units,)."""

    identity: Tensor

    def __init__(
        self,
        encoder: Tensor,
        explaining_away: Tensor,
        bias: Tensor,
        *,
        passes: int = 11,
        total_step: float | None = 1.25,
        signed: bool = False,
        tied: bool = False,
        rate_multiplier: float = 0.25,
        bias_rate_multiplier: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = nn.Parameter(encoder.clone(memory_format=torch.contiguous_format))
        self.explaining_away = nn.Parameter(explaining_away.clone(memory_format=torch.contiguous_format))
        self.bias = nn.Parameter(bias.clone())
        self.register_buffer("identity", torch.eye(len(bias), dtype=bias.dtype), persistent=False)
        self.passes = passes
        self.max_norm = None if total_step is None else total_step / max(1, passes - 1)
        self.signed = signed
        self.tied = tied
        self.rate_multiplier = rate_multiplier
        self.bias_rate_multiplier = bias_rate_multiplier

    def encode(self, x: Tensor, connection: Connection, sparsity: Penalty, passes: int | None = None) -> Tensor:
        return self.predict(x, passes)

    def predict(self, x: Tensor, passes: int | None = None) -> Tensor:
        """(batch, inputs) → codes (batch, units). `passes` replaces the number it was trained with."""
        matrix, count = self.matrix(), passes or self.passes
        if self.signed:
            return self._signed(x @ self.encoder.t(), matrix, count)
        drive = torch.addmm(-self.bias, x, self.encoder.t())
        if torch.is_grad_enabled():
            code: Tensor = Unrolled.apply(drive, matrix, count)  # type: ignore[no-untyped-call]
            return code
        return last_code(drive, matrix, count)

    def _signed(self, drive: Tensor, matrix: Tensor, passes: int) -> Tensor:
        if torch.is_grad_enabled():
            code: Tensor = UnrolledSigned.apply(drive, matrix, self.bias, passes)  # type: ignore[no-untyped-call]
            return code
        return last_signed_code(drive, matrix, self.bias, passes)

    def progress(self, x: Tensor) -> Tensor:
        """(batch, inputs) → the codes after each pass, (passes, batch, units)"""
        drive, matrix, codes = x @ self.encoder.t(), self.matrix(), []
        code = torch.zeros_like(drive)
        for _ in range(self.passes):
            value = torch.addmm(drive, code, matrix.t())
            code = shrink(value, self.bias) if self.signed else (value - self.bias).relu()
            codes.append(code)
        return torch.stack(codes)

    def matrix(self) -> Tensor:
        """S = I + S̃ (units, units)"""
        return self.explaining_away + self.identity

    def rates(self) -> Rates:
        shared = self.rate_multiplier
        return [(self.encoder, shared), (self.explaining_away, shared), (self.bias, self.bias_rate_multiplier)]

    def per_unit(self) -> PerUnit:
        return [(self.encoder, 0), (self.explaining_away, 0), (self.explaining_away, 1), (self.bias, 0)]

    def project(self) -> None:
        if self.max_norm is not None:
            bound_norms_(self.encoder, 1, self.max_norm)
        if self.signed:
            with torch.no_grad():
                self.bias.clamp_min_(0)

    def tie(self, connection: Connection) -> None:
        if self.tied:
            tie_rows_(self.encoder, connection)

    @torch.no_grad()
    def revive(self, filters: Tensor, connection: Connection) -> None:
        dictionary, units = connection.dictionary, filters
        size = REVIVED_SHARE * torch.linalg.vector_norm(self.encoder, dim=1).mean()
        rows = size * nn.functional.normalize(dictionary[:, units].t(), dim=1)
        self.explaining_away[:, units] = -self.encoder @ dictionary[:, units]
        self.explaining_away[units] = -rows @ dictionary
        self.encoder[units] = rows
        self.bias[units] = self.bias.mean()


def ista_matrices(dictionary: Tensor, weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """E = Dᵀ/L, S̃ = −DᵀD/L, b = weight/L"""
    step = 1 / largest_eigenvalue(dictionary)
    return gradient_steps(dictionary, step, step * weight)


def drsae_matrices(dictionary: Tensor, passes: int, total_step: float) -> tuple[Tensor, Tensor, Tensor]:
    """E = (τ/T) Dᵀ, S̃ = −(τ/T) DᵀD, b ≈ 0"""
    return gradient_steps(dictionary, total_step / passes, FIRST_BIAS)


def gradient_steps(dictionary: Tensor, step: float, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices whose passes are proximal gradient steps of this size, with this threshold."""
    bias = dictionary.new_full((dictionary.shape[1],), threshold)
    return step * dictionary.t(), -step * (dictionary.t() @ dictionary), bias


def random_matrices(inputs: int, units: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """E uniform within ±1/√inputs, S̃ = 0, b ≈ 0"""
    limit = inputs**-0.5
    encoder = torch.empty(units, inputs).uniform_(-limit, limit, generator=generator)
    return encoder, torch.zeros(units, units), torch.full((units,), FIRST_BIAS)


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
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        codes, matrix = ctx.saved_tensors
        units = matrix.shape[0]
        errors = torch.empty_like(codes)  # gradients at the pre-activations
        mask_(gradient, codes[-1], out=errors[-1])
        for t in range(len(codes) - 1, 0, -1):
            torch.mm(errors[t], matrix, out=errors[t - 1])
            mask_(errors[t - 1], codes[t - 1], out=errors[t - 1])
        if not ctx.needs_input_grad[1]:
            return errors.sum(0), None, None
        later, earlier = errors[1:].reshape(-1, units), codes[:-1].reshape(-1, units)
        return errors.sum(0), later.t() @ earlier, None


def mask_(gradient: Tensor, code: Tensor, out: Tensor) -> None:
    """out ← gradient where code > 0, else 0: the derivative of the rectifier in one pass over memory."""
    torch.ops.aten.threshold_backward.grad_input(gradient, code, 0, grad_input=out)


def last_signed_code(drive: Tensor, matrix: Tensor, threshold: Tensor, passes: int) -> Tensor:
    """As `last_code` with the two-sided shrinkage, from `drive` = E x."""
    code = shrink(drive, threshold)
    for _ in range(passes - 1):
        code = shrink(torch.addmm(drive, code, matrix.t()), threshold)
    return code


class UnrolledSigned(torch.autograd.Function):
    """`last_signed_code` with its gradient, the threshold's included: −sign(z) where z is not zero."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, matrix: Tensor, threshold: Tensor, passes: int) -> Tensor:
        codes = drive.new_empty(passes, *drive.shape)
        codes[0] = shrink(drive, threshold)
        for t in range(1, passes):
            codes[t] = shrink(torch.addmm(drive, codes[t - 1], matrix.t()), threshold)
        ctx.save_for_backward(codes, matrix)
        return codes[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        codes, matrix = ctx.saved_tensors
        units = matrix.shape[0]
        errors = torch.empty_like(codes)  # gradients at the pre-activations
        torch.mul(gradient, codes[-1] != 0, out=errors[-1])
        for t in range(len(codes) - 1, 0, -1):
            torch.mm(errors[t], matrix, out=errors[t - 1])
            errors[t - 1].mul_(codes[t - 1] != 0)
        later, earlier = errors[1:].reshape(-1, units), codes[:-1].reshape(-1, units)
        return errors.sum(0), later.t() @ earlier, -(errors * codes.sign()).sum((0, 1)), None
