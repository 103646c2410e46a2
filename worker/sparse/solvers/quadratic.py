"""The smooth part of the energy of a batch, in the cheaper of two forms.

    1/2 ‖x − D z‖² + weight/2 ‖z − p‖²  =  c − z·b + 1/2 z·(DᵀD + weight I) z,     b = Dᵀx + weight p

With fewer than twice as many units as inputs the Gram matrix DᵀD costs less per gradient than D and Dᵀ in turn; a
dictionary that is no matrix is only ever applied. Where inputs count by weights, 1/2 Σ c (x − D z)², Dᵀ stands for Dᵀ
c.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from worker.sparse.solvers.linear_map import LinearMap, Matrix

# The exact largest eigenvalue of a matrix of this size takes a few milliseconds.
MOST_EXACT = 256
# On maps of whole images 12 steps fall short of it by up to a sixth.
LANCZOS_STEPS = 25
MARGIN, MAP_MARGIN = 1.02, 1.05  # what they may be short of
SMALLEST = 1e-12


class Quadratic:
    """`x` (batch, inputs), `dictionary` (inputs, units) or a map, `prediction` (batch, units) or None."""

    def __init__(
        self, x: Tensor, dictionary: Tensor | LinearMap, prediction: Tensor | None = None, weight: float = 0.0
    ) -> None:
        self.map = Matrix(dictionary) if isinstance(dictionary, Tensor) else dictionary
        self.weight = weight if prediction is not None else 0.0
        self.x = x
        self.linear = self.map.correlate(x)
        self.constant = self.map.half_squares(x)
        if prediction is not None:
            self.linear = self.linear.add_(prediction, alpha=weight)
            self.constant = self.constant + 0.5 * weight * prediction.square().sum(1)
        self.gram = self.map.gram() if self.map.units < 2 * self.map.inputs else None
        self._stride: tuple[float, Tensor, Tensor] | None = None

    def of(self, rows: Tensor) -> "Quadratic":
        """The same for some of the inputs alone."""
        part = copy.copy(self)
        part.x, part.linear, part.constant, part._stride = self.x[rows], self.linear[rows], self.constant[rows], None
        return part

    def times_gram(self, z: Tensor) -> Tensor:
        """(DᵀD + weight I) z, (batch, units)"""
        product = z @ self.gram if self.gram is not None else self.map.correlate(self.map.decode(z))
        return product.add_(z, alpha=self.weight) if self.weight else product

    def gradient(self, z: Tensor) -> Tensor:
        return self.times_gram(z).sub_(self.linear)

    def step(self, z: Tensor, lipschitz: float) -> Tensor:
        """z − gradient / lipschitz, with the Gram matrix as z (I − G/L) + b/L in one go"""
        if self.gram is None and self.weight == 0:
            # −∇ from the residual: one pass over the code less than with Dᵀx
            return torch.add(z, self.map.correlate(self.x - self.map.decode(z)), alpha=1 / lipschitz)
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
        gram = self.map.gram() if self.gram is None else self.gram
        if gram is None:
            raise ValueError("a dictionary that is no matrix has no Gram matrix; coordinate descent needs one")
        return gram + self.weight * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)


def largest_eigenvalue(dictionary: Tensor) -> float:
    """λ_max(DᵀD), to rounding; a dictionary of zeros gives the smallest step size that is one."""
    inputs, units = dictionary.shape
    gram = dictionary.t() @ dictionary if units <= inputs else dictionary @ dictionary.t()
    return max(SMALLEST, float(torch.linalg.eigvalsh(gram)[-1]))


def bound_of(dictionary: Tensor | LinearMap) -> float:
    """λ_max(DᵀD) for a step size while the dictionary still changes: exact where that is cheap, otherwise from the
    Krylov space of one vector (Lanczos), with a margin.

    A function of the dictionary alone, so that a training that resumes takes the steps of one that never stopped.
    """
    if isinstance(dictionary, Matrix):
        dictionary = dictionary.dictionary
    if not isinstance(dictionary, Tensor):
        return MAP_MARGIN * _largest(lambda z: dictionary.correlate(dictionary.decode(z)), dictionary.first)
    if min(dictionary.shape) <= MOST_EXACT:
        return largest_eigenvalue(dictionary)
    matrix = dictionary
    first = torch.cos(torch.arange(1, len(matrix) + 1, dtype=matrix.dtype, device=matrix.device))
    return MARGIN * _largest(lambda x: (x @ matrix) @ matrix.t(), first[None])


def _largest(multiply: Callable[[Tensor], Tensor], first: Tensor) -> float:
    """The largest eigenvalue of a symmetric map of rows (1, n), within the Krylov space of `first`."""
    basis = first / torch.linalg.vector_norm(first)
    alphas, betas = [], []
    for step in range(LANCZOS_STEPS):
        ahead = multiply(basis[-1:])
        alphas.append((ahead * basis[-1:]).sum())
        left = ahead - (ahead @ basis.t()) @ basis
        ahead = left - (left @ basis.t()) @ basis  # once is not enough in float32
        length = torch.linalg.vector_norm(ahead)
        if step < LANCZOS_STEPS - 1:
            # what loses most of itself twice is rounding in an exhausted space: at full length it would count again
            new = length > 0.5 * torch.linalg.vector_norm(left)
            betas.append(length * new)
            basis = torch.cat([basis, ahead / length.clamp_min(torch.finfo(first.dtype).tiny) * new])
    off = torch.stack(betas)
    tridiagonal = torch.diag(torch.stack(alphas)) + torch.diag(off, 1) + torch.diag(off, -1)
    return max(SMALLEST, float(torch.linalg.eigvalsh(tridiagonal)[-1]))
