"""The code of least energy, 1/2 ‖x − D z‖² [+ weight/2 ‖z − p‖²] + sparsity(z), for every input of a batch.

`ista`   z ← descend(z − ∇/L)
`fista`  the same from a point extrapolated along the last step (Beck and Teboulle, SIAM J. Imaging Sci. 2(1), 2009),
         begun again for an input whenever its last step turned against it (O'Donoghue and Candès, Found. Comput. Math.
         15, 2015); plain steps where the sparsity has many minima, so that no step raises the energy
`coordinate-descent`  the exact minimum along one unit after the other; L1 and inhibition
`active-set`  FISTA among the units that are needed alone (`active_set`); L1, where few of many units are active

The first two stop on the duality gap where the sparsity is a norm with an exact proximal operator: with the residual
r = x − D z scaled by s into the unit ball of the dual norm,

    gap = energy(z) − (1/2 ‖x‖² − 1/2 ‖x − s r‖²)  ≥  energy(z) − least energy

and otherwise where ten iterations lower the energy by less than the tolerance.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from worker.sparse.solvers.active_set import by_active_set
from worker.sparse.solvers.coordinates import sweep
from worker.sparse.solvers.linear_map import LinearMap, Matrix
from worker.sparse.solvers.quadratic import Quadratic, bound_of, largest_eigenvalue
from worker.sparse.solvers.solution import Solution
from worker.sparse.sparsity import L1, Inhibition, Penalty

State: TypeAlias = tuple[Tensor, ...]

METHODS = ("fista", "ista", "coordinate-descent", "active-set")
CHECK_EVERY = 10
SWEEPS_PER_CHECK = 2
# Finished inputs are left behind once no more than this share of a batch is still open.
STILL_OPEN = 0.5


@torch.no_grad()
def solve(
    x: Tensor,
    dictionary: Tensor | LinearMap,
    sparsity: Penalty,
    *,
    sign: str = "signed",
    method: str = "fista",
    max_iterations: int = 100,
    tolerance: float = 1e-3,
    start: Tensor | None = None,
    prediction: Tensor | None = None,
    prediction_weight: float = 0.0,
    lipschitz: float | None = None,
    trace: bool = False,
) -> Solution:
    """Codes of `x` (batch, inputs) for `dictionary` (inputs, units) or a map, from `start` (batch, units) or from zero.

    `tolerance` is a share of the energy of each input; a code does not depend on the inputs around it. `lipschitz` is
    λ_max(DᵀD) where it is known.
    Raises ValueError for a method the sparsity has not got.
    """
    if method == "active-set":
        return _by_active_set(x, dictionary, sparsity, sign, max_iterations, tolerance, start, prediction, trace)
    smooth = Quadratic(x, dictionary, prediction, prediction_weight)
    nonnegative = sign == "nonnegative"
    code = torch.zeros_like(smooth.linear) if start is None else start.clone()
    if nonnegative:
        code = code.clamp_min(0)
    search = _Search(smooth, sparsity, nonnegative, tolerance, trace)
    if method == "coordinate-descent":
        if not isinstance(sparsity, L1 | Inhibition):
            raise ValueError(f"coordinate-descent works with L1 and Inhibition, not with {type(sparsity).__name__}")
        solution = search.by_coordinates(code, max_iterations)
    elif method in METHODS:
        largest = _largest(dictionary) if lipschitz is None else lipschitz
        momentum = method == "fista" and sparsity.accelerates
        solution = search.by_gradients(code, max_iterations, largest + smooth.weight, momentum)
    else:
        raise ValueError(f"method is {method!r}; {', '.join(METHODS)} are allowed")
    solution.code = sparsity.settled(solution.code)
    return solution


def _by_active_set(
    x: Tensor,
    dictionary: Tensor | LinearMap,
    sparsity: Penalty,
    sign: str,
    max_iterations: int,
    tolerance: float,
    start: Tensor | None,
    prediction: Tensor | None,
    trace: bool,
) -> Solution:
    if not isinstance(sparsity, L1):
        raise ValueError(f"active-set works with L1, not with {type(sparsity).__name__}")
    if prediction is not None:
        raise ValueError("active-set works without a prediction term; with one fista does")
    nonnegative = sign == "nonnegative"
    return by_active_set(
        x,
        Matrix(dictionary) if isinstance(dictionary, Tensor) else dictionary,
        sparsity,
        start.clamp_min(0) if start is not None and nonnegative else start,
        nonnegative=nonnegative,
        max_iterations=max_iterations,
        tolerance=tolerance,
        trace=trace,
    )


def _largest(dictionary: Tensor | LinearMap) -> float:
    return largest_eigenvalue(dictionary) if isinstance(dictionary, Tensor) else bound_of(dictionary)


class _Search:
    """One run of a solver. An input is finished at the check that finds it so, whatever the others still need."""

    def __init__(self, smooth: Quadratic, sparsity: Penalty, nonnegative: bool, tolerance: float, trace: bool) -> None:
        self.smooth, self.sparsity, self.nonnegative = smooth, sparsity, nonnegative
        self.tolerance, self.trace = tolerance, trace
        self.energies: list[Tensor] = []

    def by_gradients(self, code: Tensor, most: int, lipschitz: float, momentum: bool) -> Solution:
        def advance(code: Tensor, point: Tensor, pace: Tensor) -> State:
            ahead = self.smooth.step(point, lipschitz)
            if self.nonnegative:
                ahead.clamp_min_(0)
            found = self.sparsity.descend(ahead, point, lipschitz)
            return (found, *extrapolated(code, found, point, pace)) if momentum else (found, found, pace)

        return self._run((code, code, code.new_ones(len(code), 1)), advance, most, CHECK_EVERY)

    def by_coordinates(self, code: Tensor, most: int) -> Solution:
        gram, sparsity = self.smooth.full_gram(), self.sparsity
        assert isinstance(sparsity, L1 | Inhibition)  # `solve` has checked

        def advance(code: Tensor) -> State:
            return (sweep(code, self.smooth.linear, gram, sparsity, self.nonnegative),)

        return self._run((code,), advance, most, SWEEPS_PER_CHECK)

    def _run(self, state: State, advance: Callable[..., State], most: int, check_every: int) -> Solution:
        """`advance` gives the next state from one; the code is its first tensor, and all have a row for each input."""
        self._begin(state[0])
        for iteration in range(1, most + 1):
            state = advance(*state)
            self._note(state[0])
            if iteration % check_every == 0 or iteration == most:
                left = self._unfinished(state[0])
                if left is not None:
                    state = tuple(part[left] for part in state)
                if len(state[0]) == 0:
                    break
        self._keep(state[0], self.open)
        return Solution(self.result, iteration, self.gap, self.energies)

    def _begin(self, code: Tensor) -> None:
        self.result = code
        self.rows = torch.arange(len(code), device=code.device)  # the inputs that `code` is about
        self.open = torch.ones(len(code), dtype=torch.bool, device=code.device)  # of them: not finished
        self.last = code.new_full((len(code),), torch.inf)
        self.gap = code.new_zeros(len(code)) if self.sparsity.exact_prox and self.tolerance > 0 else None
        self._note(code)

    def _keep(self, code: Tensor, which: Tensor) -> None:
        if len(code) == len(self.result) and bool(which.all()):
            self.result = code
        else:
            self.result[self.rows[which]] = code[which]

    def _note(self, code: Tensor) -> None:
        if self.trace:
            self.energies.append(self.smooth.values(code) + self.sparsity.energies(code))

    def _unfinished(self, code: Tensor) -> Tensor | None:
        """Keep the codes that have become good enough; the places of the others once it pays to go on without."""
        if self.tolerance == 0:
            return None
        done = self.open & self._good_enough(code)
        # a trace is of whole batches: there all inputs finish together
        if not bool(done.all() if self.trace else done.any()):
            return None
        self._keep(code, done)
        self.open &= ~done
        still = int(self.open.sum())
        if still > STILL_OPEN * len(code):
            return None
        left = self.open.nonzero().reshape(-1)
        self.smooth = self.smooth.of(left)
        self.rows, self.open, self.last = self.rows[left], self.open[left], self.last[left]
        return left

    def _good_enough(self, code: Tensor) -> Tensor:
        """(batch,) bool"""
        if self.gap is not None:
            energies, gap = energies_and_gap(self.smooth, self.sparsity, code, self.nonnegative)
            self.gap[self.rows[self.open]] = gap[self.open]
            return gap <= self.tolerance * energies + torch.finfo(code.dtype).tiny
        energies = self.smooth.values(code) + self.sparsity.energies(code)
        done = self.last - energies <= self.tolerance * energies.abs()
        self.last = energies
        return done


def extrapolated(before: Tensor, found: Tensor, point: Tensor, pace: Tensor) -> tuple[Tensor, Tensor]:
    """The next point and pace (batch, 1): `found` plus a share of the last step, none where that step turned back."""
    moved = found - before
    turned = torch.linalg.vecdot(point - found, moved)[:, None] > 0
    pace = torch.where(turned, 1, pace)
    following = 0.5 * (1 + (1 + 4 * pace.square()).sqrt())
    return torch.addcmul(found, (pace - 1) / following, moved), following


def energies_and_gap(smooth: Quadratic, sparsity: Penalty, code: Tensor, nonnegative: bool) -> tuple[Tensor, Tensor]:
    """Energies (batch,) and duality gaps (batch,) ≥ 0 of `code`."""
    product = smooth.times_gram(code)
    correlation = smooth.linear - product  # Dᵀ r
    along, curved = (code * smooth.linear).sum(1), (code * product).sum(1)
    energies = smooth.constant - along + 0.5 * curved + sparsity.energies(code)
    scale = sparsity.dual_scale(correlation.clamp_min(0) if nonnegative else correlation)[:, 0]
    squared = 2 * smooth.constant
    # 1/2 ‖x‖² − 1/2 ‖x − s r‖² = s x·r − s²/2 ‖r‖²
    dual = scale * (squared - along) - 0.5 * scale.square() * (squared - 2 * along + curved)
    return energies, (energies - dual).clamp_min(0)
