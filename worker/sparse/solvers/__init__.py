"""Finding the code of least energy."""

from worker.sparse.solvers.linear_map import LinearMap, Matrix, waves
from worker.sparse.solvers.quadratic import Quadratic, bound_of, largest_eigenvalue
from worker.sparse.solvers.solution import Solution
from worker.sparse.solvers.solve import energies_and_gap, extrapolated, solve

__all__ = [
    "LinearMap",
    "Matrix",
    "Quadratic",
    "Solution",
    "bound_of",
    "energies_and_gap",
    "extrapolated",
    "largest_eigenvalue",
    "solve",
    "waves",
]
