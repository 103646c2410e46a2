"""Every proximal operator against a generic convex solver, and against what convex analysis says of it."""

import numpy as np
import pytest
import torch

from .cases import NORMS, TREES, UNITS, array, drawn
from .oracles import Array, Norm, branch, dual_norms, nearest, path_to_root, tree_norm

EVERY_NORM = pytest.mark.parametrize("name", NORMS)


@EVERY_NORM
@pytest.mark.parametrize("sign", ["signed", "nonnegative"])
def test_the_proximal_operator_is_the_answer_of_a_convex_solver(name: str, sign: str) -> None:
    """Non-negative: max(v, 0) first, then the same operator (Jenatton et al., JMLR 2011, section 4.2.2)."""
    case, nonnegative = NORMS[name], sign == "nonnegative"
    v = torch.cat([size * drawn(seed, 2, UNITS) for seed, size in enumerate((0.05, 1.0, 3.0))])
    for weight, step in ((0.3, 1.0), (1.0, 0.4)):
        ours = case.part(weight).prox(v.clamp_min(0) if nonnegative else v, step)
        assert (ours == 0).any()
        assert (ours != 0).any()
        theirs = nearest(case.norm(weight), array(v), step, nonnegative=nonnegative)
        np.testing.assert_allclose(array(ours), theirs, atol=1e-5, rtol=0)


@EVERY_NORM
def test_ties_zeros_and_whole_groups_below_the_threshold_are_solved_too(name: str) -> None:
    v = torch.tensor([[1.0] * UNITS, [-1.0, 1.0] * (UNITS // 2), [0.0] * UNITS, [0.01] * UNITS]).double()
    v = torch.cat([v, torch.eye(UNITS, dtype=torch.float64)[:2]])
    case = NORMS[name]
    np.testing.assert_allclose(
        array(case.part(0.25).prox(v, 1.0)), nearest(case.norm(0.25), array(v), 1.0), atol=1e-5, rtol=0
    )


@EVERY_NORM
def test_the_energies_of_a_norm_are_its_definition(name: str) -> None:
    case, code = NORMS[name], drawn(3, 5, UNITS)
    np.testing.assert_allclose(array(case.part(0.7).energies(code)), case.norm(0.7).value(array(code)), rtol=1e-12)


@EVERY_NORM
def test_the_dual_scale_ends_at_the_dual_unit_ball(name: str) -> None:
    """The largest s ≤ 1 with Ω*(s v) ≤ 1, where Ω*(v) = max ⟨v, z⟩ over Ω(z) ≤ 1."""
    case = NORMS[name]
    v = torch.cat([drawn(4, 3, UNITS), 0.01 * drawn(5, 1, UNITS), torch.zeros(1, UNITS, dtype=torch.float64)])
    norms = dual_norms(case.norm(0.3), array(v))
    scale = array(case.part(0.3).dual_scale(v))[:, 0]
    assert norms[0] > 1 > norms[3]
    np.testing.assert_allclose(scale, 1 / np.maximum(norms, 1), rtol=1e-5)


@EVERY_NORM
def test_the_proximal_operator_is_zero_just_inside_the_dual_ball_and_nowhere_else(name: str) -> None:
    part, v = NORMS[name].part(0.3), drawn(6, 4, UNITS)
    edge = part.dual_scale(v) * v
    assert not part.prox(edge * (1 - 1e-4), 1.0).any()
    assert (part.prox(edge * (1 + 1e-4), 1.0) != 0).any(1).all()


def composed(norm: Norm, v: Array, groups: list[list[int]]) -> Array:
    """Each group shrunk once, in the order given: v_g − its projection onto the dual ball of radius `weight`."""
    v = v.copy()
    for group in groups:
        part = v[group]
        if norm.largest:
            v[group] = part - on_l1_ball(part, norm.weight)
        else:
            v[group] = part * max(0.0, 1 - norm.weight / max(float(np.linalg.norm(part)), 1e-300))
    return v


def on_l1_ball(v: Array, radius: float) -> Array:
    """The nearest point with Σ|v| ≤ radius, by bisection of the threshold that reaches it."""
    low, high = 0.0, float(np.abs(v).max())
    if np.abs(v).sum() <= radius:
        return v
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(np.abs(v) - middle, 0).sum() > radius else (low, middle)
    return np.asarray(np.sign(v) * np.maximum(np.abs(v) - high, 0))


@pytest.mark.parametrize("largest", [False, True], ids=["l2", "linf"])
@pytest.mark.parametrize("shape", TREES)
def test_only_the_order_from_leaves_to_roots_is_the_proximal_operator(shape: str, largest: bool) -> None:
    """Jenatton et al., JMLR 2011, section 3.2 and algorithm 1: the comparison above would find a wrong order."""
    parents = TREES[shape]
    norm = tree_norm(parents, 0.3, largest=largest)
    depth = [len(path_to_root(parents, unit)) for unit in range(UNITS)]
    root_first = [branch(parents, top) for top in sorted(range(UNITS), key=depth.__getitem__)]
    v = array(drawn(1, 6, UNITS))
    exact = nearest(norm, v, 1.0)
    np.testing.assert_allclose([composed(norm, row, root_first[::-1]) for row in v], exact, atol=1e-5, rtol=0)
    wrong = np.stack([composed(norm, row, root_first) for row in v])
    assert np.abs(wrong - exact).max() > 1e-3
