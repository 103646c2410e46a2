"""Codes with few active units: FISTA among the units of a working set, which grows until it needs no other.

    energy(z) = 1/2 ‖x − D z‖² + λ ‖z‖₁,   c = Dᵀ(x − D z);   at the minimum |c_i| ≤ λ, and c_i = λ sign(z_i) if z_i ≠ 0

A round compares all units once and takes into the set, of every block of units that see about the same, the one with
the largest |c_i| above λ; of the blocks only those that are near enough to the largest of all (in the order of matching
pursuit: one edge is explained by one unit before its neighbours are asked). Iterations in between cost what the set
costs, not what the code costs, and their steps are longer: the curvature among few units is a small part of
λ_max(DᵀD). It is found by backtracking (Beck and Teboulle, SIAM J. Imaging Sci. 2(1), 2009); momentum goes on from one
round to the next and begins again where a step turns against it (O'Donoghue and Candès, 2015).

Working sets with a duality gap: B. Johnson and C. Guestrin, Blitz, ICML 2015; convolutional codes by the largest unit
of each neighbourhood: T. Moreau, L. Oudre and N. Vayatis, DICOD, ICML 2018. Where we differ: blocks choose units, FISTA
weighs them all. On a CPU the same bits every time.
"""

import math

import torch
from torch import Tensor

from worker.sparse.solvers.columns import Columns
from worker.sparse.solvers.linear_map import LinearMap
from worker.sparse.solvers.solution import Solution
from worker.sparse.sparsity import L1

ITERATIONS_PER_ROUND = 10
SHARE = 0.3  # of the largest correlation: what enters in one round
LONGER = 1.4  # of the curvature, where a step was too long for it
ROUNDING = 1e-6  # share of a reconstruction that its rounding may be


def by_active_set(
    x: Tensor,
    linear_map: LinearMap,
    sparsity: L1,
    start: Tensor | None,
    *,
    nonnegative: bool,
    max_iterations: int,
    tolerance: float,
    trace: bool,
) -> Solution:
    """Codes of `x` (batch, inputs), one input after the other, from `start` (batch, units) or from zero.

    Of an input that is not finite the code is NaN: no unit compares as one to take in, and the code would be zero.
    """
    code = x.new_zeros(len(x), linear_map.units)
    gaps, traces, longest = [], [], 0
    for number, row in enumerate(x):
        search = _Search(row, linear_map, sparsity, nonnegative, tolerance, trace)
        units = code.new_zeros(0, dtype=torch.long) if start is None else start[number].nonzero()[:, 0]
        search.run(units, code.new_zeros(0) if start is None else start[number, units], max_iterations)
        code[number, search.units] = search.z
        if not torch.isfinite(row).all():
            code[number] = torch.nan
        gaps.append(search.gap)
        traces.append(search.energies)
        longest = max(longest, search.iterations)
    gap = torch.stack(gaps) if tolerance > 0 and gaps else None
    return Solution(code, longest, gap, _joined(traces) if trace else [])


def _joined(traces: list[list[Tensor]]) -> list[Tensor]:
    """Energies (batch,) after every iteration; of an input that is finished its last."""
    longest = max((len(each) for each in traces), default=0)
    return [torch.stack([each[min(step, len(each) - 1)] for each in traces]) for step in range(longest)]


