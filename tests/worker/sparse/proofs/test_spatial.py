"""Convolutions and fields of their own are matrix products: against the matrix, each other and a dense connection."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.autograd.functional import hessian

from worker.sparse.connections import Connection, Conv, Dense, Local
from worker.sparse.connections.hessian import DiagonalHessian
from worker.sparse.connections.spatial import Spatial
from worker.sparse.encoders import Feedforward
from worker.sparse.sparsity import L1

from .cases import drawn
from .fields import CONNECTIONS, CONVS, LOCALS, Image, conv, coverage_of, local, matrix_of, pattern_of, unit_norm

EVERY = pytest.mark.parametrize("name", CONNECTIONS)
# each path and each way to repeat, small enough for every entry to be moved
FEW = pytest.mark.parametrize(
    "name",
    ["conv, strided", "conv, padded", "conv by the library, strided", "local, four at a position", "local, tiled"],
)


def same(a: Tensor, b: Tensor, within: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=within, atol=within)


def code_and_input(connection: Spatial, batch: int = 3) -> tuple[Tensor, Tensor]:
    return drawn(100, batch, connection.units), drawn(101, batch, connection.inputs)


@EVERY
def test_a_connection_is_the_matrix_of_its_definition(name: str) -> None:
    connection = CONNECTIONS[name]()
    code, x = code_and_input(connection)
    other = drawn(102, *connection.dictionary.shape)
    for filters in (None, other):
        matrix = matrix_of(connection, filters)
        same(connection.decode(code, filters).detach(), code @ matrix.t())
        same(connection.correlate(x, filters).detach(), x @ matrix)
    same(connection.encode(other, x).detach(), x @ matrix_of(connection, other))
    same(connection.encode(connection.first_encoder(), x), connection.correlate(x).detach())


@EVERY
def test_its_map_for_the_solvers_is_the_same_matrix_with_the_inputs_weighed(name: str) -> None:
    connection = CONNECTIONS[name]()
    code, x = code_and_input(connection)
    matrix, coverage = matrix_of(connection), coverage_of(connection)
    linear_map = connection.linear_map()
    assert (linear_map.inputs, linear_map.units) == tuple(matrix.shape)
    same(linear_map.decode(code), code @ matrix.t())
    same(linear_map.correlate(x), (x * coverage) @ matrix, 1e-6)
    same(linear_map.half_squares(x), 0.5 * (coverage * x.square()).sum(1), 1e-6)
    assert linear_map.first.shape == (1, connection.units)


def test_the_cases_take_every_path() -> None:
    """Cells that do not divide the positions, several matrices in turn, and the library's convolutions."""
    cells = {name: make().cells for name, make in CONNECTIONS.items()}
    assert any(each.rows % each.side for name, each in cells.items() if name in CONVS)
    assert any(each.rows % each.side for name, each in cells.items() if name in LOCALS)
    several = cells["local, a tile of several cells"]
    assert several.period == (2, 2)
    assert several.count == (4, 2)
    assert {make().linear_map().matrices.dim() for make in CONVS.values()} == {3, 4}  # type: ignore[attr-defined]


@st.composite
def geometries(draw: st.DrawFn) -> Spatial:
    """Any connection whose fields cover its image, small, in float64."""
    size = draw(st.integers(1, 5))
    stride = draw(st.integers(1, size))
    rows, columns = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    seed = draw(st.integers(0, 1000))

    def image(padding: int, rest: int, channels: list[int]) -> Image:
        down, right = (max(1, (count - 1) * stride + size - 2 * padding + rest) for count in (rows, columns))
        return down, right, draw(st.sampled_from(channels))

    if draw(st.booleans()):
        padding = draw(st.integers(0, size - 1))
        seen = image(padding, draw(st.integers(0, min(padding, stride - 1))), [1, 2, 9])
        return conv(seen, draw(st.integers(1, 4)), size, seed=seed, stride=stride, padding=padding)
    tile = draw(st.none() | st.integers(2, 3))
    if tile is not None:
        rows, columns = tile * draw(st.integers(1, 3)), tile * draw(st.integers(1, 3))
    side = draw(st.integers(1, 3))
    return local(image(0, 0, [1, 2]), size, seed=seed, stride=stride, side=side, tile=tile)


