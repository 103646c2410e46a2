"""The smooth part of the energy of a batch, in the cheaper of two forms.

    1/2 ‖x − D z‖² + weight/2 ‖z − p‖²  =  c − z·b + 1/2 z·(DᵀD + weight I) z,     b = Dᵀx + weight p

With fewer than twice as many units as inputs the Gram matrix DᵀD costs less per gradient than D and Dᵀ in turn.
"""

import copy

import torch
from torch import Tensor

# The exact largest eigenvalue of a matrix of this size takes a few milliseconds.
MOST_EXACT = 256
LANCZOS_STEPS = 25
MARGIN = 1.02  # what they may be short of
SMALLEST = 1e-12


class Quadratic:
    """`x` (batch, inputs), `dictionary` (inputs, units), `prediction` (batch, units) or None."""

    def __init__(self, x: Tensor, dictionary: Tensor, prediction: Tensor | None = None, weight: float = 0.0) -> None:
        inputs, units = dictionary.shape
        self.dictionary = dictionary
        self.weight = weight if prediction is not None else 0.0
        self.linear = x @ dictionary
        self.constant = 0.5 * x.square().sum(1)
        if prediction is not None:
            self.linear = self.linear.add_(prediction, alpha=weight)
            self.constant = self.constant + 0.5 * weight * prediction.square().sum(1)
        self.gram = dictionary.t() @ dictionary if units < 2 * inputs else None
        self._stride: tuple[float, Tensor, Tensor] | None = None

    def of(self, rows: Tensor) -> "Quadratic":
        """The same for some of the inputs alone."""
        part = copy.copy(self)
        part.linear, part.constant, part._stride = self.linear[rows], self.constant[rows], None
        return part

    def times_gram(self, z: Tensor) -> Tensor:
        """(DᵀD + weight I) z, (batch, units)"""
        product = z @ self.gram if self.gram is not None else (z @ self.dictionary.t()) @ self.dictionary
        return product.add_(z, alpha=self.weight) if self.weight else product

    def gradient(self, z: Tensor) -> Tensor:
        return self.times_gram(z).sub_(self.linear)

    def step(self, z: Tensor, lipschitz: float) -> Tensor:
        """z − gradient / lipschitz, with the Gram matrix as z (I − G/L) + b/L in one go"""
        if self.gram is None:
            return torch.add(z, self.gradient(z), alpha=-1 / lipschitz)
        if self._stride is None or self._stride[0] != lipschitz:
            matrix = self.gram * (-1 / lipschitz)
            matrix.diagonal().add_(1 - self.weight / lipschitz)
            self._stride = (lipschitz, matrix, self.linear / lipschitz)
        return torch.addmm(self._stride[2], z, self._stride[1])

    def values(self, z: Tensor) -> Tensor:
        """(batch,)"""
        return self.constant + (z * (0.5 * self.times_gram(z) - self.linear)).sum(1)

    def full_gram(self) -> Tensor:
        gram = self.dictionary.t() @ self.dictionary if self.gram is None else self.gram
        return gram + self.weight * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)


def largest_eigenvalue(dictionary: Tensor) -> float:
    """λ_max(DᵀD), to rounding; a dictionary of zeros gives the smallest step size that is one."""
    inputs, units = dictionary.shape
    gram = dictionary.t() @ dictionary if units <= inputs else dictionary @ dictionary.t()
    return max(SMALLEST, float(torch.linalg.eigvalsh(gram)[-1]))


def bound_of(dictionary: Tensor) -> float:
    """λ_max(DᵀD) for a step size while the dictionary still changes: exact where that is cheap, otherwise from the
    Krylov space of one vector (Lanczos), with a margin.

    A function of the dictionary alone, so that a training that resumes takes the steps of one that never stopped.
    """
    if min(dictionary.shape) <= MOST_EXACT:
        return largest_eigenvalue(dictionary)
    first = torch.cos(torch.arange(1, len(dictionary) + 1, dtype=dictionary.dtype, device=dictionary.device))
    basis = [first / torch.linalg.vector_norm(first)]
    for _ in range(LANCZOS_STEPS - 1):
        known = torch.stack(basis)
        ahead = dictionary @ (dictionary.t() @ basis[-1])
        for _ in range(2):  # once is not enough in float32
            ahead = ahead - known.t() @ (known @ ahead)
        length = torch.linalg.vector_norm(ahead)
        basis.append(ahead / length.clamp_min(SMALLEST))
    within = torch.stack(basis) @ dictionary
    return max(SMALLEST, MARGIN * float(torch.linalg.eigvalsh(within @ within.t())[-1]))
