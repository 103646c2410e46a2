"""Codes for pools and trees, of the energy that SPAMS and a generic convex solver find."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from worker.sparse.solvers import solve
from worker.sparse.sparsity import L1, Pools, Tree
from worker.sparse.sparsity.pools import gaussian_profile, ring_pools, torus_pools

from .cases import NORMS, TREES, UNITS, array, drawn, problem
from .oracles import Array, Norm, best_codes, energies, nearest, tree_norm
from .peers import pools_of_spams, tree_of_spams

POOL_SIZES = {"pools of 3": 3, "pools of 4": 4, "one pool": UNITS}
GROUPED = [*POOL_SIZES, "binary l2", "binary linf", "upside-down l2", "forest l2", "forest linf"]

SIGNS = pytest.mark.parametrize("sign", ["signed", "nonnegative"])
GROUPS = pytest.mark.parametrize("name", GROUPED)


def exactly(x: Tensor, dictionary: Tensor, part: L1 | Pools | Tree, sign: str) -> Array:
    return array(solve(x, dictionary, part, sign=sign, max_iterations=2000, tolerance=2e-6).code)


def of_spams(name: str, x: Array, dictionary: Array, weight: float, *, nonnegative: bool) -> Array:
    if name in POOL_SIZES:
        return pools_of_spams(x, dictionary, POOL_SIZES[name], weight, nonnegative=nonnegative)
    shape, norm = name.split()
    return tree_of_spams(x, dictionary, TREES[shape], weight, largest=norm == "linf", nonnegative=nonnegative)


@SIGNS
@GROUPS
def test_codes_for_pools_and_trees_reach_the_energy_of_spams_and_of_a_convex_solver(name: str, sign: str) -> None:
    x, dictionary = problem(10)
    for weight in (0.2, 0.6):
        norm = NORMS[name].norm(weight)
        ours = exactly(x, dictionary, NORMS[name].part(weight), sign)
        assert sign == "signed" or (ours >= 0).all()
        reached = energies(norm, array(x), array(dictionary), ours)
        for peer in (partial(best_codes, norm), partial(of_spams, name, weight=weight)):
            theirs = peer(x=array(x), dictionary=array(dictionary), nonnegative=sign == "nonnegative")
            np.testing.assert_allclose(reached, energies(norm, array(x), array(dictionary), theirs), rtol=1e-5)


@SIGNS
@pytest.mark.parametrize("name", ["pools of 3", "binary l2", "forest linf"])
def test_a_prediction_term_beside_groups_is_weighed_as_a_convex_solver_weighs_it(name: str, sign: str) -> None:
    x, dictionary = problem(13)
    near = drawn(14, len(x), UNITS)
    ours = solve(
        x,
        dictionary,
        NORMS[name].part(0.5),
        sign=sign,
        max_iterations=200,
        tolerance=0,
        prediction=near,
        prediction_weight=0.7,
    ).code
    fields: Any = {"prediction": array(near), "prediction_weight": 0.7, "nonnegative": sign == "nonnegative"}
    theirs = best_codes(NORMS[name].norm(0.5), array(x), array(dictionary), **fields)
    np.testing.assert_allclose(array(ours), theirs, atol=2e-4, rtol=0)


@SIGNS
@GROUPS
def test_the_gap_of_groups_bounds_what_the_code_is_above_the_least_energy(name: str, sign: str) -> None:
    x, dictionary = problem(15)
    norm = NORMS[name].norm(0.4)
    best = best_codes(norm, array(x), array(dictionary), nonnegative=sign == "nonnegative")
    least = energies(norm, array(x), array(dictionary), best)
    gaps = []
    for iterations in (10, 60):
        found = solve(x, dictionary, NORMS[name].part(0.4), sign=sign, max_iterations=iterations, tolerance=1e-15)
        assert found.gap is not None
        assert (array(found.gap) >= energies(norm, array(x), array(dictionary), array(found.code)) - least - 1e-9).all()
        gaps.append(float(found.gap.max()))
    assert gaps[-1] < 0.1 * gaps[0]


@pytest.mark.parametrize("name", ["binary l2", "upside-down linf", "forest l2"])
def test_a_unit_is_active_only_where_its_ancestors_are(name: str) -> None:
    """Jenatton et al., JMLR 2011, section 2: signed codes, but for a set of measure zero."""
    x, dictionary = problem(16, batch=20)
    code = exactly(x, dictionary, NORMS[name].part(0.6), "signed")
    parents = TREES[name.split()[0]]
    children = [unit for unit in range(UNITS) if parents[unit] >= 0]
    above = [parents[unit] for unit in children]
    assert (code[:, children] != 0).any()
    assert (code[:, above] == 0).any()
    assert not ((code[:, children] != 0) & (code[:, above] == 0)).any()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_unit_that_would_be_negative_does_not_silence_those_below(norm: str) -> None:
    v = torch.tensor([[-1.0, 3.0]], dtype=torch.float64)
    ours = Tree(torch.tensor([-1, 0]), 0.5, norm=norm).prox(v.clamp_min(0), 1.0)
    theirs = nearest(tree_norm([-1, 0], 0.5, largest=norm == "linf"), array(v), 1.0, nonnegative=True)
    np.testing.assert_allclose(array(ours), theirs, atol=1e-5, rtol=0)
    assert ours[0].tolist() == pytest.approx([0.0, 2.0])


def overlapping(layout: str, profile: str, weight: float, smoothing: float) -> tuple[Pools, Norm]:
    """Pools of the core and the norm that they smooth: windows on a ring of 12, or squares on a torus of 3 × 4."""
    dimensions = 1 if layout == "ring" else 2
    members = ring_pools(UNITS, 4, 2) if layout == "ring" else torus_pools(3, 4, 2, 1)
    size = 4 if layout == "ring" else 2
    weights = torch.ones(members.shape[1]) if profile == "flat" else gaussian_profile(size, 0.8, dimensions)
    part = Pools(members, UNITS, profile=weights, weight=weight, smoothing=smoothing)
    return part, Norm(weight, members.tolist(), [weights.tolist()] * len(members))


@SIGNS
@pytest.mark.parametrize("profile", ["flat", "gaussian"])
@pytest.mark.parametrize("layout", ["ring", "torus"])
def test_overlapping_pools_reach_the_exact_norm_within_the_smoothing(layout: str, profile: str, sign: str) -> None:
    """√(v + ε) − √ε lies below √v by at most √ε: Ω_ε ≤ Ω ≤ Ω_ε + weight · pools · √ε, and so do the least energies."""
    x, dictionary = problem(17)
    weight, smoothing = 0.3, 1e-6
    part, norm = overlapping(layout, profile, weight, smoothing)
    ours = array(solve(x, dictionary, part, sign=sign, max_iterations=3000, tolerance=1e-9).code)
    theirs = best_codes(norm, array(x), array(dictionary), nonnegative=sign == "nonnegative")
    reached, least = (energies(norm, array(x), array(dictionary), code) for code in (ours, theirs))
    slack = weight * len(norm.groups) * smoothing**0.5
    assert (reached >= least - 1e-8).all()
    assert (reached <= least + slack).all()


@SIGNS
@pytest.mark.parametrize("layout", ["ring", "torus"])
def test_overlapping_pools_leave_units_of_vanished_pools_at_zero(layout: str, sign: str) -> None:
    x, dictionary = problem(18)
    part, norm = overlapping(layout, "flat", 1.2, 1e-6)
    ours = array(solve(x, dictionary, part, sign=sign, max_iterations=3000, tolerance=1e-9).code)
    theirs = best_codes(norm, array(x), array(dictionary), nonnegative=sign == "nonnegative")
    assert (ours == 0).any()
    assert ((np.abs(theirs) > 2e-2) <= (ours != 0)).all()
    assert ((ours == 0) >= (np.abs(theirs) < 1e-7)).mean() > 0.9
