"""Lateral inhibition against the formula for one unit, written as a slow loop (methods section 6.3)."""

import numpy as np
import pytest
import torch
from torch import Tensor

from worker.sparse.solvers import solve
from worker.sparse.sparsity import Inhibition

from .cases import UNITS, array, drawn, problem
from .oracles import inhibited_energies, inhibited_sweep

SIGNS = pytest.mark.parametrize("sign", ["signed", "nonnegative"])
METHODS = pytest.mark.parametrize("method", ["fista", "ista", "coordinate-descent"])
WEIGHTS = [0.2, 2.0]


def inhibiting(seed: int, share: float = 0.7) -> Tensor:
    """A symmetric matrix with a zero diagonal, some of its entries zero."""
    generator = torch.Generator().manual_seed(seed)
    upper = torch.rand(UNITS, UNITS, dtype=torch.float64, generator=generator)
    upper = upper * (torch.rand(UNITS, UNITS, dtype=torch.float64, generator=generator) < share)
    upper = upper.triu(1)
    return upper + upper.t()


def started(seed: int, batch: int, sign: str) -> Tensor:
    start = 2 * drawn(seed, batch, UNITS)
    return start.clamp_min(0) if sign == "nonnegative" else start


def test_the_energy_is_its_definition() -> None:
    x, dictionary = problem(30)
    code, matrix = drawn(31, len(x), UNITS), inhibiting(0)
    ours = 0.5 * (x - code @ dictionary.t()).square().sum(1) + Inhibition(matrix, 0.7).energies(code)
    theirs = inhibited_energies(array(x), array(dictionary), 0.7 * array(matrix), array(code))
    np.testing.assert_allclose(array(ours), theirs, rtol=1e-12)


def test_units_that_all_inhibit_each_other_pay_the_squared_l1_norm_less_the_squared_l2_norm() -> None:
    code = drawn(32, 4, UNITS)
    everyone = torch.ones(UNITS, UNITS, dtype=torch.float64).fill_diagonal_(0)
    expected = 0.5 * (code.abs().sum(1).square() - code.square().sum(1))
    torch.testing.assert_close(Inhibition(everyone, 1.0).energies(code), expected)


@SIGNS
def test_a_sweep_takes_the_exact_step_of_every_unit_and_none_raises_the_energy(sign: str) -> None:
    """Every unit is visited once, so the code after a sweep holds what each of its steps found."""
    x, dictionary = problem(33)
    dictionary = dictionary * torch.linspace(0.5, 1.5, UNITS, dtype=torch.float64)  # columns of unequal norms
    for weight in WEIGHTS:
        matrix, start = inhibiting(1), started(34, len(x), sign)
        ours = solve(
            x,
            dictionary,
            Inhibition(matrix, weight),
            sign=sign,
            method="coordinate-descent",
            max_iterations=1,
            tolerance=0,
            start=start,
        ).code
        for row, before, after in zip(array(x), array(start), array(ours), strict=True):
            weighted = weight * array(matrix)
            visited = inhibited_sweep(row, array(dictionary), weighted, before, nonnegative=sign == "nonnegative")
            np.testing.assert_allclose(after, visited[-1], rtol=1e-9, atol=1e-12)
            steps = np.stack([before, *visited])
            path = inhibited_energies(np.tile(row, (len(steps), 1)), array(dictionary), weighted, steps)
            assert (np.diff(path) <= 1e-12 * path[0]).all()
            assert path[-1] < path[0]


def test_the_exact_step_is_no_worse_than_any_other_value_of_the_unit() -> None:
    """The formula itself, against a grid: |z_i| enters the energy with the weight Σ_j S_ij |z_j|."""
    x, dictionary = problem(35, batch=1)
    matrix, before = array(inhibiting(2)), array(drawn(36, UNITS))
    before[3] = 0.0  # else a unit left alone by the sweep keeps what the grid is compared with
    found = inhibited_sweep(array(x)[0], array(dictionary), matrix, before, nonnegative=False)[0]
    others = np.tile(found, (2001, 1))
    others[:, 0] = np.linspace(-5, 5, 2001)
    paths = inhibited_energies(np.tile(array(x), (2001, 1)), array(dictionary), matrix, others)
    assert inhibited_energies(array(x), array(dictionary), matrix, found[None])[0] <= paths.min() + 1e-12


