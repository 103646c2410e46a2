"""Coordinate descent: the exact minimum of the energy along one unit after the other, for a whole batch at once.

    z_i ← sign(c) max(0, |c| − a_i) / (G_ii + w S_ii),   c = b_i − Σ_{j≠i} G_ij z_j

with a_i = λ for L1 and a_i = w Σ_{j≠i} S_ij |z_j| for inhibition (Li and Osher, Inverse Probl. Imaging 3(3), 2009, for
the lasso; Gregor, Szlam and LeCun, NIPS 2011). No update raises the energy.
"""

import torch
from torch import Tensor

from worker.sparse.sparsity import L1, Inhibition


def sweep(code: Tensor, linear: Tensor, gram: Tensor, sparsity: L1 | Inhibition, nonnegative: bool) -> Tensor:
    """One update of every unit in turn: codes (batch, units), `linear` b (batch, units), `gram` G (units, units)."""
    z = code.t().contiguous()  # a row for each unit: what is read and written in every update
    correlation = linear.t() - gram @ z
    diagonal = gram.diagonal().tolist()
    weight = sparsity.weight
    matrix = sparsity.matrix if isinstance(sparsity, Inhibition) else None
    magnitudes = z.abs()
    inhibition = None if matrix is None else weight * (matrix @ magnitudes)
    for unit, curvature in enumerate(diagonal):
        if curvature <= 0:
            continue
        target = correlation[unit].add(z[unit], alpha=curvature)
        size = target.clone() if nonnegative else target.abs()
        size.sub_(weight if inhibition is None else inhibition[unit]).clamp_min_(0).div_(curvature)
        found = size if nonnegative else torch.copysign(size, target)
        correlation.addr_(gram[unit], found - z[unit], alpha=-1)
        z[unit] = found
        if inhibition is not None and matrix is not None:
            inhibition.addr_(matrix[unit], size - magnitudes[unit], alpha=weight)
            magnitudes[unit] = size
    return z.t().contiguous()
