# mypy: disable-error-code="attr-defined,no-untyped-call,no-any-return"
"""Answers to compare with: a generic convex solver (cvxpy with CLARABEL) and slow loops that follow the definitions.

Every norm of the core is a sum over groups, Ω(z) = weight · Σ_g ‖√profile_g ∘ z_g‖, and is written here as just that:
L1 has groups of one unit, pools are groups, a tree has one group for each unit with all its descendants.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import cvxpy
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Strong convexity turns an objective within ε of the optimum into a distance of at most √(2ε), in practice far less.
# CLARABEL fails where rounding keeps it from the accuracy it was asked for; then the next one is asked.
ACCURACIES = (1e-11, 1e-10, 1e-9, 1e-8)


@dataclass(frozen=True)
class Norm:
    """weight · Σ_g ‖√profile_g ∘ z_g‖, with L2 norms or largest magnitudes."""

    weight: float
    groups: list[list[int]]
    profiles: list[list[float]] | None = None
    largest: bool = False

    def scales(self) -> list[Array]:
        """√profile of each group"""
        if self.profiles is None:
            return [np.ones(len(group)) for group in self.groups]
        return [np.sqrt(np.asarray(profile, dtype=float)) for profile in self.profiles]

    def value(self, code: Array) -> Array:
        """(batch, units) → (batch,)"""
        total = np.zeros(len(code))
        for group, scale in zip(self.groups, self.scales(), strict=True):
            part = np.abs(code[:, group] * scale)
            total += part.max(1) if self.largest else np.sqrt((part**2).sum(1))
        return self.weight * total

    def expression(self, codes: cvxpy.Variable) -> cvxpy.Expression:
        """The sum over the batch, of codes (batch, units)."""
        order = "inf" if self.largest else 2
        parts = [
            cvxpy.sum(cvxpy.norm(codes[:, group] @ np.diag(scale), order, axis=1))
            for group, scale in zip(self.groups, self.scales(), strict=True)
        ]
        return self.weight * cvxpy.sum(cvxpy.hstack(parts))


def l1_norm(units: int, weight: float) -> Norm:
    return Norm(weight, [[unit] for unit in range(units)])


def tree_norm(parents: list[int], weight: float, *, largest: bool = False) -> Norm:
    """Jenatton et al., JMLR 2011, section 2: one group per node, the node and all its descendants."""
    return Norm(weight, [branch(parents, top) for top in range(len(parents))], largest=largest)


def branch(parents: list[int], top: int) -> list[int]:
    """A unit and its descendants, found by walking up from every unit."""
    return [unit for unit in range(len(parents)) if top in path_to_root(parents, unit)]


def path_to_root(parents: list[int], unit: int) -> list[int]:
    path = [unit]
    while parents[path[-1]] >= 0:
        path.append(parents[path[-1]])
        assert len(path) <= len(parents), f"the parents form a cycle: {path}"
    return path


def nearest(norm: Norm, v: Array, step: float, *, nonnegative: bool = False) -> Array:
    """The proximal operator by definition: argmin_z 1/2 ‖z − v‖² + step · Ω(z) of each row, with z ≥ 0 on demand."""
    code = cvxpy.Variable(v.shape)
    return _least(0.5 * cvxpy.sum_squares(code - v) + step * norm.expression(code), code, nonnegative)


def best_codes(
    norm: Norm,
    x: Array,
    dictionary: Array,
    *,
    nonnegative: bool = False,
    prediction: Array | None = None,
    prediction_weight: float = 0.0,
) -> Array:
    """Codes (batch, units) of least energy: argmin_z 1/2 ‖x − D z‖² + Ω(z) [+ weight/2 ‖z − prediction‖²]"""
    code = cvxpy.Variable((len(x), dictionary.shape[1]))
    energy = 0.5 * cvxpy.sum_squares(x - code @ dictionary.T) + norm.expression(code)
    if prediction is not None:
        energy += 0.5 * prediction_weight * cvxpy.sum_squares(code - prediction)
    return _least(energy, code, nonnegative)


def dual_norms(norm: Norm, v: Array) -> Array:
    """Ω*(v) = max ⟨v, z⟩ over Ω(z) ≤ 1, of each row: (batch,)"""
    found = []
    for row in v:
        code = cvxpy.Variable((1, len(row)))
        found.append(row @ _least(-(code @ row)[0], code, False, [norm.expression(code) <= 1])[0])
    return np.array(found)


def _least(
    objective: cvxpy.Expression,
    code: cvxpy.Variable,
    nonnegative: bool,
    constraints: Sequence[cvxpy.Constraint] = (),
) -> Array:
    problem = cvxpy.Problem(cvxpy.Minimize(objective), [*constraints, *([code >= 0] if nonnegative else [])])
    for accuracy in ACCURACIES:
        with contextlib.suppress(cvxpy.SolverError):
            problem.solve(solver=cvxpy.CLARABEL, **_tolerances(accuracy))
            assert problem.status == cvxpy.OPTIMAL
            return np.asarray(code.value)
    raise AssertionError(f"no answer within {ACCURACIES[-1]}")


def _tolerances(accuracy: float) -> dict[str, float]:
    names = [f"{kind}tol_{of}" for kind in ("", "reduced_") for of in ("gap_abs", "gap_rel", "feas")]
    # `optimal` alone is an answer: nothing may pass at a reduced accuracy
    return dict.fromkeys(names, accuracy)


def energies(
    norm: Norm,
    x: Array,
    dictionary: Array,
    code: Array,
    *,
    prediction: Array | None = None,
    prediction_weight: float = 0.0,
) -> Array:
    """The energy of each sample (batch,), from its definition."""
    values = 0.5 * ((x - code @ dictionary.T) ** 2).sum(1) + norm.value(code)
    if prediction is not None:
        values = values + 0.5 * prediction_weight * ((code - prediction) ** 2).sum(1)
    return values


def inhibited_energies(x: Array, dictionary: Array, matrix: Array, code: Array) -> Array:
    """1/2 ‖x − D z‖² + 1/2 |z|ᵀ S |z| of each sample, where `matrix` is S with the weight in it."""
    magnitudes = np.abs(code)
    pairs = 0.5 * np.einsum("bi,ij,bj->b", magnitudes, matrix, magnitudes)
    return 0.5 * ((x - code @ dictionary.T) ** 2).sum(1) + pairs


def inhibited_sweep(x: Array, dictionary: Array, matrix: Array, code: Array, *, nonnegative: bool) -> list[Array]:
    """One sweep of exact coordinate steps on one sample (methods section 6.3); the code (units,) after each step.

    a_i = Σ_{j≠i} S_ij |z_j|,  r_i = x − Σ_{j≠i} d_j z_j,  z_i ← sign(d_iᵀ r_i) max(0, |d_iᵀ r_i| − a_i) / ‖d_i‖²
    """
    code, visited = code.copy(), []
    for unit in range(len(code)):
        code[unit] = 0.0
        pull = float(dictionary[:, unit] @ (x - dictionary @ code))
        held = float(matrix[unit] @ np.abs(code))
        size = max(0.0, (pull if nonnegative else abs(pull)) - held) / float((dictionary[:, unit] ** 2).sum())
        code[unit] = size if nonnegative else np.sign(pull) * size
        visited.append(code.copy())
    return visited