@SIGNS
@METHODS
def test_no_iteration_raises_the_energy(method: str, sign: str) -> None:
    """All units at once as well as one after the other, accelerated or not: the energy has many minima."""
    for seed in range(10):
        x, dictionary = problem(seed)
        for weight in WEIGHTS:
            found = solve(
                x,
                dictionary,
                Inhibition(inhibiting(seed), weight),
                sign=sign,
                method=method,
                max_iterations=30,
                tolerance=0,
                start=started(seed, len(x), sign),
                trace=True,
            )
            trace = torch.stack(found.energies)
            assert (trace[1:] <= trace[:-1] * (1 + 1e-13)).all()
            assert (trace[-1] < trace[0]).all()


@SIGNS
@METHODS
def test_the_iterations_end_where_no_single_unit_can_lower_the_energy(method: str, sign: str) -> None:
    x, dictionary = problem(37)
    matrix = inhibiting(3)
    code = solve(x, dictionary, Inhibition(matrix, 1.0), sign=sign, method=method, max_iterations=600, tolerance=0).code
    assert (code == 0).any()
    assert (code != 0).any()
    for row, found in zip(array(x), array(code), strict=True):
        visited = inhibited_sweep(row, array(dictionary), array(matrix), found, nonnegative=sign == "nonnegative")
        np.testing.assert_allclose(visited[-1], found, atol=1e-6)


def learned(max_value: float, row_sum: float, steps: int = 200) -> Inhibition:
    """A matrix that has climbed on codes of units all active for half of the inputs: 0 and 1 for the same ones, 2 and 3
    never for the same one, the others at random."""
    code = (drawn(38, 512, UNITS) > 0).double()
    code[:, 1] = code[:, 0]
    code[:, 3] = 1 - code[:, 2]
    generator = torch.Generator().manual_seed(4)
    start = torch.rand(UNITS, UNITS, dtype=torch.float64, generator=generator)
    part = Inhibition(start, 1.0, rate=0.05, max_value=max_value, row_sum=row_sum)
    for _ in range(steps):
        part.learn(code)
    return part


@pytest.mark.parametrize(("max_value", "row_sum"), [(1.0, 4.0), (0.5, 5.0), (10.0, 1.0)])
def test_a_learned_matrix_keeps_its_constraints(max_value: float, row_sum: float) -> None:
    for steps in (1, 100):
        matrix = learned(max_value, row_sum, steps).matrix
        assert torch.equal(matrix, matrix.t())
        assert not matrix.diagonal().any()
        assert matrix.min() >= 0
        assert matrix.max() <= max_value
        torch.testing.assert_close(matrix.sum(1), torch.full_like(matrix[0], row_sum), rtol=1e-2, atol=0)


def test_rows_end_below_their_sum_where_the_bound_forbids_it() -> None:
    matrix = learned(0.5, 100.0).matrix
    most = 0.5 * (UNITS - 1)
    torch.testing.assert_close(matrix.sum(1), torch.full_like(matrix[0], most), rtol=1e-2, atol=0)
    assert matrix.max() <= 0.5


def test_a_learned_matrix_grows_between_units_that_are_active_together() -> None:
    matrix = learned(1.0, 2.0).matrix
    others = matrix[4:, 4:][~torch.eye(UNITS - 4, dtype=torch.bool)]
    assert matrix[0, 1] > 1.4 * others.mean()
    assert matrix[2, 3] < 0.2 * others.mean()


def test_a_learned_matrix_settles() -> None:
    early, late, later = (learned(1.0, 2.0, steps).matrix for steps in (10, 400, 420))
    assert (later - late).abs().max() < 0.05 * (late - early).abs().max()


def test_without_a_rate_nothing_is_learned() -> None:
    part = Inhibition(inhibiting(5), 1.0)
    part.learn(drawn(41, 8, UNITS))
    assert torch.equal(part.matrix, inhibiting(5))
