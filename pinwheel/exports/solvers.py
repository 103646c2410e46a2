"""Exact codes as operators: the iterations of `worker.sparse.solvers`, with their steps, checks and stops.

The loop ends where every input is finished; an input keeps the code of the check that found it so, as there. `fista`
and `coordinate-descent` are the same iterations, number by number to rounding. An `active-set` grows differently for
every input and is refused.
"""

from collections.abc import Sequence

import numpy as np

from pinwheel.exports.connections import DenseMaps, Maps
from pinwheel.exports.graph import BOOL, FLOAT, INT64, Array, Graph
from pinwheel.exports.lipschitz import bound_of
from pinwheel.exports.penalties import L1, TINY, Inhibition, Penalty
from pinwheel.specs import Solver

CHECK_EVERY = 10
SWEEPS_PER_CHECK = 2


class Quadratic:
    """1/2 Σ c (x − D z)² of `x` (batch, inputs), in the form that `worker.sparse.solvers.Quadratic` takes."""

    def __init__(self, g: Graph, maps: Maps, dictionary: Array, x: str) -> None:
        self.maps, self.dictionary, self.x = maps, dictionary, x
        self.linear = maps.correlate(g, dictionary, maps.weighed(g, x))
        self.constant = maps.half_squares(g, x)
        dense = isinstance(maps, DenseMaps) and maps.units < 2 * maps.inputs
        self.gram = gram_of(dictionary).astype(np.float32) if dense else None

    def times_gram(self, g: Graph, z: str) -> str:
        if self.gram is not None:
            return g.op("MatMul", z, self.gram)
        return self._correlated(g, self.maps.decode(g, self.dictionary, z))

    def step(self, g: Graph, z: str, lipschitz: float) -> str:
        """z − gradient / lipschitz"""
        if self.gram is None:
            left = g.op("Sub", self.x, self.maps.decode(g, self.dictionary, z))
            return g.op("Add", z, g.op("Mul", self._correlated(g, left), 1 / lipschitz))
        matrix = (np.eye(len(self.gram)) - gram_of(self.dictionary) / lipschitz).astype(np.float32)
        return g.op("Add", g.op("Mul", self.linear, 1 / lipschitz), g.op("MatMul", z, matrix))

    def values(self, g: Graph, z: str) -> str:
        """(batch,)"""
        slope = g.op("Sub", g.op("Mul", self.times_gram(g, z), 0.5), self.linear)
        return g.op("Add", self.constant, g.sum(g.op("Mul", z, slope), 1))

    def _correlated(self, g: Graph, x: str) -> str:
        return self.maps.correlate(g, self.dictionary, self.maps.weighed(g, x))


def gram_of(dictionary: Array) -> Array:
    rows = dictionary.astype(np.float64)
    return np.asarray(rows @ rows.T)


def solved(
    g: Graph, maps: Maps, dictionary: Array, penalty: Penalty, x: str, solver: Solver, *, nonnegative: bool
) -> str:
    """Codes (batch, units) of `x` (batch, inputs). Raises ValueError for the method that cannot be exported."""
    if solver.method == "active-set":
        raise ValueError(
            "the solver 'active-set' takes units in and out, one input after the other, which no graph of operators "
            "does; models with 'fista' or 'coordinate-descent' can be exported"
        )
    smooth = Quadratic(g, maps, dictionary, x)
    code = g.op("Mul", smooth.linear, 0.0)
    if solver.method == "coordinate-descent":
        found = _searched(
            g, smooth, penalty, solver, Sweep(g, smooth, penalty, nonnegative), [(code, FLOAT)], nonnegative
        )
        return penalty.settled(g, found)
    pace = g.op("Add", g.sum(code, 1, keep=True), 1.0)
    advance = GradientStep(smooth, penalty, bound_of(maps, dictionary), nonnegative)
    states = [(code, FLOAT), (code, FLOAT), (pace, FLOAT)]
    return penalty.settled(g, _searched(g, smooth, penalty, solver, advance, states, nonnegative))