class _Search:
    """The code of one input: `units` (n,) of the working set in ascending order and their values `z` (n,)."""

    def __init__(
        self, x: Tensor, linear_map: LinearMap, sparsity: L1, nonnegative: bool, tolerance: float, trace: bool
    ) -> None:
        self.x, self.map, self.sparsity = x, linear_map, sparsity
        self.nonnegative, self.tolerance, self.trace = nonnegative, tolerance, trace
        self.energies: list[Tensor] = []
        self.dual = x.new_zeros(())
        self.gap = x.new_full((), torch.inf)
        self.curvature = 0.0
        self.iterations = 0

    def run(self, units: Tensor, z: Tensor, most: int) -> None:
        self.units, self.z, self.before = units, z, z
        self.columns = Columns.of(self.map, units)
        self.written = self.columns.decode(z)  # D z
        self.written_before = self.written
        self.pace = 1.0
        self._note()
        while self.iterations < most:
            best = self._compare()
            if self._finished():
                return
            self._take_in(best)
            for _ in range(min(ITERATIONS_PER_ROUND, most - self.iterations)):
                self._advance()
        if self.tolerance > 0:
            self._compare()

    def _finished(self) -> bool:
        smallest = torch.finfo(self.x.dtype).tiny
        return self.tolerance > 0 and bool(self.gap <= self.tolerance * self._energy() + smallest)

    def _half_squares(self, x: Tensor) -> Tensor:
        return self.map.half_squares(x[None])[0]

    def _energy(self) -> Tensor:
        return self._half_squares(self.x - self.written) + self.sparsity.energies(self.z[None])[0]

    def _note(self) -> None:
        if self.trace:
            self.energies.append(self._energy())

    def _compare(self) -> Tensor:
        """The duality gap, and of each block its best unit where that is worth taking in."""
        left = self.x - self.written
        blocks = self.map.blocks(left[None])
        top = blocks.amax(1) if self.nonnegative else torch.maximum(blocks.amax(1), -blocks.amin(1))
        largest = float(top.max())
        weight = self.sparsity.weight
        share = min(1.0, weight / largest) if largest > 0 else 1.0
        dual = self._half_squares(self.x) - self._half_squares(self.x - share * left)
        self.dual = torch.maximum(self.dual, dual)  # the residual of an earlier round may bound better
        self.gap = (self._energy() - self.dual).clamp_min(0)
        chosen = (top > max(weight, SHARE * largest)).nonzero()[:, 0]
        inside = blocks[chosen] if self.nonnegative else blocks[chosen].abs()
        return self.map.unit_at(chosen, inside.argmax(1))

    def _take_in(self, best: Tensor) -> None:
        """Leave out what is zero, and take in what is not there yet."""
        kept = ((self.z != 0) | (self.before != 0)).nonzero()[:, 0]
        new = best[~torch.isin(best, self.units[kept])]
        units, order = torch.cat([self.units[kept], new]).sort()
        self.columns = self.columns.rearranged(kept, Columns.of(self.map, new), order)
        none = self.z.new_zeros(len(new))
        self.units = units
        self.z, self.before = (torch.cat([z[kept], none])[order] for z in (self.z, self.before))

    def _advance(self) -> None:
        following = 0.5 * (1 + math.sqrt(1 + 4 * self.pace**2))
        share = (self.pace - 1) / following
        point = torch.lerp(self.before, self.z, 1 + share)
        written = torch.lerp(self.written_before, self.written, 1 + share)
        downhill = self.columns.correlate(self.map.weighed(self.x - written))
        found, image = self._step(point, written, downhill)
        turned = torch.dot(point - found, found - self.z) > 0
        self.pace = 1.0 if bool(turned) else following
        self.before, self.written_before = self.z, self.written
        self.z, self.written = found, image
        self.iterations += 1
        self._note()

    def _step(self, point: Tensor, written: Tensor, downhill: Tensor) -> tuple[Tensor, Tensor]:
        """The next values and what they write: a step as long as the curvature along it allows."""
        # no direction is curved more than the sum of all squares; beyond it nothing but rounding fails the comparison
        most = float(self.columns.values.square().sum())
        if self.curvature == 0:
            self.curvature = self._along(downhill, most)
        rounding = ROUNDING**2 * float(self._half_squares(written))
        while True:
            ahead = torch.add(point, downhill, alpha=1 / self.curvature)
            found = self.sparsity.prox(ahead.clamp_min_(0) if self.nonnegative else ahead, 1 / self.curvature)
            image = self.columns.decode(found)
            moved = found - point
            allowed = 0.5 * self.curvature * float(moved.square().sum()) + rounding
            if self.curvature > most or float(self._half_squares(image - written)) <= allowed:
                return found, image
            self.curvature *= LONGER

    def _along(self, direction: Tensor, most: float) -> float:
        """‖D v‖² / ‖v‖², or `most` where that is no number; 1 where there is no direction"""
        largest = float(direction.abs().max()) if len(direction) else 0.0
        if largest == 0:
            return 1.0
        v = direction / largest  # squares of what is very large or small are no numbers
        found = 2 * float(self._half_squares(self.columns.decode(v))) / float(v.square().sum())
        return found if 0 < found < math.inf else most or 1.0
