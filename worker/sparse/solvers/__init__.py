"""Finding the code of least energy."""

from worker.sparse.solvers.quadratic import Quadratic, bound_of, largest_eigenvalue
from worker.sparse.solvers.solve import Solution, energies_and_gap, extrapolated, solve

__all__ = ["Quadratic", "Solution", "bound_of", "energies_and_gap", "extrapolated", "largest_eigenvalue", "solve"]
