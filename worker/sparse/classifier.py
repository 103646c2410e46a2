"""Softmax classifier on the direction of the code.

    weight · −log softmax(C z / ‖z‖₂)[label],   ‖c_k‖₂ ≤ max_norm,   no bias

Rolfe and LeCun, ICLR 2013, equation 3 (they bound the rows by 5). A code of zeros gives equal probabilities.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from worker.sparse.bounds import PerUnit, Rates, bound_norms_

# Codes shorter than this count as zeros; far below any code that reconstructs something.
SHORTEST_CODE = 1e-6


class Softmax(nn.Module):
    """`weights` C (classes, units)."""

    def __init__(
        self, weights: Tensor, *, weight: float = 0.2, max_norm: float = 20.0, rate_multiplier: float = 1.0
    ) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights.clone(memory_format=torch.contiguous_format))
        self.weight = weight
        self.max_norm = max_norm
        self.rate_multiplier = rate_multiplier

    def logits(self, code: Tensor) -> Tensor:
        """(batch, units) → (batch, classes)"""
        return normalize(code, dim=1, eps=SHORTEST_CODE) @ self.weights.t()

    def penalty(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (batch, classes) and labels (batch,) in 0..classes−1 → scalar"""
        return self.weight * cross_entropy(logits, labels)

    def rates(self) -> Rates:
        return [(self.weights, self.rate_multiplier)]

    def per_unit(self) -> PerUnit:
        return [(self.weights, 1)]

    def project(self) -> None:
        bound_norms_(self.weights, 1, self.max_norm)


def draw_weights(classes: int, units: int, generator: torch.Generator) -> Tensor:
    """First weights (classes, units): uniform within ±1/√units."""
    limit = units**-0.5
    return torch.empty(classes, units).uniform_(-limit, limit, generator=generator)
