"""Where theory says that an energy falls with every iteration, and how fast an accelerated one has to fall."""

import numpy as np
import pytest
import torch
from torch import Tensor

from worker.sparse.solvers import bound_of, largest_eigenvalue, solve
from worker.sparse.sparsity import L1, Penalty, Pools
from worker.sparse.sparsity.pools import gaussian_profile, torus_pools

from .cases import NORMS, UNITS, array, drawn, problem
from .oracles import best_codes, energies

SIGNS = pytest.mark.parametrize("sign", ["signed", "nonnegative"])


def traced(seed: int, part: Penalty, sign: str, method: str, iterations: int) -> Tensor:
    """Energies (1 + iterations, batch) from a far start."""
    x, dictionary = problem(seed)
    start = 3 * drawn(seed, len(x), UNITS)
    found = solve(
        x,
        dictionary,
        part,
        sign=sign,
        method=method,
        max_iterations=iterations,
        tolerance=0,
        start=start,
        trace=True,
    )
    assert len(found.energies) == 1 + iterations
    return torch.stack(found.energies)


def assert_falls(trace: Tensor) -> None:
    assert (trace[1:] <= trace[:-1] * (1 + 1e-13)).all()
    assert (trace[-1] < trace[0]).all()


@SIGNS
@pytest.mark.parametrize("name", NORMS)
def test_the_energy_of_plain_proximal_gradient_steps_never_rises(name: str, sign: str) -> None:
    """Steps of length 1/L: Beck and Teboulle, SIAM J. Imaging Sci. 2(1), 2009, lemma 2.3."""
    for weight in (0.05, 0.6):
        assert_falls(traced(20, NORMS[name].part(weight), sign, "ista", 40))


@SIGNS
@pytest.mark.parametrize("profile", ["flat", "gaussian"])
def test_the_energy_of_majorised_steps_on_overlapping_pools_never_rises(profile: str, sign: str) -> None:
    weights = None if profile == "flat" else gaussian_profile(2, 0.8, 2).double()
    for weight, smoothing in ((0.1, 1e-6), (0.6, 1e-2)):
        part = Pools(torus_pools(3, 4, 2, 1), UNITS, profile=weights, weight=weight, smoothing=smoothing)
        assert_falls(traced(21, part, sign, "ista", 100))


@SIGNS
def test_the_energy_of_coordinate_descent_never_rises(sign: str) -> None:
    for seed in range(5):
        for weight in (0.05, 0.4, 1.5):
            assert_falls(traced(seed, L1(weight), sign, "coordinate-descent", 30))


@SIGNS
@pytest.mark.parametrize("name", ["l1", "pools of 3", "binary l2", "forest linf"])
def test_accelerated_steps_keep_the_bound_of_beck_and_teboulle(name: str, sign: str) -> None:
    """E(z_k) − E(z*) ≤ 2 L ‖z_0 − z*‖² / (k + 1)², theorem 4.4 of the same paper.

    The energy itself may rise in between. Starting again where a step turns back is not in the theorem: what is asked
    here is that it does no harm.
    """
    x, dictionary = problem(22, batch=8)
    norm = NORMS[name].norm(0.1)
    best = best_codes(norm, array(x), array(dictionary), nonnegative=sign == "nonnegative")
    least = energies(norm, array(x), array(dictionary), best)
    found = solve(x, dictionary, NORMS[name].part(0.1), sign=sign, max_iterations=150, tolerance=0, trace=True)
    lipschitz = np.linalg.eigvalsh(array(dictionary.t() @ dictionary)).max()
    above = np.stack([array(values) for values in found.energies[1:]]) - least
    steps = np.arange(1, 151)[:, None]
    assert (above <= 2 * lipschitz * (best**2).sum(1) / (steps + 1) ** 2 + 1e-9).all()


@pytest.mark.parametrize(("inputs", "units"), [(8, 12), (20, 8), (100, 100), (300, 280)])
def test_the_estimated_bound_is_not_below_the_largest_eigenvalue(inputs: int, units: int) -> None:
    """Encoders take their steps from it, and only steps of length 1/L at most are sure to descend."""
    for seed in range(40 if inputs <= 100 else 4):
        _, dictionary = problem(seed, inputs=inputs, units=units)
        largest = np.linalg.eigvalsh(array(dictionary @ dictionary.t())).max()
        assert largest * (1 - 1e-9) <= bound_of(dictionary) <= 1.1 * largest
        assert largest_eigenvalue(dictionary) == pytest.approx(largest, rel=1e-9)
