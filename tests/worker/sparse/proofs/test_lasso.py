"""Lasso codes, signed and not, of the energy that scikit-learn, SPAMS and a generic convex solver find."""

from typing import Any

import numpy as np
import pytest
from torch import Tensor

from worker.sparse.solvers import Solution, solve
from worker.sparse.sparsity import L1

from .cases import INPUTS, UNITS, array, drawn, problem
from .oracles import best_codes, energies, l1_norm
from .peers import lasso_of_sklearn, lasso_of_spams

WEIGHTS = [0.05, 0.4, 1.5]
PULLED = ["fista", "ista", "coordinate-descent"]  # those that know a prediction term
METHODS = [*PULLED, "active-set"]

SIGNS = pytest.mark.parametrize("sign", ["signed", "nonnegative"])
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)
EVERY_PULLED = pytest.mark.parametrize("method", PULLED)


def exactly(x: Tensor, dictionary: Tensor, weight: float, sign: str, method: str) -> Solution:
    return solve(x, dictionary, L1(weight), sign=sign, method=method, max_iterations=10_000, tolerance=1e-6)


@SIGNS
@pytest.mark.parametrize("method", ["fista", "coordinate-descent", "active-set"])
@pytest.mark.parametrize(("inputs", "units"), [(INPUTS, UNITS), (20, 8), (6, 20)])
def test_lasso_codes_reach_the_energy_of_scikit_learn_and_spams(
    method: str, sign: str, inputs: int, units: int
) -> None:
    """More units than inputs, fewer, and more than twice as many: the forms with and without the Gram matrix."""
    x, dictionary = problem(0, inputs=inputs, units=units)
    for weight in WEIGHTS:
        ours = exactly(x, dictionary, weight, sign, method).code
        assert sign == "signed" or (ours >= 0).all()
        reached = energies(l1_norm(units, weight), array(x), array(dictionary), array(ours))
        for peer in (lasso_of_sklearn, lasso_of_spams):
            theirs = peer(array(x), array(dictionary), weight, nonnegative=sign == "nonnegative")
            least = energies(l1_norm(units, weight), array(x), array(dictionary), theirs)
            np.testing.assert_allclose(reached, least, rtol=1e-5)


@SIGNS
@EVERY_PULLED
def test_a_prediction_term_is_weighed_as_a_convex_solver_weighs_it(method: str, sign: str) -> None:
    x, dictionary = problem(1)
    near = drawn(2, len(x), UNITS)
    for pull in (0.2, 3.0):
        ours = solve(
            x,
            dictionary,
            L1(0.4),
            sign=sign,
            method=method,
            max_iterations=20_000,
            tolerance=1e-9,
            start=near,
            prediction=near,
            prediction_weight=pull,
        )
        fields: Any = {"prediction": array(near), "prediction_weight": pull, "nonnegative": sign == "nonnegative"}
        theirs = best_codes(l1_norm(UNITS, 0.4), array(x), array(dictionary), **fields)
        # the prediction term makes the minimum unique
        np.testing.assert_allclose(array(ours.code), theirs, atol=1e-4, rtol=0)


@SIGNS
@EVERY_METHOD
@pytest.mark.parametrize("iterations", [10, 20, 40, 47])
def test_the_gap_bounds_what_the_code_is_above_the_least_energy(method: str, sign: str, iterations: int) -> None:
    x, dictionary = problem(3, batch=6)
    found = solve(x, dictionary, L1(0.4), sign=sign, method=method, max_iterations=iterations, tolerance=1e-12)
    assert found.gap is not None
    best = best_codes(l1_norm(UNITS, 0.4), array(x), array(dictionary), nonnegative=sign == "nonnegative")
    ours, least = (
        energies(l1_norm(UNITS, 0.4), array(x), array(dictionary), code) for code in (array(found.code), best)
    )
    assert (array(found.gap) >= ours - least - 1e-10).all()


@SIGNS
@EVERY_PULLED
def test_energies_and_gap_count_the_prediction_term(method: str, sign: str) -> None:
    x, dictionary = problem(8)
    near = drawn(9, len(x), UNITS)
    fields: Any = {"prediction": array(near), "prediction_weight": 0.7}
    norm = l1_norm(UNITS, 0.4)
    best = best_codes(norm, array(x), array(dictionary), nonnegative=sign == "nonnegative", **fields)
    least = energies(norm, array(x), array(dictionary), best, **fields)
    gaps = []
    for iterations in (10, 60):
        found = solve(
            x,
            dictionary,
            L1(0.4),
            sign=sign,
            method=method,
            max_iterations=iterations,
            tolerance=1e-15,
            prediction=near,
            prediction_weight=0.7,
            trace=True,
        )
        ours = energies(norm, array(x), array(dictionary), array(found.code), **fields)
        np.testing.assert_allclose(array(found.energies[-1]), ours, rtol=1e-12)
        assert found.gap is not None
        assert (array(found.gap) >= ours - least - 1e-9).all()
        gaps.append(float(found.gap.max()))
    assert gaps[1] < 1e-3 * float(least.max())


@SIGNS
@EVERY_METHOD
def test_the_gap_stops_the_iterations_within_the_tolerance(method: str, sign: str) -> None:
    x, dictionary = problem(4, batch=5)
    best = best_codes(l1_norm(UNITS, 0.4), array(x), array(dictionary), nonnegative=sign == "nonnegative")
    least = energies(l1_norm(UNITS, 0.4), array(x), array(dictionary), best)
    spent = []
    for tolerance in (1e-1, 1e-3, 1e-6):
        found = solve(x, dictionary, L1(0.4), sign=sign, method=method, max_iterations=10_000, tolerance=tolerance)
        ours = energies(l1_norm(UNITS, 0.4), array(x), array(dictionary), array(found.code))
        assert (ours <= least / (1 - tolerance) + 1e-10).all()
        spent.append(found.iterations)
    assert spent[0] < spent[-1] < 10_000
    assert spent == sorted(spent)


@SIGNS
def test_acceleration_pays(sign: str) -> None:
    x, dictionary = problem(6, inputs=20, units=30)
    plain, fast = (exactly(x, dictionary, 0.1, sign, method).iterations for method in ("ista", "fista"))
    assert fast < plain / 2


def test_a_weight_above_every_correlation_gives_codes_of_zeros() -> None:
    x, dictionary = problem(7)
    weight = float((x @ dictionary).abs().max()) * 1.001
    for method in METHODS:
        assert not exactly(x, dictionary, weight, "signed", method).code.any()
        assert exactly(x, dictionary, weight * 0.9, "signed", method).code.any()
