"""The code of least energy, 1/2 ‖x − D z‖² [+ weight/2 ‖z − p‖²] + sparsity(z), for every input of a batch.

`ista`   z ← descend(z − ∇/L)
`fista`  the same from a point extrapolated along the last step (Beck and Teboulle, SIAM J. Imaging Sci. 2(1), 2009),
         begun again for an input whenever its last step turned against it (O'Donoghue and Candès, Found. Comput. Math.
         15, 2015); plain steps where the sparsity has many minima, so that no step raises the energy
`coordinate-descent`  the exact minimum along one unit after the other; L1 and inhibition

The first two stop on the duality gap where the sparsity is a norm with an exact proximal operator: with the residual
r = x − D z scaled by s into the unit ball of the dual norm,

    gap = energy(z) − (1/2 ‖x‖² − 1/2 ‖x − s r‖²)  ≥  energy(z) − least energy

and otherwise where ten iterations lower the energy by less than the tolerance.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from worker.sparse.solvers.coordinates import sweep
from worker.sparse.solvers.quadratic import Quadratic, largest_eigenvalue
from worker.sparse.sparsity import L1, Inhibition, Penalty

METHODS = ("fista", "ista", "coordinate-descent")
CHECK_EVERY = 10
SWEEPS_PER_CHECK = 2


@dataclass
class Solution:
    """`code` (batch, units); `gap` (batch,) bounds energy − least energy, None without a tolerance or an exact prox;
    `energies` with trace: (batch,) before the first and after every iteration."""

    code: Tensor
    iterations: int
    gap: Tensor | None = None
    energies: list[Tensor] = field(default_factory=list)


@torch.no_grad()
def solve(
    x: Tensor,
    dictionary: Tensor,
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
    """Codes of `x` (batch, inputs) for `dictionary` (inputs, units), from `start` (batch, units) or from zero.

    `tolerance` is a share of the energy, for the input that is worst off. `lipschitz` is λ_max(DᵀD) where it is known.
    Raises ValueError for a method the sparsity has not got.
    """
    smooth = Quadratic(x, dictionary, prediction, prediction_weight)
    nonnegative = sign == "nonnegative"
    code = x.new_zeros(len(x), dictionary.shape[1]) if start is None else start.clone()
    if nonnegative:
        code = code.clamp_min(0)
    search = _Search(smooth, sparsity, nonnegative, tolerance, trace)
    if method == "coordinate-descent":
        if not isinstance(sparsity, L1 | Inhibition):
            raise ValueError(f"coordinate-descent works with L1 and Inhibition, not with {type(sparsity).__name__}")
        solution = search.by_coordinates(code, max_iterations)
    elif method in METHODS:
        largest = largest_eigenvalue(dictionary) if lipschitz is None else lipschitz
        momentum = method == "fista" and sparsity.accelerates
        solution = search.by_gradients(code, max_iterations, largest + smooth.weight, momentum)
    else:
        raise ValueError(f"method is {method!r}; {', '.join(METHODS)} are allowed")
    solution.code = sparsity.settled(solution.code)
    return solution


class _Search:
    def __init__(self, smooth: Quadratic, sparsity: Penalty, nonnegative: bool, tolerance: float, trace: bool) -> None:
        self.smooth, self.sparsity, self.nonnegative = smooth, sparsity, nonnegative
        self.tolerance, self.trace = tolerance, trace
        self.gap: Tensor | None = None
        self.last = float("inf")
        self.energies: list[Tensor] = []

    def by_gradients(self, code: Tensor, most: int, lipschitz: float, momentum: bool) -> Solution:
        self._note(code)
        point, pace = code, code.new_ones(len(code), 1)
        for iteration in range(1, most + 1):
            ahead = self.smooth.step(point, lipschitz)
            if self.nonnegative:
                ahead.clamp_min_(0)
            found = self.sparsity.descend(ahead, point, lipschitz)
            if momentum:
                point, pace = extrapolated(code, found, point, pace)
            else:
                point = found
            code = found
            self._note(code)
            if iteration % CHECK_EVERY == 0 and self._is_done(code):
                break
        if iteration % CHECK_EVERY:
            self._is_done(code)
        return Solution(code, iteration, self.gap, self.energies)

    def by_coordinates(self, code: Tensor, most: int) -> Solution:
        self._note(code)
        gram = self.smooth.full_gram()
        assert isinstance(self.sparsity, L1 | Inhibition)  # `solve` has checked
        for iteration in range(1, most + 1):
            code = sweep(code, self.smooth.linear, gram, self.sparsity, self.nonnegative)
            self._note(code)
            if iteration % SWEEPS_PER_CHECK == 0 and self._is_done(code):
                break
        if iteration % SWEEPS_PER_CHECK:
            self._is_done(code)
        return Solution(code, iteration, self.gap, self.energies)

    def _note(self, code: Tensor) -> None:
        if self.trace:
            self.energies.append(self.smooth.values(code) + self.sparsity.energies(code))

    def _is_done(self, code: Tensor) -> bool:
        if self.tolerance == 0:
            return False
        if self.sparsity.exact_prox:
            energies, self.gap = energies_and_gap(self.smooth, self.sparsity, code, self.nonnegative)
            return bool((self.gap <= self.tolerance * energies + torch.finfo(code.dtype).tiny).all())
        energy = float((self.smooth.values(code) + self.sparsity.energies(code)).sum())
        done = self.last - energy <= self.tolerance * abs(energy)
        self.last = energy
        return done


def extrapolated(before: Tensor, found: Tensor, point: Tensor, pace: Tensor) -> tuple[Tensor, Tensor]:
    """The next point and pace (batch, 1): `found` plus a share of the last step, none where that step turned back."""
    moved = found - before
    turned = ((point - found) * moved).sum(1, keepdim=True) > 0
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