class GradientStep:
    """FISTA, begun again for an input whose last step turned back; plain steps where they must not be extrapolated."""

    every = CHECK_EVERY

    def __init__(self, smooth: Quadratic, penalty: Penalty, lipschitz: float, nonnegative: bool) -> None:
        self.smooth, self.penalty, self.lipschitz, self.nonnegative = smooth, penalty, lipschitz, nonnegative

    def __call__(self, g: Graph, *states: str) -> list[str]:
        code, point, pace = states
        ahead = self.smooth.step(g, point, self.lipschitz)
        if self.nonnegative:
            ahead = g.op("Relu", ahead)
        found = self.penalty.descend(g, ahead, point, self.lipschitz)
        if not self.penalty.accelerates:
            return [found, found, pace]
        moved = g.op("Sub", found, code)
        turned = g.op("Greater", g.sum(g.op("Mul", g.op("Sub", point, found), moved), 1, keep=True), 0.0)
        pace = g.op("Where", turned, 1.0, pace)
        root = g.op("Sqrt", g.op("Add", g.op("Mul", g.op("Mul", pace, pace), 4.0), 1.0))
        following = g.op("Mul", g.op("Add", root, 1.0), 0.5)
        share = g.op("Div", g.op("Sub", pace, 1.0), following)
        return [found, g.op("Add", found, g.op("Mul", share, moved)), following]


class Sweep:
    """Coordinate descent: one update of every unit in turn, of a row for each unit."""

    every = SWEEPS_PER_CHECK

    def __init__(self, g: Graph, smooth: Quadratic, penalty: Penalty, nonnegative: bool) -> None:
        assert isinstance(penalty, L1 | Inhibition)  # the spec's own check
        gram = gram_of(smooth.dictionary).astype(np.float32)
        self.gram, self.penalty, self.nonnegative = gram, penalty, nonnegative
        self.linear = g.transposed(smooth.linear, 1, 0)
        self.matrix = penalty.matrix if isinstance(penalty, Inhibition) else None

    def __call__(self, g: Graph, *states: str) -> list[str]:
        z = g.transposed(states[0], 1, 0)
        left = g.op("Sub", self.linear, g.op("MatMul", self.gram, z))
        held = z
        if self.matrix is not None:
            held = g.op("Mul", g.op("MatMul", self.matrix, g.op("Abs", z)), self.penalty.weight)
        unit = g.op("Identity", np.zeros(1, np.int64))
        from_states = [(z, FLOAT), (left, FLOAT), (held, FLOAT), (unit, INT64)]
        z, *_ = g.loop(len(self.gram), from_states, self._update)
        return [g.transposed(z, 1, 0)]

    def _update(self, g: Graph, z: str, left: str, held: str, unit: str) -> tuple[None, list[str]]:
        diagonal = np.maximum(self.gram.diagonal(), 0)[:, None]
        curvature = g.op("Gather", diagonal, unit, axis=0)
        curved = g.op("Greater", curvature, 0.0)
        before = g.op("Gather", z, unit, axis=0)
        target = g.op("Add", g.op("Gather", left, unit, axis=0), g.op("Mul", before, curvature))
        threshold = self.penalty.weight if self.matrix is None else g.op("Gather", held, unit, axis=0)
        size = target if self.nonnegative else g.op("Abs", target)
        size = g.op("Div", g.op("Relu", g.op("Sub", size, threshold)), g.op("Where", curved, curvature, 1.0))
        found = size if self.nonnegative else g.op("Mul", size, g.op("Sign", target))
        found = g.op("Where", curved, found, before)
        change = g.op("Sub", found, before)
        left = g.op("Sub", left, g.op("MatMul", g.transposed(g.op("Gather", self.gram, unit, axis=0), 1, 0), change))
        if self.matrix is not None:
            grown = g.op("Mul", g.op("Sub", g.op("Abs", found), g.op("Abs", before)), self.penalty.weight)
            row = g.transposed(g.op("Gather", self.matrix, unit, axis=0), 1, 0)
            held = g.op("Add", held, g.op("MatMul", row, grown))
        else:
            held = g.op("Identity", held)
        z = g.op("ScatterND", z, g.op("Unsqueeze", unit, [1]), found)
        return None, [z, left, held, g.op("Add", unit, [1])]


