"""Codes on filters over an image: steps, minima and unrolled passes, against matrices and a generic convex solver."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
from torch import Tensor
from torch.autograd import gradcheck

from worker.sparse.autoencoder import Autoencoder
from worker.sparse.connections import Conv, Local
from worker.sparse.connections.spatial import Spatial
from worker.sparse.encoders import Encoder, Exact, RecurrentFields, Settings
from worker.sparse.solvers import bound_of, largest_eigenvalue, solve
from worker.sparse.sparsity import L1, Penalty

from .cases import array, drawn
from .fields import CONNECTIONS, conv, coverage_of, entries, local, smooth_kernels, unit_norm, weighed
from .oracles import Norm, best_codes, energies, l1_norm
from .test_spatial_pools import Layout, maps, sheet

SIGNS = pytest.mark.parametrize("sign", ["signed", "nonnegative"])


def same(a: Tensor, b: Tensor, within: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=within, atol=within)


def largest_of(connection: Spatial) -> float:
    """λ_max(Dᵀ c D) of the matrix of the definition, by another program's iterations."""
    pixels, units, places = (np.array(part) for part in zip(*entries(connection), strict=True))
    values = array(connection.dictionary)[tuple(places.T)] * array(coverage_of(connection).sqrt())[pixels]
    shape = connection.inputs, connection.units
    matrix = scipy.sparse.csr_matrix((values, (pixels, units)), shape)
    if min(shape) < 40:
        return float(np.linalg.svd(matrix.toarray(), compute_uv=False)[0] ** 2)
    (found,) = scipy.sparse.linalg.svds(matrix, k=1, return_singular_vectors=False, random_state=0)
    return float(found**2)


def alike(units: int, size: int) -> Tensor:
    """Nearly identical kernels."""
    return unit_norm(drawn(150, 1, 1, size, size) + 1e-3 * drawn(151, units, 1, size, size))


def bright(units: int, size: int) -> Tensor:
    """Kernels with a mean, which all units of an image share."""
    return unit_norm(drawn(152, units, 1, size, size).abs())


def noisy(units: int, size: int) -> Tensor:
    return unit_norm(smooth_kernels(units, size) + 0.05 * drawn(153, units, 1, size, size))


TRAINED: dict[str, Callable[[], Spatial]] = {
    "one kernel of noise": lambda: Conv(unit_norm(drawn(154, 1, 1, 5, 5)), (32, 32, 1)),
    "one kernel of noise, strided": lambda: Conv(unit_norm(drawn(155, 1, 1, 9, 9)), (47, 47, 1), stride=2, padding=8),
    "kernels of noise": lambda: Conv(unit_norm(drawn(156, 5, 1, 5, 5)), (32, 32, 1)),
    "Gabors": lambda: Conv(smooth_kernels(4, 9), (20, 20, 1)),
    "Gabors, strided and padded": lambda: Conv(smooth_kernels(8, 5), (31, 31, 1), stride=2, padding=4),
    "two Gabors": lambda: Conv(smooth_kernels(2, 5), (32, 32, 1)),
    "noisy Gabors": lambda: Conv(noisy(8, 5), (31, 31, 1), stride=2),
    "Gabors that do not overlap": lambda: Conv(smooth_kernels(8, 12), (24, 24, 1), stride=12),
    "kernels that do not overlap": lambda: Conv(unit_norm(drawn(157, 8, 1, 5, 5)), (30, 30, 1), stride=5),
    "one kernel that does not overlap": lambda: Conv(unit_norm(drawn(158, 1, 1, 5, 5)), (30, 30, 1), stride=5),
    "kernels all alike": lambda: Conv(alike(6, 7), (16, 16, 1)),
    "kernels all alike, strided": lambda: Conv(alike(8, 5), (30, 30, 1), stride=5),
    "bright kernels": lambda: Conv(bright(4, 7), (14, 14, 1), padding=6),
    "a sheet of Gabors": lambda: Local(smooth_kernels(20 * 20, 5), (24, 24, 1)),
    "a tiled sheet of Gabors": lambda: Local(smooth_kernels(64, 5), (20, 20, 1), side=2, tile=4),
    "a sheet of bright fields": lambda: Local(bright(14 * 14 * 4, 7), (20, 20, 1), side=2),
}


