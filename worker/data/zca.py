"""Whitening that stays close to the pixels (ZCA: Bell and Sejnowski, Vision Research 37, 1997).

    W = U (Λ + ε mean(Λ))^−1/2 Uᵀ        U Λ Uᵀ the covariance of the training inputs
    x ← W (x − mean)

W is symmetric, so that what it gives are images again. ε is a share of the mean variance: directions in which the
data have less than that are noise, and are not blown up. Fitted in float64, kept in float32.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pinwheel.specs.preprocessing import MOST_ZCA_INPUTS


@dataclass(frozen=True)
class Zca:
    """`mean` (inputs,) and `whitening` W (inputs, inputs), float32."""

    mean: Tensor
    whitening: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """(n, inputs) → (n, inputs)"""
        return (x - self.mean) @ self.whitening

    def undo(self, x: Tensor) -> Tensor:
        """The inverse of `apply`."""
        return x @ self.dewhitening + self.mean

    @cached_property
    def dewhitening(self) -> Tensor:
        """W⁻¹ (inputs, inputs)"""
        inverse: Tensor = torch.linalg.inv(self.whitening.double())
        return inverse.float()

    def to(self, device: torch.device | str) -> "Zca":
        return Zca(self.mean.to(device), self.whitening.to(device))


def fitted(batches: Iterable[Tensor], inputs: int, epsilon: float) -> Zca:
    """The whitening of all rows of `batches`, each (n, inputs). Raises ValueError where there is nothing to whiten."""
    if inputs > MOST_ZCA_INPUTS:
        raise ValueError(f"the inputs have {inputs} values; whiten 'zca' takes at most {MOST_ZCA_INPUTS}")
    count, total = 0, torch.zeros(inputs, dtype=torch.float64)
    products = torch.zeros(inputs, inputs, dtype=torch.float64)
    for batch in batches:
        rows = batch.double()
        count += len(rows)
        total += rows.sum(0)
        products.addmm_(rows.t(), rows)
    mean = total / count
    variances, directions = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    variances = variances.clamp_min(0)
    if not variances.mean() > 0:
        raise ValueError(f"the {count} training inputs are all equal; whiten 'zca' needs inputs that differ")
    whitening = (directions * (variances + epsilon * variances.mean()).rsqrt()) @ directions.t()
    return Zca(mean.float(), whitening.float())
