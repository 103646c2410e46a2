"""Codes for pools and trees, of the energy that SPAMS and a generic convex solver find."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from worker.sparse.solvers import solve
from worker.sparse.sparsity import L1, Pools, Tree
from worker.sparse.sparsity.pools import gaussian_profile, ring_pools, torus_pools

from .cases import NORMS, TREES, UNITS, array, drawn, problem
from .oracles import Array, Norm, best_codes, energies
from .peers import pools_of_spams, tree_of_spams

WEIGHTS = [0.1, 0.6]
GROUPED = [name for name in NORMS if name != "l1"]

SIGNS = pytest.mark.parametrize("sign", ["signed", "nonnegative"])


def exactly(x: Tensor, dictionary: Tensor, part: L1 | Pools | Tree, sign: str) -> Array:
    return array(solve(x, dictionary, part, sign=sign, max_iterations=3000, tolerance=1e-8).code)


@SIGNS
@pytest.mark.parametrize("name", GROUPED)
def test_codes_for_pools_and_trees_reach_the_least_energy_of_a_convex_solver(name: str, sign: str) -> None:
    x, dictionary = problem(10)
    for weight in WEIGHTS:
        ours = exactly(x, dictionary, NORMS[name].part(weight), sign)
        norm = NORMS[name].norm(weight)
        theirs = best_codes(norm, array(x), array(dictionary), nonnegative=sign == "nonnegative")
        assert sign == "signed" or (ours >= 0).all()
        np.testing.assert_allclose(
            energies(norm, array(x), array(dictionary), ours),
            energies(norm, array(x), array(dictionary), theirs),
            rtol=1e-6,
        )


@SIGNS
@pytest.mark.parametrize("size", [3, 4, UNITS])
def test_codes_for_disjoint_pools_reach_the_energy_of_spams(size: int, sign: str) -> None:
    x, dictionary = problem(11)
    name = "one pool" if size == UNITS else f"pools of {size}"
    for weight in WEIGHTS:
        ours = exactly(x, dictionary, NORMS[name].part(weight), sign)
        theirs = pools_of_spams(array(x), array(dictionary), size, weight, nonnegative=sign == "nonnegative")
        reached, least = (
            energies(NORMS[name].norm(weight), array(x), array(dictionary), code) for code in (ours, theirs)
        )
        np.testing.assert_allclose(reached, least, rtol=1e-5)


@SIGNS
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("shape", TREES)
def test_codes_for_trees_reach_the_energy_of_spams(shape: str, norm: str, sign: str) -> None:
    x, dictionary = problem(12)
    case = NORMS[f"{shape} {norm}"]
    for weight in WEIGHTS:
        ours = exactly(x, dictionary, case.part(weight), sign)
        theirs = tree_of_spams(
            array(x),
            array(dictionary),
            TREES[shape],
            weight,
            largest=norm == "linf",
            nonnegative=sign == "nonnegative",
        )
        reached, least = (energies(case.norm(weight), array(x), array(dictionary), code) for code in (ours, theirs))
        np.testing.assert_allclose(reached, least, rtol=1e-5)


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
        max_iterations=3000,
        tolerance=1e-9,
        prediction=near,
        prediction_weight=0.7,
    ).code
    fields: Any = {"prediction": array(near), "prediction_weight": 0.7, "nonnegative": sign == "nonnegative"}
    theirs = best_codes(NORMS[name].norm(0.5), array(x), array(dictionary), **fields)
    np.testing.assert_allclose(array(ours), theirs, atol=2e-4, rtol=0)


@SIGNS
@pytest.mark.parametrize("name", GROUPED)
def test_the_gap_of_groups_bounds_what_the_code_is_above_the_least_energy(name: str, sign: str) -> None:
    x, dictionary = problem(15)
    norm = NORMS[name].norm(0.4)
    best = best_codes(norm, array(x), array(dictionary), nonnegative=sign == "nonnegative")
    least = energies(norm, array(x), array(dictionary), best)
    gaps = []
    for iterations in (10, 30, 90):
        found = solve(x, dictionary, NORMS[name].part(0.4), sign=sign, max_iterations=iterations, tolerance=1e-15)
        assert found.gap is not None
        assert (array(found.gap) >= energies(norm, array(x), array(dictionary), array(found.code)) - least - 1e-9).all()
        gaps.append(float(found.gap.max()))
    assert gaps[-1] < 0.1 * gaps[0] or gaps[-1] < 1e-8


@SIGNS
@pytest.mark.parametrize("name", ["binary l2", "upside-down linf", "forest l2"])
def test_a_unit_is_active_only_where_its_ancestors_are(name: str, sign: str) -> None:
    """Jenatton et al., JMLR 2011, section 2."""
    x, dictionary = problem(16, batch=20)
    code = exactly(x, dictionary, NORMS[name].part(0.6), sign)
    parents = TREES[name.split()[0]]
    children = [unit for unit in range(UNITS) if parents[unit] >= 0]
    assert (code[:, children] != 0).any()
    # with l-infinity norms a parent may be zero below children: a set of measure zero, as ours is not
    orphans = (code[:, children] != 0) & (code[:, [parents[unit] for unit in children]] == 0)
    assert not orphans.any()


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
    ours = array(solve(x, dictionary, part, sign=sign, max_iterations=20_000, tolerance=1e-10).code)
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
    ours = array(solve(x, dictionary, part, sign=sign, max_iterations=20_000, tolerance=1e-10).code)
    theirs = best_codes(norm, array(x), array(dictionary), nonnegative=sign == "nonnegative")
    assert (ours == 0).any()
    assert ((np.abs(theirs) > 2e-2) <= (ours != 0)).all()
    assert ((ours == 0) >= (np.abs(theirs) < 1e-7)).mean() > 0.9