@pytest.mark.parametrize("name", [*CONNECTIONS, *TRAINED])
def test_the_bound_of_a_map_is_not_below_its_largest_eigenvalue_and_not_far_above(name: str) -> None:
    """Only steps of length 1/L at most are sure to descend, and shorter ones take longer."""
    connection = (CONNECTIONS | TRAINED)[name]()
    largest = largest_of(connection)
    for dtype in (torch.float64, torch.float32):
        with torch.no_grad():
            bound = bound_of(connection.to(dtype).linear_map())
        assert largest * (1 - 1e-6) <= bound <= 1.1 * largest
        assert connection.known()[1] == bound


def test_the_bound_of_a_dictionary_with_one_eigenvalue_is_that_one() -> None:
    """The Krylov space is exhausted at once: what is left is rounding."""
    for dtype in (torch.float64, torch.float32):
        orthogonal = torch.linalg.qr(drawn(159, 300, 300)).Q.to(dtype)
        assert 1 - 1e-6 <= bound_of(3 * orthogonal) / 9 <= 1.1


@pytest.mark.parametrize("name", CONNECTIONS)
def test_the_energy_of_a_model_weighs_its_reconstruction_by_coverage(name: str) -> None:
    connection = CONNECTIONS[name]()
    x = drawn(160, 4, connection.inputs)
    code = drawn(161, 4, connection.units) * (drawn(162, 4, connection.units) > 0)
    plain, matrix = weighed(connection, x)
    expected = energies(l1_norm(connection.units, 0.3), plain, matrix, array(code))
    model = Autoencoder(connection, Given(code), L1(0.3))
    np.testing.assert_allclose(array(model.energies(x, code)), expected, rtol=1e-6)
    assert float(model.energy(x).loss.detach()) == pytest.approx(expected.mean(), rel=1e-6)


class Given(Encoder):
    """Codes that are there already."""

    def __init__(self, code: Tensor) -> None:
        super().__init__()
        self.code = code

    def encode(self, *_: object) -> Tensor:
        return self.code


def l1(connection: Spatial) -> tuple[Penalty, Norm]:
    return L1(0.4), l1_norm(connection.units, 0.4)


def pooled(make: Callable[..., Layout], *given: float) -> Callable[[Spatial], tuple[Penalty, Norm]]:
    """Pools on the code of a connection."""

    def on(connection: Spatial) -> tuple[Penalty, Norm]:
        shape = connection.code_shape
        layout = make(*shape[:2], *given) if make is sheet else make(shape, *given)
        layout.part.weight = 0.4
        return layout.part, layout.norm(0.4)

    return on


# A connection whose borders are seen less, a sparsity on it, and whether pools are smoothed.
SEARCHED: dict[str, tuple[Callable[[], Spatial], Callable[[Spatial], tuple[Penalty, Norm]]]] = {
    "conv, l1": (partial(conv, (6, 7, 1), 3, 3), l1),
    "conv, strided, l1": (partial(conv, (7, 9, 2), 3, 3, stride=2), l1),
    "conv, padded, l1": (partial(conv, (5, 5, 1), 2, 3, padding=1), l1),
    "conv by the library, l1": (partial(conv, (5, 5, 9), 3, 3), l1),
    "local, l1": (partial(local, (7, 6, 1), 3), l1),
    "local, tiled, four at a position, l1": (partial(local, (6, 8, 1), 3, side=2, tile=2), l1),
    "conv, disjoint maps": (partial(conv, (6, 7, 1), 4, 3), pooled(maps, 2, 2, 2, 2)),
    "conv, padded and strided, disjoint maps": (
        partial(conv, (7, 8, 1), 6, 4, stride=2, padding=1),
        pooled(maps, 1, 1, 3, 3),
    ),
    "conv, overlapping maps": (partial(conv, (6, 7, 1), 4, 3), pooled(maps, 3, 2, 2, 1)),
    "local, a sheet of pools": (partial(local, (7, 6, 1), 3), pooled(sheet, 3, 2)),
    "local, four at a position, pools under bells": (
        partial(local, (6, 5, 1), 3, side=2),
        pooled(sheet, 4, 2, 1.0),
    ),
}


