"""Special cases of a part that are another part (design section 5)."""

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from worker.sparse.autoencoder import Autoencoder
from worker.sparse.classifier import Softmax
from worker.sparse.connections import Dense
from worker.sparse.encoders import Exact, Feedforward, PredictRefine, Recurrent, Settings
from worker.sparse.encoders.recurrent import drsae_matrices, ista_matrices
from worker.sparse.solvers import solve
from worker.sparse.sparsity import L1, Inhibition, Penalty, Pools, Tree
from worker.sparse.sparsity.inhibition import ring_inhibition, sheet_inhibition, tree_inhibition
from worker.sparse.sparsity.pools import disjoint_pools, gaussian_profile, ring_pools, torus_pools

from .cases import FOREST, NORMS, UNITS, array, drawn, problem

SIGNS = pytest.mark.parametrize("sign", ["signed", "nonnegative"])


def same(a: Tensor, b: Tensor, within: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=within, atol=within)


@SIGNS
@pytest.mark.parametrize("passes", [1, 2, 7, 40])
def test_an_untrained_lista_is_ista_stopped_early(passes: int, sign: str) -> None:
    """Gregor and LeCun, ICML 2010: E = Dᵀ/L, S = I − DᵀD/L, θ = λ/L."""
    x, dictionary = problem(70, batch=6)
    matrices = ista_matrices(dictionary, 0.3)
    encoder = Recurrent(*matrices, passes=passes, total_step=None, signed=sign == "signed")
    stopped = solve(x, dictionary, L1(0.3), sign=sign, method="ista", max_iterations=passes, tolerance=0).code
    same(encoder.predict(x).detach(), stopped)
    with torch.no_grad():
        same(encoder.predict(x), stopped)
    assert stopped.any()


@SIGNS
def test_more_passes_of_an_untrained_lista_come_to_the_exact_code(sign: str) -> None:
    x, dictionary = problem(71, inputs=12, units=8)
    encoder = Recurrent(*ista_matrices(dictionary, 0.3), passes=2, total_step=None, signed=sign == "signed")
    exact = solve(x, dictionary, L1(0.3), sign=sign, max_iterations=5000, tolerance=1e-14).code
    with torch.no_grad():
        same(encoder.predict(x, 5000), exact, 1e-6)


def test_an_untrained_drsae_takes_steps_of_its_total_over_its_passes() -> None:
    x, dictionary = problem(72)
    passes, total = 11, 1.25
    encoder = Recurrent(*drsae_matrices(dictionary, passes, total), passes=passes, total_step=total)
    bias = float(encoder.bias.detach()[0])
    step = total / passes
    stepped = solve(
        x,
        dictionary,
        L1(bias / step),
        sign="nonnegative",
        method="ista",
        max_iterations=passes,
        tolerance=0,
        lipschitz=1 / step,
    ).code
    same(encoder.predict(x).detach(), stepped)
    assert stepped.any()


ONES: dict[str, Pools | Tree] = {
    "pools": Pools(disjoint_pools(UNITS, 1), UNITS, weight=0.3, disjoint=True),
    "roots l2": Tree(torch.full((UNITS,), -1), 0.3, norm="l2"),
    "roots linf": Tree(torch.full((UNITS,), -1), 0.3, norm="linf"),
}


@pytest.mark.parametrize("name", ONES)
def test_pools_of_one_unit_and_trees_of_roots_alone_are_l1(name: str) -> None:
    part, l1, v = ONES[name], L1(0.3), drawn(73, 6, UNITS)
    same(part.energies(v), l1.energies(v))
    same(part.prox(v, 0.8), l1.prox(v, 0.8))
    same(part.dual_scale(v), l1.dual_scale(v), 2e-6)
    x, dictionary = problem(74)
    for sign in ("signed", "nonnegative"):
        ours, theirs = (
            solve(x, dictionary, each, sign=sign, max_iterations=100, tolerance=0).code for each in (part, l1)
        )
        same(ours, theirs)


@pytest.mark.parametrize("members", [ring_pools(UNITS, 1, 1), torus_pools(3, 4, 1, 1)], ids=["ring", "torus"])
def test_overlapping_pools_of_one_unit_are_the_smoothed_l1(members: Tensor) -> None:
    code = drawn(75, 4, UNITS)
    part = Pools(members, UNITS, weight=0.3, smoothing=1e-8)
    same(part.energies(code), 0.3 * ((code.square() + 1e-8).sqrt() - 1e-4).sum(1))
    x, dictionary = problem(76, inputs=20, units=UNITS)
    ours, theirs = (solve(x, dictionary, each, max_iterations=4000, tolerance=1e-10).code for each in (part, L1(0.3)))
    same(ours, theirs, 1e-3)


