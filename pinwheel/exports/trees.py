"""The norms of trees as operators: see `worker.sparse.sparsity.tree`, whose proximal operators these are.

All of it works on a row for each unit, (units, batch), level by level.
"""

import numpy as np

from pinwheel.exports.graph import FLOAT, Array, Graph
from pinwheel.exports.penalties import TINY, Penalty

HALVINGS = 12  # of the interval in which the scale of a dual point lies


class Tree(Penalty):
    """`parent` (units,), −1 for roots; `norm` is `l2` or `linf`."""

    exact = True

    def __init__(self, parent: Array, weight: float, norm: str) -> None:
        self.parent, self.weight, self.norm = parent, weight, norm
        self.levels = levels_of(parent)
        self.members = descendants(parent, self.levels) if norm == "linf" else []
        self.place = np.zeros(len(parent), np.int64)  # of a unit in its level
        for level in self.levels:
            self.place[level] = np.arange(len(level))

    def descend(self, g: Graph, u: str, around: str, lipschitz: float) -> str:
        return self.prox(g, u, 1 / lipschitz)

    def prox(self, g: Graph, v: str, step: float) -> str:
        threshold = step * self.weight
        rows = g.transposed(v, 1, 0)
        found = self._l2(g, rows, threshold) if self.norm == "l2" else self._linf(g, rows, threshold)
        return g.transposed(found, 1, 0)

    def energies(self, g: Graph, code: str) -> str:
        rows = g.transposed(code, 1, 0)
        if self.norm == "linf":
            norms = [
                g.op("ReduceMax", g.op("Abs", self._group(g, rows, each)), [1], keepdims=0) for each in self.members
            ]
        else:
            norms = [g.op("Sqrt", squares) for squares in self._sums(g, g.op("Mul", rows, rows))]
        return g.op("Mul", g.sum(g.op("Concat", *norms, axis=0), 0), self.weight)

    def dual_scale(self, g: Graph, v: str) -> str:
        inside = self._vanishes(g, v)
        largest = g.op("Max", g.op("ReduceMax", g.op("Abs", v), [1], keepdims=1), self.weight or TINY)
        low = g.op("Div", self.weight, largest)
        high = g.op("Min", g.op("Mul", low, float(len(self.levels))), 1.0)

        def halved(body: Graph, low: str, high: str) -> tuple[None, list[str]]:
            middle = body.op("Div", body.op("Add", low, high), 2.0)
            zero = self._vanishes(body, body.op("Mul", v, middle))
            return None, [body.op("Where", zero, middle, low), body.op("Where", zero, high, middle)]

        low, _ = g.loop(HALVINGS, [(low, FLOAT), (high, FLOAT)], halved)
        return g.op("Where", inside, 1.0, low)

    def _vanishes(self, g: Graph, v: str) -> str:
        """(batch, 1) whether the proximal operator sends a point to zero"""
        largest = g.op("ReduceMax", g.op("Abs", self.prox(g, v, 1.0)), [1], keepdims=1)
        return g.op("Equal", largest, 0.0)

    def _sums(self, g: Graph, values: str) -> list[str]:
        """By level, roots first: of each unit the sum over its group, (units of the level, batch)"""
        found: list[str] = []
        for number in reversed(range(len(self.levels))):
            own = g.op("Gather", values, self.levels[number], axis=0)
            found.insert(0, own if not found else self._gathered(g, own, found[0], number + 1))
        return found

    def _gathered(self, g: Graph, own: str, below: str, level: int) -> str:
        """`own` of the level above, with what the units of `level` add to their parents"""
        parents = self.place[self.parent[self.levels[level]]][:, None]
        return g.op("ScatterND", own, parents, below, reduction="add")

    def _l2(self, g: Graph, rows: str, threshold: float) -> str:
        shares: list[str] = []
        squares, left = g.op("Mul", rows, rows), ""
        for number in reversed(range(len(self.levels))):
            own = g.op("Gather", squares, self.levels[number], axis=0)
            norms = g.op("Sqrt", self._gathered(g, own, left, number + 1) if left else own)
            share = g.op("Relu", g.op("Sub", 1.0, g.op("Div", threshold, g.op("Max", norms, TINY))))
            shares.insert(0, share)
            shrunk = g.op("Mul", norms, share)
            left = g.op("Mul", shrunk, shrunk)
        for number, level in enumerate(self.levels[1:], 1):
            above = g.op("Gather", shares[number - 1], self.place[self.parent[level]], axis=0)
            shares[number] = g.op("Mul", shares[number], above)
        order = np.argsort(np.concatenate(self.levels))
        return g.op("Mul", rows, g.op("Gather", g.op("Concat", *shares, axis=0), order, axis=0))

    def _group(self, g: Graph, rows: str, members: Array) -> str:
        """(tops, most, batch) the groups of a level, 0 for members that there are not"""
        found = g.op("Gather", rows, np.maximum(members, 0), axis=0)
        return g.op("Mul", found, (members >= 0).astype(np.float32)[..., None])

    def _linf(self, g: Graph, rows: str, threshold: float) -> str:
        if threshold == 0:
            return rows
        for members in reversed(self.members):
            group = self._group(g, rows, members)
            left = g.op("Sub", group, onto_l1_ball(g, group, threshold, members.shape[1]))
            places = np.argwhere(members >= 0)
            units = members[places[:, 0], places[:, 1]][:, None]
            rows = g.op("ScatterND", rows, units, g.op("GatherND", left, places))
        return rows


def onto_l1_ball(g: Graph, v: str, radius: float, most: int) -> str:
    """The nearest point with ‖·‖₁ ≤ radius along axis 1 of `v` (tops, most, batch)"""
    magnitudes = g.op("Abs", v)
    descending, _ = g.ops("TopK", [magnitudes, [most]], 2, axis=1)
    sums = g.op("Sub", g.op("CumSum", descending, np.int64(1)), radius)
    counts = np.arange(1, most + 1, dtype=np.float32)[:, None]
    active = g.op("Where", g.op("Greater", g.op("Mul", descending, counts), sums), 1.0, 0.0)
    number = g.op("Max", g.sum(active, 1, keep=True), 1.0)
    last = g.op("Equal", number, counts)
    total = g.sum(g.op("Where", last, sums, 0.0), 1, keep=True)
    threshold = g.op("Relu", g.op("Div", total, number))
    return g.op("Mul", g.op("Sign", v), g.op("Relu", g.op("Sub", magnitudes, threshold)))


def levels_of(parent: Array) -> list[Array]:
    """Units by depth, roots first. Raises ValueError where parents form a cycle."""
    levels: list[Array] = []
    level = np.flatnonzero(parent < 0)
    while len(level) and len(levels) <= len(parent):
        levels.append(level)
        level = np.flatnonzero(np.isin(parent, level))
    if sum(map(len, levels)) != len(parent):
        raise ValueError("the parents form a cycle: not every unit descends from a root (parent −1)")
    return levels


def descendants(parent: Array, levels: list[Array]) -> list[Array]:
    """By depth, (tops, most): every unit of each top's group, itself included, filled up with −1"""
    groups = {unit: [unit] for unit in range(len(parent))}
    for level in reversed(levels[1:]):
        for unit in level.tolist():
            groups[int(parent[unit])] += groups[unit]
    padded = []
    for level in levels:
        most = max(len(groups[unit]) for unit in level.tolist())
        padded.append(np.array([groups[unit] + [-1] * (most - len(groups[unit])) for unit in level.tolist()]))
    return padded
