"""Lateral inhibition: weight · 1/2 |z|ᵀ S |z|, units that switch each other off instead of an L1 term.

Gregor, Szlam and LeCun, NIPS 2011 (there ‖W z − x‖² + |z|ᵀ S |z|, twice ours at weight 1). S ≥ 0 is symmetric with a
zero diagonal. The energy has many minima. As diag(S 1) − S is positive semidefinite, with m = |z| around m₀ = |z₀|

    1/2 mᵀ S m  ≤  const + (S m₀)ᵀ m + 1/2 Σ_i r_i (m_i − m₀_i)²,     r = S 1

so that every step  z = sign(u) max(0, L |u| − w (S m₀ − r m₀)) / (L + w r)  lowers the energy or leaves it.

A learned S climbs the energy that the codes descend: S ← S + rate · mean |z||z|ᵀ, brought back to a symmetric
matrix with a zero diagonal, entries in [0, max_value] and rows of sum `row_sum`. S_ij grows until i and j are no
longer active together, and pairs that never were lose what others gain.
"""

import torch
from torch import Tensor

from worker.sparse.sparsity.penalty import Penalty

# Alternating passes between the bounds, the row sums and the symmetry after every step of a learned matrix.
PASSES = 10


class Inhibition(Penalty):
    """`matrix` S (units, units). `rate` > 0 learns it, with entries up to `max_value` and rows of sum `row_sum`."""

    accelerates = False
    matrix: Tensor

    def __init__(
        self, matrix: Tensor, weight: float, *, rate: float = 0.0, max_value: float = 1.0, row_sum: float = 1.0
    ) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix.clone())
        self.weight = weight
        self.rate = rate
        self.max_value = max_value
        self.row_sum = row_sum

    def energies(self, code: Tensor, x: Tensor | None = None) -> Tensor:
        magnitudes = code.abs()
        return 0.5 * self.weight * ((magnitudes @ self.matrix) * magnitudes).sum(1)

    def descend(self, u: Tensor, around: Tensor, lipschitz: float) -> Tensor:
        rows = self.matrix.sum(1)
        before = around.abs()
        threshold = (before @ self.matrix - before * rows).mul_(self.weight / lipschitz)
        sign = torch.where(u == 0, around.sign(), u.sign())
        return sign * (u.abs() - threshold).clamp_min_(0) / (1 + self.weight / lipschitz * rows)

    @torch.no_grad()
    def learn(self, code: Tensor, factor: float = 1.0) -> None:
        if self.rate == 0:
            return
        magnitudes = code.abs()
        self.matrix.addmm_(magnitudes.t(), magnitudes, alpha=factor * self.rate / len(code))
        constrain_(self.matrix, self.max_value, self.row_sum)


@torch.no_grad()
def constrain_(matrix: Tensor, max_value: float, row_sum: float) -> None:
    """Symmetric, zero diagonal, entries in [0, max_value], rows of sum `row_sum` (less where the bound forbids it)."""
    for _ in range(PASSES):
        matrix.copy_((matrix + matrix.t()) / 2).fill_diagonal_(0)
        missing, others = row_sum - matrix.sum(1), max(1, len(matrix) - 2)
        # added to row i and to column i: together they bring every row to its sum
        shift = missing / others - missing.sum() / (2 * (others + 1) * others)
        matrix.add_(shift[:, None] + shift).fill_diagonal_(0).clamp_(0, max_value)


def ring_inhibition(units: int, free_radius: int, radius: int | None) -> Tensor:
    """1 where units lie farther apart on the ring than `free_radius` and no farther than `radius`, else 0."""
    steps = torch.arange(units)
    apart = (steps[:, None] - steps).abs()
    return between(torch.minimum(apart, units - apart).float(), free_radius, radius)


def sheet_inhibition(height: int, width: int, free_radius: float, radius: float | None) -> Tensor:
    """As `ring_inhibition` with the Euclidean distance on a map that closes in both directions."""
    rows, columns = torch.arange(height * width) // width, torch.arange(height * width) % width
    down, right = (rows[:, None] - rows).abs(), (columns[:, None] - columns).abs()
    down, right = torch.minimum(down, height - down), torch.minimum(right, width - right)
    return between((down.square() + right.square()).float().sqrt(), free_radius, radius)


def between(distance: Tensor, free_radius: float, radius: float | None) -> Tensor:
    inhibits = distance > free_radius
    if radius is not None:
        inhibits &= distance <= radius
    return inhibits.float().fill_diagonal_(0)


def tree_inhibition(parent: Tensor) -> Tensor:
    """0 between a unit and its ancestors and descendants, else 1."""
    units = len(parent)
    above = torch.eye(units, dtype=torch.bool)
    ancestor = torch.arange(units)
    while (ancestor >= 0).any():
        there = ancestor >= 0
        above[torch.arange(units)[there], ancestor[there]] = True
        ancestor = torch.where(there, parent[ancestor.clamp_min(0)], -1)
    return (~(above | above.t())).float()


def uniform_inhibition(units: int, max_value: float, row_sum: float) -> Tensor:
    """Where a learned matrix starts: all equal, within the constraints."""
    matrix = torch.full((units, units), min(max_value, row_sum / max(1, units - 1)))
    return matrix.fill_diagonal_(0)