def test_pools_that_a_ring_does_not_share_are_disjoint_pools() -> None:
    assert torch.equal(ring_pools(UNITS, 4, 4), disjoint_pools(UNITS, 4))
    x, dictionary = problem(77, inputs=20, units=UNITS)
    smoothed = Pools(ring_pools(UNITS, 4, 4), UNITS, weight=0.5, smoothing=1e-8)
    exact = Pools(disjoint_pools(UNITS, 4), UNITS, weight=0.5, disjoint=True)
    for sign in ("signed", "nonnegative"):
        ours, theirs = (
            solve(x, dictionary, each, sign=sign, max_iterations=4000, tolerance=1e-10).code
            for each in (smoothed, exact)
        )
        same(ours, theirs, 1e-3)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_gaussian_profile_without_end_is_flat(dimensions: int) -> None:
    members = ring_pools(UNITS, 4, 2) if dimensions == 1 else torus_pools(4, 3, 2, 1)
    profile = gaussian_profile(4 if dimensions == 1 else 2, 1e6, dimensions)
    code = drawn(78, 4, UNITS)
    gaussian, flat = (Pools(members, UNITS, profile=each, weight=0.3) for each in (profile, None))
    same(gaussian.energies(code), flat.energies(code))


def test_a_ring_is_a_torus_of_one_row() -> None:
    assert torch.equal(torus_pools(1, UNITS, 1, 1), ring_pools(UNITS, 1, 1))
    for free, reach in ((1, None), (0, 3), (2, 5)):
        assert torch.equal(sheet_inhibition(1, UNITS, free, reach), ring_inhibition(UNITS, free, reach))
        assert torch.equal(sheet_inhibition(UNITS, 1, free, reach), ring_inhibition(UNITS, free, reach))


def test_a_tree_of_roots_alone_inhibits_everyone_and_a_chain_no_one() -> None:
    everyone = torch.ones(UNITS, UNITS).fill_diagonal_(0)
    assert torch.equal(tree_inhibition(torch.full((UNITS,), -1)), everyone)
    assert not tree_inhibition(torch.arange(-1, UNITS - 1)).any()