def _searched(
    g: Graph,
    smooth: Quadratic,
    penalty: Penalty,
    solver: Solver,
    advance: "GradientStep | Sweep",
    states: Sequence[tuple[str, int]],
    nonnegative: bool,
) -> str:
    """The code, which is the first of `states`, when all inputs are finished or the iterations are over."""
    most, every, kinds = solver.max_iterations, advance.every, [kind for _, kind in states]

    def iterated(body: Graph, *names: str) -> tuple[None, list[str]]:
        return None, advance(body, *names)

    if solver.tolerance == 0:
        return g.loop(most, states, iterated)[0]
    code = states[0][0]
    done = g.op("Less", g.sum(g.op("Mul", code, 0.0), 1), -1.0)  # (batch,) of none
    last = g.op("Where", done, 0.0, np.float32(np.inf))

    def checked(body: Graph, result: str, done: str, last: str, *names: str) -> tuple[str, list[str]]:
        following = body.loop(every, list(zip(names, kinds, strict=True)), iterated)
        result = body.op("Where", body.op("Unsqueeze", done, [1]), result, following[0])
        good, last = _good_enough(body, smooth, penalty, solver.tolerance, following[0], last, nonnegative)
        done = body.op("Or", done, good)
        missing = body.op("ReduceSum", body.op("Where", done, 0.0, 1.0), keepdims=0)
        return body.op("Greater", missing, 0.0), [result, done, last, *following]

    result = code
    whole, rest = divmod(most, every)
    if whole:
        given = [(result, FLOAT), (done, BOOL), (last, FLOAT), *states]
        result, done, last, *following = g.loop(whole, given, checked)
        states = list(zip(following, kinds, strict=True))
    if rest:
        # the check after the last iteration changes nothing any more
        final = g.loop(rest, states, iterated)[0]
        result = g.op("Where", g.op("Unsqueeze", done, [1]), result, final)
    return result


def _good_enough(
    g: Graph, smooth: Quadratic, penalty: Penalty, tolerance: float, code: str, last: str, nonnegative: bool
) -> tuple[str, str]:
    """(batch,) which codes are finished, and what to compare the next ones with"""
    if not penalty.exact:
        energies = g.op("Add", smooth.values(g, code), penalty.energies(g, code))
        allowed = g.op("Mul", g.op("Abs", energies), tolerance)
        return g.op("LessOrEqual", g.op("Sub", last, energies), allowed), energies
    product = smooth.times_gram(g, code)
    correlation = g.op("Sub", smooth.linear, product)
    along, curved = (g.sum(g.op("Mul", code, each), 1) for each in (smooth.linear, product))
    fit = g.op("Add", g.op("Sub", smooth.constant, along), g.op("Mul", curved, 0.5))
    energies = g.op("Add", fit, penalty.energies(g, code))
    given = g.op("Relu", correlation) if nonnegative else correlation
    scale = g.op("Squeeze", penalty.dual_scale(g, given), [1])
    squared = g.op("Mul", smooth.constant, 2.0)
    rest = g.op("Add", g.op("Sub", squared, g.op("Mul", along, 2.0)), curved)
    first = g.op("Mul", scale, g.op("Sub", squared, along))
    dual = g.op("Sub", first, g.op("Mul", g.op("Mul", g.op("Mul", scale, scale), 0.5), rest))
    gap = g.op("Relu", g.op("Sub", energies, dual))
    return g.op("LessOrEqual", gap, g.op("Add", g.op("Mul", energies, tolerance), TINY)), g.op("Identity", last)
