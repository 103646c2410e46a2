"""Pools over windows of positions and groups of maps, against lists of the units that each of them holds."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from worker.sparse.solvers import solve
from worker.sparse.sparsity import L1, Pools, SpatialPools
from worker.sparse.sparsity.spatial_pools import gaussian_windows, ring_windows, windows

from .cases import array, drawn, problem
from .oracles import Norm, nearest

SIGNS = pytest.mark.parametrize("sign", ["signed", "nonnegative"])
WEIGHT, SMOOTHING = 0.7, 1e-6
Members = list[tuple[int, float]]  # (place, its share g) of a window


def flat(length: int, size: int, stride: int) -> list[Members]:
    """Windows from the start until one reaches the end; the last is as long as there are places."""
    starts = [0]
    while starts[-1] + size < length:
        starts.append(starts[-1] + stride)
    return [[(place, 1.0) for place in range(start, min(start + size, length))] for start in starts]


def bells(length: int, size: int, stride: int, sigma: float) -> list[Members]:
    """Around every `stride`-th place those at most half the size away, less the farther they are; all are in one."""
    middles = list(range(0, length, stride))
    if 2 * (length - 1 - middles[-1]) > size:
        middles.append(middles[-1] + stride)
    return [
        [
            (place, float(np.exp(-((place - middle) ** 2) / (2 * sigma**2))))
            for place in range(length)
            if 2 * abs(place - middle) <= size
        ]
        for middle in middles
    ]


def around(length: int, size: int, stride: int) -> list[Members]:
    """Windows of a ring."""
    return [[((start + step) % length, 1.0) for step in range(size)] for start in range(0, length, stride)]


@dataclass(frozen=True)
class Layout:
    """A part of the core and its pools as lists."""

    part: SpatialPools
    rows: list[Members]
    columns: list[Members]
    maps: list[Members]

    @property
    def units(self) -> int:
        rows, columns, maps = self.part.shape
        return rows * columns * maps

    def pools(self) -> list[dict[int, float]]:
        """Of every pool its units with their g, in the order in which they are given out."""
        _, columns, maps = self.part.shape
        return [
            {
                (row * columns + column) * maps + number: g * h * k
                for row, g in down
                for column, h in right
                for number, k in group
            }
            for down in self.rows
            for right in self.columns
            for group in self.maps
        ]

    def matrix(self) -> Tensor:
        """G (pools, units)"""
        matrix = torch.zeros(len(self.pools()), self.units, dtype=torch.float64)
        for number, pool in enumerate(self.pools()):
            for unit, g in pool.items():
                matrix[number, unit] = g
        return matrix

    def norm(self, weight: float = WEIGHT) -> Norm:
        pools = self.pools()
        return Norm(weight, [list(pool) for pool in pools], [list(pool.values()) for pool in pools])


def maps(
    shape: tuple[int, int, int], window: int, window_stride: int, size: int, stride: int, *, weight: float = WEIGHT
) -> Layout:
    """As the layout `maps` of a convolution."""
    rows, columns, units = shape
    disjoint = (window, size) == (window_stride, stride)
    part = SpatialPools(
        windows(rows, window, window_stride),
        windows(columns, window, window_stride),
        ring_windows(units, size, stride),
        weight=weight,
        smoothing=SMOOTHING,
        disjoint=disjoint,
    )
    down, right = (flat(length, window, window_stride) for length in (rows, columns))
    return Layout(part, down, right, around(units, size, stride))


def sheet(rows: int, columns: int, size: int, stride: int, sigma: float | None = None) -> Layout:
    """As the layout `sheet` of local units."""

    def matrix(length: int) -> Tensor:
        flat_ones = windows(length, size, stride)
        return flat_ones if sigma is None else gaussian_windows(length, size, stride, sigma)

    def lists(length: int) -> list[Members]:
        return flat(length, size, stride) if sigma is None else bells(length, size, stride, sigma)

    part = SpatialPools(matrix(rows), matrix(columns), torch.ones(1, 1), weight=WEIGHT, smoothing=SMOOTHING)
    return Layout(part, lists(rows), lists(columns), [[(0, 1.0)]])


DISJOINT = {
    "maps of one position": maps((3, 2, 4), 1, 1, 2, 2),
    "windows of one map": maps((4, 5, 2), 2, 2, 1, 1),
    "windows and maps, the last cut": maps((5, 4, 6), 3, 3, 3, 3),
    "windows larger than the code": maps((2, 3, 2), 4, 4, 2, 2),
    "one pool": maps((2, 2, 3), 2, 2, 3, 3),
}
OVERLAPPING = {
    "windows that overlap": maps((5, 6, 2), 3, 2, 2, 2),
    "windows that overlap, the last cut": maps((6, 4, 1), 3, 2, 1, 1),
    "maps on a ring": maps((2, 3, 4), 1, 1, 3, 2),
    "windows and maps that overlap": maps((4, 4, 4), 2, 1, 2, 1),
    "a sheet": sheet(6, 5, 3, 1),
    "a sheet, the last cut": sheet(6, 8, 3, 2),
    "a sheet in blocks": sheet(6, 4, 2, 2),
    "a sheet under bells": sheet(6, 5, 4, 1, 1.0),
    "a sheet under narrow bells": sheet(7, 6, 3, 2, 0.5),
    "a sheet under bells, the last beyond the end": sheet(8, 6, 4, 4, 1.0),
}
LAYOUTS = {**DISJOINT, **OVERLAPPING}
EVERY = pytest.mark.parametrize("name", LAYOUTS)


def same(a: Tensor, b: Tensor, within: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=within, atol=within)


@EVERY
def test_squares_and_pools_are_sums_over_the_lists(name: str) -> None:
    layout, code = LAYOUTS[name], drawn(130, 4, LAYOUTS[name].units)
    matrix = layout.matrix()
    within = 1e-6 if "bells" in name else 1e-12  # g is kept in float32
    same(layout.part.squares(code), code.square() @ matrix.t(), within)
    same(layout.part.pooled(code), (code.square() @ matrix.t()).sqrt(), within)
    assert layout.part.pooled_shape == (len(layout.rows), len(layout.columns), len(layout.maps))
    assert layout.part.pooled(code).shape == (4, len(matrix))


@EVERY
def test_spread_is_the_adjoint_of_squares_and_touched_counts_the_pools_of_a_unit(name: str) -> None:
    layout = LAYOUTS[name]
    values, matrix = drawn(131, 3, len(layout.pools())), layout.matrix()
    within = 1e-6 if "bells" in name else 1e-12
    same(layout.part.spread(values), values @ matrix, within)
    same(layout.part.touched(values), values @ (matrix > 0).double())
    assert (layout.part.touched(torch.ones_like(values)) >= 1).all()


@EVERY
def test_energies_are_the_norm_of_the_lists(name: str) -> None:
    """Pools that overlap are smoothed: below the norm by at most √ε for each of them."""
    layout, code = LAYOUTS[name], drawn(132, 5, LAYOUTS[name].units)
    ours, norm = array(layout.part.energies(code)), layout.norm().value(array(code))
    if layout.part.exact_prox:
        np.testing.assert_allclose(ours, norm, rtol=1e-12)
        return
    assert (ours <= norm * (1 + 1e-6)).all()
    assert (ours >= norm * (1 - 1e-6) - WEIGHT * len(layout.pools()) * SMOOTHING**0.5).all()


def test_only_what_shares_no_unit_is_disjoint() -> None:
    for name, layout in LAYOUTS.items():
        shared = bool((layout.matrix() > 0).sum(0).amax() > 1)
        assert layout.part.exact_prox == (name in DISJOINT)
        assert not (layout.part.exact_prox and shared)


@pytest.mark.parametrize("length", range(1, 14))
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (2, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 6)])
def test_every_place_is_in_a_window_whatever_the_length(length: int, size: int, stride: int) -> None:
    assert windows(length, size, stride).tolist() == [
        [float(place in dict(window)) for place in range(length)] for window in flat(length, size, stride)
    ]
    assert windows(length, size, stride).sum(0).amin() >= 1
    expected = [
        [dict(bell).get(place, 0.0) for place in range(length)] for bell in bells(length, size, stride, size / 4)
    ]
    torch.testing.assert_close(gaussian_windows(length, size, stride, size / 4), torch.tensor(expected))
    assert all(any(row) for row in zip(*expected, strict=True))


def test_a_unit_in_no_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="right 1 is in no pool"):
        SpatialPools(torch.ones(1, 3), torch.tensor([[1.0, 0.0]]), torch.ones(1, 1), weight=1.0)


@SIGNS
@pytest.mark.parametrize("name", DISJOINT)
def test_the_proximal_operator_of_disjoint_pools_is_the_answer_of_a_convex_solver(name: str, sign: str) -> None:
    layout = DISJOINT[name]
    v = torch.cat([size * drawn(seed, 2, layout.units) for seed, size in enumerate((0.05, 0.5, 3.0))])
    for step in (0.4, 1.0):
        ours = layout.part.prox(v.clamp_min(0) if sign == "nonnegative" else v, step)
        assert (ours == 0).any()
        assert (ours != 0).any()
        theirs = nearest(layout.norm(), array(v), step, nonnegative=sign == "nonnegative")
        np.testing.assert_allclose(array(ours), theirs, atol=1e-5, rtol=0)
        assert torch.equal(layout.part.descend(v, drawn(0, *v.shape), 1 / step), layout.part.prox(v, step))


@pytest.mark.parametrize("name", OVERLAPPING)
def test_pools_that_overlap_have_no_proximal_operator(name: str) -> None:
    with pytest.raises(ValueError, match="no proximal operator"):
        OVERLAPPING[name].part.prox(drawn(0, 1, OVERLAPPING[name].units), 1.0)


@pytest.mark.parametrize("name", OVERLAPPING)
def test_a_step_minimises_a_quadratic_that_lies_above_the_energy_and_touches_it(name: str) -> None:
    """Σ_P √(v + ε) below its tangent in v = G z², taken at the code that the step begins from."""
    layout, matrix = OVERLAPPING[name], OVERLAPPING[name].matrix()
    part, around, lipschitz = layout.part, drawn(133, 1, layout.units), 3.0
    curvature = WEIGHT * ((around.square() @ matrix.t() + SMOOTHING).rsqrt() @ matrix)

    def above(z: Tensor) -> Tensor:
        return part.energies(around) + 0.5 * (curvature * (z.square() - around.square())).sum(1)

    for size in (0.0, 0.1, 1.0, 10.0):
        z = size * drawn(134, 50, layout.units)
        assert (part.energies(z) <= above(z) * (1 + 1e-6) + 1e-9).all()
    same(above(around), part.energies(around))
    u = drawn(135, 1, layout.units)
    found = part.descend(u, around, lipschitz)
    same(lipschitz * (found - u) + curvature * found, torch.zeros_like(u), 1e-5)


@EVERY
def test_gradients_are_those_of_finite_differences_and_zero_at_zero(name: str) -> None:
    part, units = LAYOUTS[name].part, LAYOUTS[name].units
    code = drawn(136, 2, units)
    code = (code + 0.1 * code.sign()).requires_grad_()
    assert gradcheck(part.energies, (code,), fast_mode=True)
    assert gradcheck(part.pooled, (code,), fast_mode=True)
    still = torch.zeros(2, units, dtype=torch.float64, requires_grad=True)
    for values in (part.energies(still), part.pooled(still)):
        (gradient,) = torch.autograd.grad(values.sum(), still)
        assert not values.any()
        assert not gradient.any()


@EVERY
def test_nothing_is_ever_not_a_number(name: str) -> None:
    """Codes of zeros, inputs of zeros, and units of which a whole pool is zero."""
    part, units = LAYOUTS[name].part, LAYOUTS[name].units
    zeros = torch.zeros(2, units, dtype=torch.float64)
    some = drawn(137, 2, units)
    some[:, : units // 2] = 0
    for dtype in (torch.float64, torch.float32):
        for u in (zeros.to(dtype), some.to(dtype)):
            for values in (part.descend(u, zeros.to(dtype), 2.0), part.settled(u), part.energies(u)):
                assert torch.isfinite(values).all()
    x, dictionary = problem(138, inputs=units + 3, units=units)
    x[1] = 0
    code = solve(x, dictionary, part, max_iterations=50, tolerance=1e-6).code
    assert torch.isfinite(code).all()
    assert not code[1].any()
    assert code[0].any()


@SIGNS
@EVERY
def test_the_energy_of_plain_steps_never_rises(name: str, sign: str) -> None:
    layout = LAYOUTS[name]
    x, dictionary = problem(139, inputs=layout.units // 2 + 2, units=layout.units)
    start = 3 * drawn(140, len(x), layout.units)
    traced = solve(
        x, dictionary, layout.part, sign=sign, method="ista", max_iterations=60, tolerance=0, start=start, trace=True
    )
    trace = torch.stack(traced.energies)
    assert (trace[1:] <= trace[:-1] * (1 + 1e-13)).all()
    assert (trace[-1] < trace[0]).all()


def test_pools_of_one_unit_are_l1() -> None:
    code, x = drawn(141, 4, 24), problem(142, inputs=10, units=24)[0]
    dictionary = problem(142, inputs=10, units=24)[1]
    ones, l1 = maps((3, 2, 4), 1, 1, 1, 1).part, L1(WEIGHT)
    assert ones.exact_prox
    same(ones.energies(code), l1.energies(code))
    same(ones.prox(code, 0.8), l1.prox(code, 0.8))
    same(ones.dual_scale(code), l1.dual_scale(code), 2e-6)
    same(ones.pooled(code), code.abs())
    ours, theirs = (solve(x, dictionary, each, max_iterations=200, tolerance=0).code for each in (ones, l1))
    same(ours, theirs)
    smoothed = sheet(6, 4, 1, 1).part
    same(smoothed.energies(code), WEIGHT * ((code.square() + SMOOTHING).sqrt() - SMOOTHING**0.5).sum(1))


EVEN = [name for name, layout in LAYOUTS.items() if len({len(pool) for pool in layout.pools()}) == 1]


@pytest.mark.parametrize("name", EVEN)
def test_they_are_dense_pools_of_those_members(name: str) -> None:
    """Where all have as many: the same energy, with another arithmetic."""
    layout, lists = LAYOUTS[name], LAYOUTS[name].pools()
    members = torch.tensor([list(pool) for pool in lists])
    disjoint = layout.part.exact_prox
    dense = Pools(members, layout.units, weight=WEIGHT, smoothing=SMOOTHING, disjoint=disjoint)
    code, near = drawn(143, 3, layout.units), drawn(144, 3, layout.units)
    same(layout.part.energies(code), dense.energies(code))
    same(layout.part.descend(code, near, 2.0), dense.descend(code, near, 2.0))
    same(layout.part.settled(code), dense.settled(code))
    same(layout.part.dual_scale(code), dense.dual_scale(code))


def test_cut_windows_are_not_among_those_that_are_even() -> None:
    assert {"maps of one position", "maps on a ring", "a sheet", "windows and maps that overlap"} < set(EVEN)
    assert "a sheet, the last cut" not in EVEN


def test_a_bell_without_end_is_flat() -> None:
    """Five places around a middle that is two away from the ends, or less where the image ends."""
    wide = gaussian_windows(8, 4, 1, 1e6)
    torch.testing.assert_close(wide[2:-2], windows(8, 5, 1))
    assert wide.sum(1).tolist() == [3, 4, 5, 5, 5, 5, 4, 3]
