"""Codes from a working set: of maps over images as of their matrices, of the least energy, the same every time."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from worker.sparse.connections.spatial import Spatial
from worker.sparse.solvers import LinearMap, solve
from worker.sparse.sparsity import L1, Pools
from worker.sparse.sparsity.pools import disjoint_pools

from .cases import array, drawn, problem
from .fields import CONNECTIONS, conv, matrix_of, smooth_kernels, unit_norm, weighed
from .oracles import best_codes, energies, l1_norm

SIGNS = pytest.mark.parametrize("sign", ["signed", "nonnegative"])
EVERY_CONNECTION = pytest.mark.parametrize("name", CONNECTIONS)


def written_out(linear_map: LinearMap, units: Tensor) -> Tensor:
    """(inputs, n) the columns of these units, from their places and numbers"""
    places, values = linear_map.columns(units)
    return values.new_zeros(linear_map.inputs, len(units)).scatter_add_(0, places.t(), values.t())


def units_of(blocks: Tensor, linear_map: LinearMap) -> Tensor:
    numbers, members = torch.cartesian_prod(*(torch.arange(count) for count in blocks.shape)).t()
    return linear_map.unit_at(numbers, members)


@EVERY_CONNECTION
def test_columns_are_those_of_the_matrix(name: str) -> None:
    connection = CONNECTIONS[name]()
    units = torch.randperm(connection.units, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(written_out(connection.linear_map(), units), matrix_of(connection)[:, units])


@EVERY_CONNECTION
def test_blocks_have_every_unit_once_and_zeros_besides(name: str) -> None:
    connection = CONNECTIONS[name]()
    linear_map, x = connection.linear_map(), drawn(200, 1, connection.inputs)
    blocks = linear_map.blocks(x)
    real = (blocks != 0).flatten()
    units = units_of(blocks, linear_map)[real]
    assert units.sort().values.tolist() == list(range(connection.units))
    torch.testing.assert_close(blocks.flatten()[real], linear_map.correlate(x)[0, units])


@SIGNS
@EVERY_CONNECTION
def test_codes_on_images_reach_the_energy_of_a_generic_solver(name: str, sign: str) -> None:
    connection = CONNECTIONS[name]()
    x = drawn(201, 2, connection.inputs)
    plain, matrix = weighed(connection, x)
    found = solve(
        x,
        connection.linear_map(),
        L1(0.3),
        sign=sign,
        method="active-set",
        max_iterations=20_000,
        tolerance=1e-8,
    )
    norm = l1_norm(connection.units, 0.3)
    best = best_codes(norm, plain, matrix, nonnegative=sign == "nonnegative")
    least = energies(norm, plain, matrix, best)
    assert (energies(norm, plain, matrix, array(found.code)) <= least * (1 + 1e-6)).all()
    assert sign == "signed" or (found.code >= 0).all()


def whole_image() -> tuple[Spatial, Tensor]:
    """A padded image of a few edges, in the precision of the service."""
    connection = conv((40, 40, 1), 8, 7, padding=6)
    connection.dictionary.data = smooth_kernels(8, 7)
    some = torch.randperm(connection.units, generator=torch.Generator().manual_seed(1))[:60]
    code = drawn(202, 1, connection.units) * torch.isin(torch.arange(connection.units), some)
    x = connection.decode(2 * code).detach() + 0.05 * drawn(203, 1, connection.inputs)
    return connection.float(), x.float()


def test_single_precision_is_enough_for_the_energy_of_double_precision() -> None:
    connection, x = whole_image()
    found = solve(x, connection.linear_map(), L1(0.2), method="active-set", max_iterations=3000, tolerance=1e-4)
    exact = connection.double()
    least = solve(x.double(), exact.linear_map(), L1(0.2), max_iterations=3000, tolerance=1e-6)
    mine, best = (
        exact.errors(x.double(), exact.decode(code.double()).detach()) + 0.2 * code.double().abs().sum(1)
        for code in (found.code, least.code)
    )
    assert found.gap is not None
    assert float(mine) <= (1 + 1e-4) * float(best)


def test_a_search_gives_the_same_bits_every_time_and_whatever_is_beside_it() -> None:
    connection, x = whole_image()
    settings = {"method": "active-set", "max_iterations": 60, "tolerance": 0.0}
    others = drawn(204, 2, connection.inputs).float()
    alone, again, among = (
        solve(given, connection.linear_map(), L1(0.2), **settings).code  # type: ignore[arg-type]
        for given in (x, x, torch.cat([others, x]))
    )
    assert torch.equal(alone, again)
    assert torch.equal(alone[0], among[2])


def test_steps_among_few_units_are_longer_than_among_all() -> None:
    """48 kernels at each position: λ_max(DᵀD) is many times the curvature among the units of a working set."""
    connection = conv((40, 40, 1), 48, 7, padding=6)
    connection.dictionary.data = smooth_kernels(48, 7)
    x = whole_image()[1].double()
    few, many = (
        solve(x, connection.linear_map(), L1(0.2), method=method, max_iterations=count, tolerance=0, trace=True)
        for method, count in (("active-set", 60), ("fista", 120))
    )
    assert len(few.energies) == 61
    assert float(few.energies[-1]) < float(many.energies[-1])


def test_an_image_of_zeros_has_a_code_of_zeros_at_once() -> None:
    connection = conv((9, 9, 1), 3, 3)
    nothing = torch.zeros(2, connection.inputs, dtype=torch.float64)
    found = solve(nothing, connection.linear_map(), L1(0.1), method="active-set")
    assert found.iterations == 0
    assert not found.code.any()
    assert not solve(nothing, connection.linear_map(), L1(0.1), method="active-set", tolerance=0).code.any()


def test_a_batch_without_inputs_has_no_codes() -> None:
    connection = conv((9, 9, 1), 3, 3)
    found = solve(drawn(0, 0, connection.inputs), connection.linear_map(), L1(0.1), method="active-set")
    assert found.code.shape == (0, connection.units)


def test_it_says_what_it_does_not_know() -> None:
    x, dictionary = problem(205)
    units = dictionary.shape[1]
    pools = Pools(disjoint_pools(units, 2), units, weight=0.1, disjoint=True)
    with pytest.raises(ValueError, match="active-set works with L1, not with Pools"):
        solve(x, dictionary, pools, method="active-set")
    near = drawn(206, len(x), units)
    with pytest.raises(ValueError, match="without a prediction term"):
        solve(x, dictionary, L1(0.1), method="active-set", prediction=near, prediction_weight=1.0)


def test_units_that_are_alike_share_what_they_explain() -> None:
    """Two equal columns: curvature 2 among them, found by backtracking."""
    column = unit_norm(drawn(207, 1, 1, 3, 3)).view(9, 1)
    x = 3 * column.t()
    found = solve(x, column.expand(9, 2).clone(), L1(0.5), method="active-set", max_iterations=200, tolerance=1e-9)
    torch.testing.assert_close(found.code.sum(), torch.tensor(2.5, dtype=torch.float64), rtol=1e-5, atol=0)


@SIGNS
@pytest.mark.parametrize("case", ["huge inputs", "huge filters", "tiny filters", "huge start"])
def test_numbers_at_the_ends_of_float32_end_the_search(case: str, sign: str) -> None:
    """Rounding alone makes a step look too long there: a search that only ever shortened it would not end."""
    x, dictionary, start = drawn(210, 2, 20).float(), normalize(drawn(211, 20, 40), dim=0).float(), None
    if case == "huge inputs":
        x[0, 0] = 1e19
    elif case == "huge start":
        start = 1e6 * drawn(212, 2, 40).float()
    else:
        dictionary *= 1e15 if case == "huge filters" else 1e-25
    found = solve(
        x, dictionary, L1(0.1), sign=sign, method="active-set", start=start, max_iterations=200, tolerance=1e-3
    )
    assert found.code.isfinite().all()


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_what_is_not_finite_has_no_code(wrong: float) -> None:
    x, dictionary = drawn(213, 2, 20), drawn(214, 20, 40)
    x[0, 3] = wrong
    code = solve(x, dictionary, L1(0.1), method="active-set").code
    assert code[0].isnan().all()
    assert code[1].isfinite().all()


def test_no_inputs_and_no_iterations_are_allowed() -> None:
    x, dictionary = drawn(215, 2, 20), drawn(216, 20, 40)
    empty = solve(x[:0], dictionary, L1(0.1), method="active-set", trace=True)
    assert (empty.code.shape, empty.energies) == ((0, 40), [])
    assert not solve(x, dictionary, L1(0.1), method="active-set", max_iterations=0, tolerance=0).code.any()