NOTHING: dict[str, Penalty] = {
    "inhibition of weight 0": Inhibition(torch.ones(8, 8).double().fill_diagonal_(0), 0.0),
    "inhibition by no one": Inhibition(torch.zeros(8, 8).double(), 3.0),
    "l1 of weight 0": L1(0.0),
    "pools of weight 0": Pools(disjoint_pools(8, 4), 8, weight=0.0, disjoint=True),
    "overlapping pools of weight 0": Pools(ring_pools(8, 4, 2), 8, weight=0.0),
    "tree of weight 0, l2": Tree(torch.tensor([-1, 0, 0, 1, 1, 2, 2, 3]), 0.0),
    "tree of weight 0, linf": Tree(torch.tensor([-1, 0, 0, 1, 1, 2, 2, 3]), 0.0, norm="linf"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_no_penalty_is_least_squares(name: str) -> None:
    part = NOTHING[name]
    methods = ["fista", "coordinate-descent"] if isinstance(part, L1 | Inhibition) else ["fista"]
    for method in methods:
        assert_least_squares(part, method)
    code = drawn(79, 3, 8)
    assert not part.energies(code).any()


def assert_least_squares(part: Penalty, method: str) -> None:
    x, dictionary = problem(79, inputs=20, units=8)
    signed, positive = (
        solve(x, dictionary, part, sign=sign, method=method, max_iterations=300, tolerance=0).code
        for sign in ("signed", "nonnegative")
    )
    same(signed, torch.linalg.lstsq(dictionary, x.t()).solution.t(), 1e-7)
    theirs = [scipy.optimize.nnls(array(dictionary), row)[0] for row in array(x)]
    np.testing.assert_allclose(array(positive), theirs, atol=1e-7)


@SIGNS
def test_every_method_reaches_one_minimum(sign: str) -> None:
    """With fewer units than inputs the minimum is unique, and so is the code."""
    x, dictionary = problem(80, inputs=20, units=UNITS)
    codes = [
        solve(x, dictionary, L1(0.3), sign=sign, method=method, max_iterations=5000, tolerance=1e-13, start=start).code
        for method in ("fista", "ista", "coordinate-descent", "active-set")
        for start in (None, 3 * drawn(81, len(x), UNITS))
    ]
    assert (codes[0] == 0).any()
    for code in codes[1:]:
        same(code, codes[0], 1e-5)


@pytest.mark.parametrize("name", ["pools of 3", "forest linf"])
def test_a_code_does_not_depend_on_where_the_search_began_or_on_its_companions(name: str) -> None:
    x, dictionary = problem(82, inputs=20, units=UNITS)
    part = NORMS[name].part(0.3)
    settings = {"max_iterations": 200, "tolerance": 0.0}
    together = solve(x, dictionary, part, **settings).code  # type: ignore[arg-type]
    warm = solve(x, dictionary, part, start=together + drawn(83, len(x), UNITS), **settings).code  # type: ignore[arg-type]
    same(warm, together, 1e-6)
    for row, code in zip(x, together, strict=True):
        same(solve(row[None], dictionary, part, **settings).code[0], code, 1e-9)  # type: ignore[arg-type]


def test_cut_branches_are_branches_that_were_never_there() -> None:
    x, dictionary = problem(84)
    part = Tree(torch.tensor(FOREST), 0.3)
    usage = torch.ones(UNITS)
    usage[[5, 6, 7, 8, 11]] = 0.001
    cut = part.prune(usage, 0.01)
    assert sorted(cut.tolist()) == [5, 6, 7, 8, 11]
    left = [unit for unit in range(UNITS) if unit not in cut.tolist()]
    number = {unit: place for place, unit in enumerate(left)} | {-1: -1}
    smaller = Tree(torch.tensor([number[FOREST[unit]] for unit in left]), 0.3)
    for sign in ("signed", "nonnegative"):
        code = solve(x, dictionary, part, sign=sign, max_iterations=300, tolerance=0).code
        alone = solve(x, dictionary[:, left], smaller, sign=sign, max_iterations=300, tolerance=0).code
        assert not code[:, cut].any()
        same(code[:, left], alone, 1e-6)


def drsae(weight: float) -> Autoencoder:
    _, dictionary = problem(85)
    encoder = Recurrent(*drsae_matrices(dictionary, 5, 1.25), passes=5)
    return Autoencoder(Dense(dictionary), encoder, L1(0.018), Softmax(drawn(86, 4, UNITS), weight=weight))


def test_class_weight_zero_is_the_unsupervised_part_of_drsae() -> None:
    x, labels = problem(85)[0], torch.tensor([2, 0, 3])
    losses, gradients = [], []
    for model, given in ((drsae(0.0), labels), (drsae(0.2), None), (drsae(0.2), labels)):
        loss = model.energy(x, given).loss
        parts = [*model.connection.parameters(), *model.encoder.parameters()]
        losses.append(loss.detach())
        gradients.append(torch.cat([each.reshape(-1) for each in torch.autograd.grad(loss, parts)]))
    same(losses[0], losses[1])
    same(gradients[0], gradients[1])
    assert losses[2] > losses[1]
    assert not torch.allclose(gradients[2], gradients[1])


@SIGNS
def test_a_prediction_that_pulls_without_end_is_the_code_and_one_of_weight_zero_is_not_there(sign: str) -> None:
    x, dictionary = problem(87)
    near = drawn(88, len(x), UNITS)
    free, loose, tied = (
        solve(
            x,
            dictionary,
            L1(0.3),
            sign=sign,
            max_iterations=300,
            tolerance=0,
            prediction=prediction,
            prediction_weight=weight,
        ).code
        for prediction, weight in ((None, 0.0), (near, 0.0), (near, 1e8))
    )
    same(loose, free)
    same(tied, near if sign == "signed" else near.clamp_min(0), 1e-6)


def test_refining_without_the_prediction_term_is_the_exact_encoder() -> None:
    """Gregor and LeCun learn from codes of the energy alone; PSD couples them to the prediction."""
    x, dictionary = problem(89, inputs=20, units=UNITS)
    settings = Settings(max_iterations=500, tolerance=0.0)
    connection, l1 = Dense(dictionary), L1(0.3)
    exact = Exact(settings).encode(x, connection, l1)
    predictor = Feedforward.from_connection(connection, activation="tanh", gain=True)
    apart, coupled = (PredictRefine(predictor, settings, weight=1.0, coupled=each) for each in (False, True))
    same(apart.infer(x, x, connection, l1).code, exact, 1e-7)
    same(apart.exact(x, connection, l1), exact, 1e-7)
    assert not torch.allclose(coupled.infer(x, x, connection, l1).code, exact, atol=1e-3)
    same(apart.encode(x, connection, l1).detach(), predictor.encode(x, connection, l1).detach())


def test_a_tree_with_one_branch_for_each_pool_adds_the_pools_to_l1() -> None:
    """Roots that no dictionary column follows are pools: the tree norm is Ω_pools + ‖·‖₁ of the leaves."""
    parents = torch.tensor([-1, -1, -1, *(unit // 3 for unit in range(9))])
    leaves = drawn(90, 4, 9)
    code = torch.cat([torch.zeros(4, 3, dtype=torch.float64), leaves], 1)
    pools = Pools(disjoint_pools(9, 3), 9, weight=0.3, disjoint=True)
    same(Tree(parents, 0.3).energies(code), pools.energies(leaves) + L1(0.3).energies(leaves))