@settings(max_examples=100, deadline=None)
@given(connection=geometries())
def test_encoding_is_the_adjoint_of_decoding(connection: Spatial) -> None:
    """⟨D z, x⟩ = ⟨z, Dᵀ x⟩ to rounding, whatever the sizes"""
    (code,), (x,) = code_and_input(connection, 1)
    for dtype, within in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        connection.to(dtype)
        written = connection.decode(code[None].to(dtype))[0].detach() @ x.to(dtype)
        looked_for = code.to(dtype) @ connection.correlate(x[None].to(dtype))[0].detach()
        assert abs(float(written - looked_for)) <= within * float(code.norm() * x.norm())


@settings(max_examples=40, deadline=None)
@given(connection=geometries())
def test_spread_and_gathered_are_adjoint_and_follow_the_filters(connection: Spatial) -> None:
    values, sums = drawn(103, connection.filters), drawn(104, 2, connection.units)
    same(connection.spread(values) @ sums[0], values @ connection.gathered(sums[0]))
    same(connection.gathered(sums)[1], connection.gathered(sums[1]))
    assert connection.uses == connection.units // connection.filters
    # scaling filters scales the columns of their units
    scaled = connection.dictionary.detach() * values[:, None, None, None]
    code = sums[:1]
    same(connection.decode(code, scaled).detach(), connection.decode(code * connection.spread(values)).detach(), 1e-10)


@pytest.mark.parametrize("side", [1, 2])
def test_fields_with_the_same_filters_everywhere_are_a_convolution(side: int) -> None:
    image, size, stride = (9, 7, 2), 3, 2
    kernels = unit_norm(drawn(105, side * side, 2, size, size))
    shared = Conv(kernels, image, stride=stride)
    rows, columns, _ = shared.code_shape
    sheet = kernels.view(1, side, 1, side, 2, size, size).expand(rows, side, columns, side, 2, size, size)
    own = Local(sheet.reshape(-1, 2, size, size), image, stride=stride, side=side)
    code, x = code_and_input(shared)

    def on_sheet(values: Tensor) -> Tensor:
        """(batch, rows, columns, units) → (batch, rows · side, columns · side)"""
        return values.view(-1, rows, columns, side, side).permute(0, 1, 3, 2, 4).flatten(1)

    same(own.decode(on_sheet(code)).detach(), shared.decode(code).detach())
    same(own.correlate(x).detach(), on_sheet(shared.correlate(x)).detach())
    assert own.coverage is not None
    assert shared.coverage is not None
    assert torch.equal(own.coverage, shared.coverage)


@pytest.mark.parametrize("channels", [1, 9])
def test_kernels_and_fields_as_large_as_the_image_are_dense(channels: int) -> None:
    filters = unit_norm(drawn(106, 4, channels, 5, 5))
    dense = Dense(filters.permute(0, 2, 3, 1).flatten(1).t(), image=(5, 5, channels))
    code, x = drawn(107, 3, 4), drawn(108, 3, 25 * channels)
    for connection in (Conv(filters, (5, 5, channels)), Local(filters, (5, 5, channels), side=2)):
        assert connection.units == connection.filters == dense.units
        assert connection.coverage is None
        same(connection.decode(code).detach(), dense.decode(code).detach())
        same(connection.correlate(x).detach(), dense.correlate(x).detach())
        same(connection.norms(), dense.norms())
        pictures = connection.pictures(connection.first_encoder())
        same(pictures, dense.pictures(dense.first_encoder()))


