"""Sparsities as operators, for the solvers: see `worker.sparse.sparsity`, whose steps and energies these are."""

import math
from abc import ABC, abstractmethod

import numpy as np

from pinwheel.exports.graph import Array, Graph
from pinwheel.exports.pools import Pooling

TINY = float(np.finfo(np.float32).tiny)


class Penalty(ABC):
    """`exact`: its step is a proximal operator and there is a duality gap; `accelerates`: steps may be extrapolated."""

    exact = False
    accelerates = True

    @abstractmethod
    def descend(self, g: Graph, u: str, around: str, lipschitz: float) -> str:
        """The next code from `u`, the end of a gradient step from `around`, both (batch, units)"""

    @abstractmethod
    def energies(self, g: Graph, code: str) -> str:
        """(batch, units) → (batch,)"""

    def dual_scale(self, g: Graph, v: str) -> str:
        """(batch, units) → (batch, 1): the largest s ≤ 1 with s v in the unit ball of the dual norm"""
        raise NotImplementedError(f"{type(self).__name__} is not a norm")

    def settled(self, g: Graph, code: str) -> str:
        return code


def within(g: Graph, largest: str, weight: float) -> str:
    """min(1, weight / largest)"""
    return g.op("Min", g.op("Div", weight, g.op("Max", largest, weight or TINY)), 1.0)


class L1(Penalty):
    exact = True

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def descend(self, g: Graph, u: str, around: str, lipschitz: float) -> str:
        threshold = self.weight / lipschitz
        return g.op("Sub", u, g.op("Clip", u, -threshold, threshold))

    def energies(self, g: Graph, code: str) -> str:
        return g.op("Mul", g.op("ReduceL1", code, [1], keepdims=0), self.weight)

    def dual_scale(self, g: Graph, v: str) -> str:
        return within(g, g.op("ReduceMax", g.op("Abs", v), [1], keepdims=1), self.weight)


class Groups(Penalty):
    """Pools, with their own proximal operator where no two share a unit."""

    VANISHED = 4.0

    def __init__(self, pooling: Pooling, weight: float, smoothing: float, *, disjoint: bool) -> None:
        self.pooling, self.weight, self.smoothing, self.exact = pooling, weight, smoothing, disjoint

    def descend(self, g: Graph, u: str, around: str, lipschitz: float) -> str:
        if self.exact:
            norms = g.op("Max", g.op("Sqrt", self.pooling.squares(g, u)), TINY)
            shares = g.op("Relu", g.op("Sub", 1.0, g.op("Div", self.weight / lipschitz, norms)))
            return g.op("Mul", u, self.pooling.touched(g, shares))
        roots = g.op("Sqrt", g.op("Add", self.pooling.squares(g, around), self.smoothing))
        curvature = self.pooling.spread(g, g.op("Reciprocal", roots))
        return g.op("Div", u, g.op("Add", g.op("Mul", curvature, self.weight / lipschitz), 1.0))

    def energies(self, g: Graph, code: str) -> str:
        squares = self.pooling.squares(g, code)
        if self.exact:
            norms = g.op("Sqrt", squares)
        else:
            norms = g.op("Sub", g.op("Sqrt", g.op("Add", squares, self.smoothing)), math.sqrt(self.smoothing))
        return g.op("Mul", g.sum(norms, 1), self.weight)

    def dual_scale(self, g: Graph, v: str) -> str:
        return within(g, g.op("ReduceMax", self.pooling.norms(g, v), [1], keepdims=1), self.weight)

    def settled(self, g: Graph, code: str) -> str:
        if self.exact:
            return code
        vanished = g.op("Less", self.pooling.squares(g, code), self.VANISHED**2 * self.smoothing)
        held = self.pooling.touched(g, g.op("Where", vanished, 1.0, 0.0))
        return g.op("Where", g.op("Greater", held, 0.0), 0.0, code)


class Inhibition(Penalty):
    accelerates = False

    def __init__(self, matrix: Array, weight: float) -> None:
        self.matrix, self.weight = matrix, weight

    def descend(self, g: Graph, u: str, around: str, lipschitz: float) -> str:
        rows, step = self.matrix.sum(1), self.weight / lipschitz
        before = g.op("Abs", around)
        inhibited = g.op("Sub", g.op("MatMul", before, self.matrix), g.op("Mul", before, rows))
        sign = g.op("Where", g.op("Equal", u, 0.0), g.op("Sign", around), g.op("Sign", u))
        size = g.op("Relu", g.op("Sub", g.op("Abs", u), g.op("Mul", inhibited, step)))
        return g.op("Div", g.op("Mul", sign, size), (1 + step * rows).astype(np.float32))

    def energies(self, g: Graph, code: str) -> str:
        magnitudes = g.op("Abs", code)
        products = g.op("Mul", g.op("MatMul", magnitudes, self.matrix), magnitudes)
        return g.op("Mul", g.sum(products, 1), 0.5 * self.weight)