@SIGNS
@pytest.mark.parametrize("name", SEARCHED)
def test_codes_reach_the_least_energy_of_the_weighed_problem_as_a_matrix(name: str, sign: str) -> None:
    """1/2 Σ c (x − D z)² = 1/2 ‖√c x − √c D z‖², which the dense solver and a convex one know."""
    make, sparsity_on = SEARCHED[name]
    connection = make()
    sparsity, norm = sparsity_on(connection)
    x = 2 * drawn(163, 3, connection.inputs)
    plain, matrix = weighed(connection, x)
    ours = solve(x, connection.linear_map(), sparsity, sign=sign, max_iterations=3000, tolerance=1e-7).code
    dense = solve(
        torch.from_numpy(plain), torch.from_numpy(matrix), sparsity, sign=sign, max_iterations=3000, tolerance=1e-7
    ).code
    theirs = best_codes(norm, plain, matrix, nonnegative=sign == "nonnegative")
    reached, by_matrix, least = (energies(norm, plain, matrix, code) for code in (array(ours), array(dense), theirs))
    slack = 0 if sparsity.exact_prox else 0.4 * len(norm.groups) * 1e-3  # of the smoothing
    assert (least > 0.1).all()
    assert sign == "signed" or (ours >= 0).all()
    np.testing.assert_allclose(reached, by_matrix, rtol=1e-5)
    assert (reached >= least * (1 - 1e-6)).all()
    assert (reached <= least * (1 + 1e-5) + slack).all()


@SIGNS
@pytest.mark.parametrize("name", ["conv, l1", "conv, disjoint maps", "local, l1"])
def test_the_gap_on_a_map_bounds_what_a_code_is_above_the_least_energy(name: str, sign: str) -> None:
    make, sparsity_on = SEARCHED[name]
    connection = make()
    sparsity, norm = sparsity_on(connection)
    x = 2 * drawn(164, 3, connection.inputs)
    plain, matrix = weighed(connection, x)
    best = best_codes(norm, plain, matrix, nonnegative=sign == "nonnegative")
    least = energies(norm, plain, matrix, best)
    gaps = []
    for iterations in (10, 80):
        found = solve(x, connection.linear_map(), sparsity, sign=sign, max_iterations=iterations, tolerance=1e-15)
        assert found.gap is not None
        assert (array(found.gap) >= energies(norm, plain, matrix, array(found.code)) - least - 1e-6).all()
        gaps.append(float(found.gap.max()))
    assert gaps[1] < 0.1 * gaps[0]


@SIGNS
@pytest.mark.parametrize("name", SEARCHED)
def test_the_energy_of_plain_steps_on_a_map_never_rises(name: str, sign: str) -> None:
    make, sparsity_on = SEARCHED[name]
    connection = make()
    sparsity, _ = sparsity_on(connection)
    x, start = drawn(165, 3, connection.inputs), 3 * drawn(166, 3, connection.units)
    traced = solve(
        x,
        connection.linear_map(),
        sparsity,
        sign=sign,
        method="ista",
        max_iterations=40,
        tolerance=0,
        start=start,
        trace=True,
    )
    trace = torch.stack(traced.energies)
    assert (trace[1:] <= trace[:-1] * (1 + 1e-13)).all()
    # what the solver traces is what the model calls its energy
    model = Autoencoder(connection, Exact(Settings()), sparsity)
    last = solve(
        x, connection.linear_map(), sparsity, sign=sign, method="ista", max_iterations=40, tolerance=0, start=start
    )
    if sparsity.exact_prox:
        same(trace[-1], model.energies(x, last.code).detach(), 1e-6)


