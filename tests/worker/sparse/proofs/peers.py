"""Codes from other libraries: scikit-learn's lasso and the solvers of SPAMS (Mairal et al.)."""

from typing import Any

import numpy as np
import scipy.sparse
import spams  # type: ignore[import-untyped]
from sklearn.linear_model import Lasso  # type: ignore[import-untyped]

from .oracles import Array, path_to_root

# `it0` is how often SPAMS looks at its duality gap, here never: for the l-infinity tree it believes in a gap of zero up
# to 27 % above the least energy. All iterations are run.
ALL_ITERATIONS: dict[str, Any] = {"numThreads": 1, "max_it": 4000, "it0": 10**9, "tol": 1e-14, "loss": "square"}


def lasso_of_sklearn(x: Array, dictionary: Array, weight: float, *, nonnegative: bool) -> Array:
    """Its energy is divided by the number of inputs, so is the weight."""
    model = Lasso(
        alpha=weight / len(dictionary), positive=nonnegative, fit_intercept=False, tol=1e-14, max_iter=100_000
    )
    return np.atleast_2d(model.fit(dictionary, x.T).coef_)


def lasso_of_spams(x: Array, dictionary: Array, weight: float, *, nonnegative: bool) -> Array:
    """Its homotopy method (LARS), mode 2: min 1/2 ‖x − D z‖² + weight ‖z‖₁"""
    inputs, columns = np.asfortranarray(x.T), np.asfortranarray(dictionary)
    codes = spams.lasso(inputs, D=columns, lambda1=weight, mode=spams.PENALTY, pos=nonnegative, numThreads=1)
    return np.asarray(codes.todense()).T


def pools_of_spams(x: Array, dictionary: Array, size: int, weight: float, *, nonnegative: bool) -> Array:
    """Disjoint pools of units in turn, by FISTA.

    With `pos`, SPAMS's own group lasso shrinks first and drops the negative units after, which is not the proximal
    operator; its tree does it right, so there the pools are branches that own `size` units each.
    """
    pools = dictionary.shape[1] // size
    if nonnegative:
        tree = _tree(above=[0] * pools, size=size)
        return _fista(spams.fistaTree, x, dictionary, tree=tree, lambda1=weight, regul="tree-l2", pos=True)
    numbers = np.repeat(np.arange(1, pools + 1, dtype=np.int32), size)  # from 1 on
    return _fista(spams.fistaFlat, x, dictionary, groups=numbers, lambda1=weight, regul="group-lasso-l2", pos=False)


def tree_of_spams(
    x: Array, dictionary: Array, parents: list[int], weight: float, *, largest: bool, nonnegative: bool
) -> Array:
    """The tree norm by FISTA, on units in depth-first order: SPAMS wants every branch contiguous."""
    order = sorted(range(len(parents)), key=lambda unit: path_to_root(parents, unit)[::-1])
    place = {unit: k for k, unit in enumerate(order)}
    tree = _tree(above=[place[parents[unit]] + 1 if parents[unit] >= 0 else 0 for unit in order], size=1)
    regul = "tree-linf" if largest else "tree-l2"
    found = _fista(spams.fistaTree, x, dictionary[:, order], tree=tree, lambda1=weight, regul=regul, pos=nonnegative)
    codes = np.empty_like(found)
    codes[:, order] = found
    return codes


def _tree(above: list[int], size: int) -> dict[str, Any]:
    """Groups 1, 2, .. that own `size` variables each, in turn; `above` is the group that contains each.

    SPAMS knows a single tree, so group 0 of weight 0 with no variable of its own stands above the roots.
    `groups[i, j]` says that group j contains group i.
    """
    count = len(above)
    inside = scipy.sparse.csc_matrix(
        (np.ones(count, dtype=bool), (np.arange(1, count + 1), above)), shape=(count + 1, count + 1), dtype=bool
    )
    return {
        "eta_g": np.array([0.0] + [1.0] * count),
        "groups": inside,
        "own_variables": np.array([0, *range(0, count * size, size)], dtype=np.int32),
        "N_own_variables": np.array([0] + [size] * count, dtype=np.int32),
    }


def _fista(solver: Any, x: Array, dictionary: Array, **options: Any) -> Array:
    inputs, columns = np.asfortranarray(x.T), np.asfortranarray(dictionary)
    start = np.zeros((dictionary.shape[1], len(x)), order="F")
    return np.asarray(solver(inputs, columns, start, **ALL_ITERATIONS, **options)).T