@pytest.mark.parametrize("side", [1, 2])
def test_a_tile_is_the_block_repeated(side: int) -> None:
    tiled = local((9, 13, 2), 3, stride=2, side=side, tile=2)
    rows, columns, _ = tiled.code_shape
    down, right = tiled.map_shape
    block = tiled.dictionary.detach().view(down, right, 2, 3, 3)
    whole = block.repeat(rows // down, columns // right, 1, 1, 1)
    untiled = Local(whole.flatten(0, 1), tiled.image, stride=2, side=side)
    code, x = code_and_input(tiled)
    assert (tiled.filters, untiled.filters) == (4 * side * side, tiled.units)
    same(tiled.decode(code).detach(), untiled.decode(code).detach())
    same(tiled.correlate(x).detach(), untiled.correlate(x).detach())
    same(tiled.spread(tiled.norms()), untiled.norms())


@pytest.mark.parametrize("tile", [None, 2])
def test_units_of_one_position_are_connections_side_by_side(tile: int | None) -> None:
    together = local((7, 9, 1), 4, side=3, tile=tile)
    rows, columns, _ = together.code_shape
    sheet = together.dictionary.detach().view(*together.map_shape, 1, 4, 4)
    code, x = code_and_input(together)
    places = code.view(-1, rows, columns)
    decoded, correlated = torch.zeros_like(x), torch.zeros_like(places)
    for a, b in torch.cartesian_prod(torch.arange(3), torch.arange(3)).tolist():
        alone = Local(sheet[a::3, b::3].flatten(0, 1), together.image, tile=tile)
        decoded += alone.decode(places[:, a::3, b::3].flatten(1)).detach()
        correlated[:, a::3, b::3] = alone.correlate(x).detach().view(-1, rows // 3, columns // 3)
    same(together.decode(code).detach(), decoded)
    same(together.correlate(x).detach(), correlated.flatten(1))


def test_positions_are_the_first_pixels_that_filters_see() -> None:
    connection = local((9, 13, 1), 3, stride=2, side=2, tile=2)
    pattern = matrix_of(connection, torch.ones_like(connection.dictionary)).view(9, 13, *connection.code_shape[:2])
    down, right = connection.map_shape
    for number, (top, left) in enumerate(connection.positions.tolist()):
        seen = pattern[:, :, number // right, number % right].nonzero()
        assert seen.amin(0).tolist() == [top, left]
        assert seen.amax(0).tolist() == [top + 2, left + 2]
    assert len(connection.positions) == down * right


def test_filters_of_another_number_than_the_sheet_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"15 filters; \(4, 4\) positions with 1 each need 16"):
        Local(torch.zeros(15, 1, 3, 3), (6, 6, 1))


@FEW
def test_gradients_of_the_maps_are_those_of_finite_differences(name: str) -> None:
    connection = CONNECTIONS[name]()
    filters = drawn(109, *connection.dictionary.shape).requires_grad_()
    code, x = (values.requires_grad_() for values in code_and_input(connection, 2))
    assert gradcheck(lambda d, z: connection.decode(z, d), (filters, code), fast_mode=True)
    assert gradcheck(lambda e, y: connection.encode(e, y), (filters, x), fast_mode=True)
    assert gradcheck(lambda d, y: connection.correlate(y, d), (filters, x), fast_mode=True)


@EVERY
def test_gradients_of_the_maps_are_those_of_the_matrix(name: str) -> None:
    connection = CONNECTIONS[name]()
    filters = drawn(110, *connection.dictionary.shape).requires_grad_()
    code, x = (values.requires_grad_() for values in code_and_input(connection))
    matrix = matrix_of(connection, filters)
    for ours, theirs, wanted in (
        (connection.decode(code, filters), code @ matrix.t(), (filters, code)),
        (connection.encode(filters, x), x @ matrix, (filters, x)),
    ):
        mix = drawn(111, *ours.shape)
        found = torch.autograd.grad((ours * mix).sum(), wanted, retain_graph=True)
        expected = torch.autograd.grad((theirs * mix).sum(), wanted, retain_graph=True)
        for a, b in zip(found, expected, strict=True):
            same(a, b, 1e-11)


@EVERY
def test_coverage_is_the_share_of_positions_that_see_a_pixel(name: str) -> None:
    connection, counted = CONNECTIONS[name](), coverage_of(CONNECTIONS[name]())
    assert (counted > 0).all()
    if connection.coverage is None:
        assert (counted == 1).all()
        return
    assert (counted < 1).any()
    same(connection.coverage, counted, 1e-6)


def test_coverage_is_one_inside_and_falls_to_the_corner_and_full_padding_needs_none() -> None:
    for connection in (conv((9, 8, 1), 2, 3), local((9, 8, 1), 3, side=2)):
        assert connection.coverage is not None
        seen = connection.coverage.view(9, 8)
        assert (seen[2:-2, 2:-2] == 1).all()
        same(seen[0], torch.tensor([1.0, 2, 3, 3, 3, 3, 2, 1]).double() / 9, 1e-7)
        same(seen.flip(0, 1), seen)
    assert conv((9, 8, 1), 2, 3, padding=2).coverage is None
    assert conv((9, 6, 1), 2, 3, stride=3).coverage is None
    assert conv((9, 8, 1), 2, 3, padding=1).coverage is not None


@EVERY
def test_errors_at_pixels_count_by_their_coverage(name: str) -> None:
    connection = CONNECTIONS[name]()
    code, x = code_and_input(connection)
    reconstruction = connection.decode(code).detach()
    error = x - code @ matrix_of(connection).t()
    same(connection.errors(x, reconstruction), 0.5 * (coverage_of(connection) * error.square()).sum(1), 1e-6)


@FEW
def test_the_curvature_is_the_hessian_of_the_energy_in_the_dictionary(name: str) -> None:
    """Scaled on both sides, and the mean over the codes, as the energy is."""
    connection = CONNECTIONS[name]()
    code, x = code_and_input(connection)
    pattern, coverage = pattern_of(connection), coverage_of(connection)
    size = pattern.shape[2]

    def energy(entries: Tensor) -> Tensor:
        error = x - code @ (pattern @ entries).t()
        return 0.5 * (coverage * error.square()).sum() / len(x)

    explicit = hessian(energy, connection.dictionary.detach().flatten())  # type: ignore[no-untyped-call]
    weights = drawn(112, connection.filters).abs()
    scales = weights.repeat_interleave(size // connection.filters)
    multiply = connection.curvature_of(code, weights)
    for seed in range(3):
        vector = drawn(seed, *connection.dictionary.shape)
        expected = scales * (explicit @ (scales * vector.flatten()))
        same(multiply(vector).detach().flatten(), expected, 1e-6)


def test_the_curvature_of_a_dense_dictionary_is_that_of_one_of_its_rows() -> None:
    connection, code, weights = Dense(drawn(113, 8, 5)), drawn(114, 4, 5), drawn(115, 5).abs()
    vector = drawn(116, 5)
    explicit = torch.diag(weights) @ (code.t() @ code / 4) @ torch.diag(weights)
    same(connection.curvature_of(code, weights)(vector), explicit @ vector)


def with_second_order_steps(name: str, rate: float) -> Connection:
    connection = CONNECTIONS[name]() if name in CONNECTIONS else Dense(drawn(124, 8, 5))
    first = torch.ones(5) if isinstance(connection, Dense) else torch.ones(connection.dictionary.shape)
    connection.hessian = DiagonalHessian(connection.filters, first, rate, 3).double()
    return connection


def learn(connection: Connection, x: Tensor, code: Tensor, factor: float = 1.0) -> float:
    """One step down the energy of given codes, which it had before."""
    connection.zero_grad()
    energy = connection.errors(x, connection.decode(code)).mean()
    energy.backward()  # type: ignore[no-untyped-call]
    connection.step(code, factor)
    return float(energy.detach())


STEPPED = pytest.mark.parametrize("name", ["dense", "conv, strided", "conv, padded", "local, tiled"])


@STEPPED
def test_a_second_order_step_divides_by_the_squares_of_all_units_of_a_filter(name: str) -> None:
    """D ← D − rate · ∇ / (h + 0.1 mean h), h a running mean of what the Hessian has on its diagonal."""
    connection = with_second_order_steps(name, 1e-3)
    code, x = drawn(125, 3, connection.units), drawn(126, 3, connection.inputs)
    unit_filters = connection.spread(torch.arange(connection.filters).double()).tolist()
    counted = torch.zeros(connection.filters, dtype=torch.float64)
    for unit, number in enumerate(unit_filters):
        counted[int(number)] += code[:, unit].square().mean()
    curvature = counted
    for factor, size in ((1.0, 1.0), (0.5, 2.0)):
        before = connection.dictionary.detach().clone()
        learn(connection, x, size * code, factor)
        curvature = 0.99 * curvature + 0.01 * size**2 * counted
        across = [-1 if place == connection.filter_dim else 1 for place in range(before.dim())]
        assert connection.dictionary.grad is not None
        divided = connection.dictionary.grad / (curvature + 0.1 * curvature.mean()).view(across)
        same(connection.dictionary.detach(), before - factor * 1e-3 * divided, 1e-11)


@STEPPED
def test_second_order_steps_of_units_that_are_on_together_are_shortened_until_the_energy_falls(name: str) -> None:
    """Codes that are all alike: h is far below the largest eigenvalue of the Hessian, and whole steps overshoot."""
    connection = with_second_order_steps(name, 1.0)
    code = 1 + 0.1 * drawn(127, 6, connection.units)
    x = drawn(128, 6, connection.inputs)
    for _ in range(15):
        learn(connection, x, code, 0.0)  # only looks for the eigenvector
    energies = [learn(connection, x, code) for _ in range(30)]
    assert all(after <= before * (1 + 1e-9) for before, after in itertools.pairwise(energies))
    assert energies[-1] < 0.9 * energies[0]


def encoder_of(connection: Spatial, activation: str) -> Feedforward:
    first = drawn(117, *connection.dictionary.shape)
    bias, gain = 0.1 * drawn(118, connection.filters).abs(), drawn(119, connection.filters)
    return Feedforward(first, bias, gain, activation=activation)


@pytest.mark.parametrize("channels", [1, 9])
@pytest.mark.parametrize("activation", ["relu", "shrink", "tanh", "linear"])
def test_a_convolution_that_sees_a_moved_image_answers_the_moved_code(activation: str, channels: int) -> None:
    connection = conv((9, 11, channels), 3, 3, stride=2)
    encoder = encoder_of(connection, activation)
    scene = drawn(120, 1, 13, 13, channels)
    here, there = (
        encoder.encode(part.flatten(1), connection, L1(0)).detach().view(*connection.code_shape)
        for part in (scene[:, :9, :11], scene[:, 4:, 2:])
    )
    same(here[2:, 1:], there[:-2, :-1])
    assert here[2:, 1:].abs().sum() > 0


@pytest.mark.parametrize("side", [1, 2])
def test_a_tiled_sheet_that_sees_an_image_moved_by_a_tile_answers_the_moved_code(side: int) -> None:
    connection = local((13, 9, 1), 3, stride=2, side=side, tile=2)
    encoder = encoder_of(connection, "relu")
    scene = drawn(121, 1, 17, 13, 1)
    codes = [
        encoder.encode(scene[:, shift : shift + 13, shift : shift + 9].flatten(1), connection, L1(0)).detach()
        for shift in (0, 2, 4)
    ]
    here, half, whole = (code.view(*connection.code_shape[:2]) for code in codes)
    tile = 2 * side
    same(here[tile:, tile:], whole[:-tile, :-tile])
    assert here[tile:, tile:].any()
    assert not torch.allclose(here[side:, side:], half[:-side, :-side])


@EVERY
def test_projection_brings_every_filter_to_its_length_and_no_other(name: str) -> None:
    connection = CONNECTIONS[name]()
    factors = torch.linspace(0.5, 2, connection.filters, dtype=torch.float64)
    before = connection.dictionary.detach().clone()
    connection.dictionary.data.mul_(factors[:, None, None, None])
    same(connection.norms(), factors)
    connection.project()
    same(connection.norms(), factors.clamp_max(1))
    same(connection.dictionary.detach(), before * factors.clamp_max(1)[:, None, None, None])
    connection.fixed = True
    connection.dictionary.data[0] = 0
    connection.project()
    assert torch.equal(connection.norms() > 0, torch.arange(connection.filters) > 0)
    same(connection.norms()[1:], torch.ones(connection.filters - 1, dtype=torch.float64))


def test_what_is_known_of_a_dictionary_is_forgotten_when_it_changes() -> None:
    for connection in (conv((7, 6, 1), 3, 3), conv((5, 6, 9), 3, 3), local((7, 6, 1), 3), Dense(drawn(122, 8, 5))):
        code = drawn(123, 2, connection.units)
        linear_map, bound = connection.known()
        assert connection.known()[0] is linear_map
        changes: list[Any] = [
            lambda kept: kept.mul_(2),
            lambda kept: kept.copy_(kept * 3),
            lambda kept: kept[:, :1].zero_(),
        ]
        for change in changes:
            with torch.no_grad():
                change(connection.dictionary)
            found, larger = connection.known()
            assert found is not linear_map
            assert larger != bound
            same(found.decode(code), connection.decode(code).detach())
            linear_map, bound = found, larger