@SIGNS
def test_a_prediction_pulls_on_a_map_as_on_a_matrix(sign: str) -> None:
    connection = conv((7, 9, 2), 3, 3, stride=2)
    x, near = drawn(167, 3, connection.inputs), drawn(168, 3, connection.units)
    plain, matrix = weighed(connection, x)
    ours, theirs = (
        solve(
            given,
            dictionary,
            L1(0.3),
            sign=sign,
            max_iterations=300,
            tolerance=0,
            prediction=near,
            prediction_weight=0.7,
        ).code
        for given, dictionary in (
            (x, connection.linear_map()),
            (torch.from_numpy(plain), torch.from_numpy(matrix)),
        )
    )
    same(ours, theirs, 1e-6)
    assert (ours == 0).any()


def test_a_map_that_is_no_matrix_has_no_coordinates_to_descend_along() -> None:
    connection = conv((7, 6, 1), 3, 3)
    with pytest.raises(ValueError, match="coordinate descent needs one"):
        solve(drawn(0, 2, connection.inputs), connection.linear_map(), L1(0.1), method="coordinate-descent")


UNROLLED: dict[str, Callable[[], Spatial]] = {
    "conv": partial(conv, (7, 6, 1), 3, 3),
    "conv, fully padded": partial(conv, (5, 6, 1), 2, 3, padding=2),
    "conv, padded and strided": partial(conv, (7, 8, 2), 3, 4, stride=2, padding=1),
    "conv by the library": partial(conv, (5, 6, 9), 3, 3),
    "local": partial(local, (7, 6, 1), 3),
    "local, tiled, four at a position": partial(local, (6, 8, 1), 3, side=2, tile=2),
}


def unrolled(connection: Spatial, weight: float, passes: int, sign: str) -> RecurrentFields:
    """As `start: ista` makes it: E = Dᵀ/L, B = D, b = λ/L."""
    filters, step = connection.first_encoder(), 1 / connection.known()[1]
    bias = filters.new_full((connection.filters,), step * weight)
    return RecurrentFields(
        step * filters,
        filters,
        bias,
        passes=passes,
        total_step=None,
        signed=sign == "signed",
        rate_multiplier=1.0,
        bias_rate_multiplier=1.0,
    )


@SIGNS
@pytest.mark.parametrize("passes", [1, 2, 7])
@pytest.mark.parametrize("name", UNROLLED)
def test_untrained_passes_through_the_pixels_are_ista_stopped_early(name: str, passes: int, sign: str) -> None:
    """Of the energy that is trained: where pixels count by their coverage, so they do in every pass."""
    connection = UNROLLED[name]()
    x, weight = 2 * drawn(169, 4, connection.inputs), 0.3
    encoder = unrolled(connection, weight, passes, sign)
    stopped = solve(
        x, connection.linear_map(), L1(weight), sign=sign, method="ista", max_iterations=passes, tolerance=0
    ).code
    same(encoder.encode(x, connection, L1(weight)).detach(), stopped)
    more = encoder.encode(x, connection, L1(weight), passes + 3).detach()
    same(more, longer(connection, x, weight, passes + 3, sign), 1e-5)  # coverage is kept in float32
    assert stopped.any()
    assert not stopped.all()


