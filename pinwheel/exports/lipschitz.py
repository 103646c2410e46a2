"""The step size of the solvers: the bound of λ_max(Dᵀ c D) that `worker.sparse.solvers.quadratic` takes.

Exact where that is cheap, else from the Krylov space of one vector (Lanczos), with a margin. In float64.
"""

from collections.abc import Callable

import numpy as np

from pinwheel.exports.connections import DenseMaps, Maps
from pinwheel.exports.graph import Array

MOST_EXACT = 256
LANCZOS_STEPS = 25
MARGIN, MAP_MARGIN = 1.02, 1.05
SMALLEST = 1e-12


def bound_of(maps: Maps, weights: Array) -> float:
    """`weights` as `Maps` takes them."""
    if not isinstance(maps, DenseMaps):
        return MAP_MARGIN * _largest(lambda z: maps.curve(weights, z), _waves(maps.units))
    rows = weights.astype(np.float64)
    if min(rows.shape) <= MOST_EXACT:
        gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
        return max(SMALLEST, float(np.linalg.eigvalsh(gram)[-1]))
    return MARGIN * _largest(lambda x: (rows @ x) @ rows, _waves(rows.shape[1]))


def _waves(count: int) -> Array:
    return np.cos(np.arange(1, count + 1, dtype=np.float64))


def _largest(multiply: Callable[[Array], Array], first: Array) -> float:
    basis = [first / np.linalg.norm(first)]
    alphas, betas = [], []
    for step in range(LANCZOS_STEPS):
        ahead = multiply(basis[-1])
        alphas.append(ahead @ basis[-1])
        known = np.array(basis)
        left = ahead - (known @ ahead) @ known
        ahead = left - (known @ left) @ known
        length = np.linalg.norm(ahead)
        if step == LANCZOS_STEPS - 1 or length <= 0.5 * np.linalg.norm(left):
            break  # what loses most of itself twice is rounding: the space is exhausted
        betas.append(length)
        basis.append(ahead / length)
    tridiagonal = np.diag(alphas) + np.diag(betas, 1) + np.diag(betas, -1)
    return max(SMALLEST, float(np.linalg.eigvalsh(tridiagonal)[-1]))
