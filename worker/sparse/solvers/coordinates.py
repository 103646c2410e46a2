"""Coordinate descent: the exact minimum of the energy along one unit after the other, for a whole batch at once.

    z_i ← sign(c) max(0, |c| − a_i) / (G_ii + w S_ii),   c = b_i − Σ_{j≠i} G_ij z_j

with a_i = λ for L1 and a_i = w Σ_{j≠i} S_ij |z_j| for inhibition (Li and Osher, Inverse Probl. Imaging 3(3), 2009, for
the lasso; Gregor, Szlam and LeCun, NIPS 2011). No update raises the energy.
"""

from torch import Tensor

from worker.sparse.sparsity import L1, Inhibition


def sweep(code: Tensor, linear: Tensor, gram: Tensor, sparsity: L1 | Inhibition, nonnegative: bool) -> Tensor:
    """One update of every unit in turn: codes (batch, units), `linear` b (batch, units), `gram` G (units, units)."""
    z = code.t().contiguous()  # a row for each unit: what is read and written in every update
    correlation = linear.t() - gram @ z
    diagonal = gram.diagonal().tolist()
    weight = sparsity.weight
    matrix = sparsity.matrix if isinstance(sparsity, Inhibition) else None
    inhibition = None if matrix is None else weight * (matrix @ z.abs())
    for unit, curvature in enumerate(diagonal):
        if curvature <= 0:
            continue
        own = z[unit].clone()
        target = correlation[unit].add(own, alpha=curvature)
        threshold = weight if inhibition is None else inhibition[unit]
        found = shrunk(target, threshold, nonnegative).div_(curvature)
        change = found - own
        z[unit] = found
        correlation.addr_(gram[unit], change, alpha=-1)
        if inhibition is not None and matrix is not None:
            inhibition.addr_(matrix[unit], found.abs() - own.abs(), alpha=weight)
    return z.t().contiguous()


def shrunk(target: Tensor, threshold: Tensor | float, nonnegative: bool) -> Tensor:
    if nonnegative:
        return (target - threshold).clamp_min_(0)
    return target.sign() * (target.abs() - threshold).clamp_min_(0)