def longer(connection: Spatial, x: Tensor, weight: float, passes: int, sign: str) -> Tensor:
    """ISTA by its formula, with the matrix."""
    plain, matrix = (torch.from_numpy(part) for part in weighed(connection, x))
    step = 1 / connection.known()[1]
    z = torch.zeros(len(x), connection.units, dtype=torch.float64)
    for _ in range(passes):
        v = z - step * (z @ matrix.t() - plain) @ matrix
        size = (v.abs() if sign == "signed" else v) - step * weight
        z = size.clamp_min(0) * (v.sign() if sign == "signed" else 1)
    return z


def test_many_untrained_passes_come_to_the_exact_code() -> None:
    connection = conv((7, 9, 2), 3, 3, stride=2)
    x = drawn(170, 1, connection.inputs)
    exact = Exact(Settings(max_iterations=3000, tolerance=1e-14)).encode(x, connection, L1(0.2))
    with torch.no_grad():
        same(unrolled(connection, 0.2, 2, "signed").encode(x, connection, L1(0.2), 1000), exact, 1e-6)


def test_the_steps_of_a_matrix_and_of_its_map_are_of_one_length() -> None:
    connection = local((7, 6, 1), 3)
    _, matrix = weighed(connection, drawn(0, 1, connection.inputs))
    assert connection.known()[1] == pytest.approx(1.05 * largest_eigenvalue(torch.from_numpy(matrix)), rel=1e-4)


class _Encoding(torch.nn.Module):
    """An encoder called for its codes, with other parameters than its own."""

    def __init__(self, encoder: Encoder, connection: Spatial) -> None:
        super().__init__()
        self.encoder, self.connection = encoder, connection

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder.encode(x, self.connection, L1(0.1))


@SIGNS
@pytest.mark.parametrize("name", ["conv", "conv by the library", "local, tiled, four at a position"])
def test_the_gradient_of_unrolled_passes_is_that_of_finite_differences(name: str, sign: str) -> None:
    connection = UNROLLED[name]()
    start = unrolled(connection, 0.3, 3, sign)
    x = drawn(171, 2, connection.inputs).requires_grad_()
    tensors = [
        (value + 0.05 * drawn(seed, *value.shape).abs()).detach().requires_grad_()
        for seed, value in enumerate((start.encoder, start.explaining_away, start.bias))
    ]

    def codes(given: Tensor, *parameters: Tensor) -> Tensor:
        names = ("encoder.encoder", "encoder.explaining_away", "encoder.bias")
        named = dict(zip(names, parameters, strict=True))
        found: Tensor = torch.func.functional_call(_Encoding(start, connection), named, (given,))
        return found

    code = codes(x, *tensors)
    assert (code == 0).any()
    assert (code < 0).any() == (sign == "signed")
    assert gradcheck(codes, (x, *tensors), fast_mode=True)
    for value, gradient in zip(tensors, torch.autograd.grad(code.sum(), tensors), strict=True):
        assert gradient.shape == value.shape
        assert gradient.any()


@SIGNS
@pytest.mark.parametrize(
    "name", ["conv, strided, l1", "conv, padded and strided, disjoint maps", "local, l1", "conv by the library, l1"]
)
def test_the_gradient_at_the_exact_code_is_that_of_the_least_energy(name: str, sign: str) -> None:
    """d/dD min_z E(x, z) = ∂E/∂D at z*, through the coverage and every unit that shares a filter."""
    make, sparsity_on = SEARCHED[name]
    connection = make()
    sparsity, _ = sparsity_on(connection)
    x, first = 2 * drawn(172, 3, connection.inputs), connection.dictionary.detach().clone()
    settings = Settings(sign=sign, max_iterations=1500, tolerance=1e-12)
    model = Autoencoder(connection, Exact(settings), sparsity)
    (gradient,) = torch.autograd.grad(model.energy(x).loss, connection.dictionary)
    direction = drawn(173, *first.shape)
    least = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            connection.dictionary.copy_(first + step * direction)
        least.append(float(model.energy(x).loss.detach()))
    assert float((gradient * direction).sum()) == pytest.approx((least[0] - least[1]) / 2e-5, rel=1e-4)
