"""Dense connection: every unit sees every input.

    decode(z) = D z,   ‖d_j‖₂ ≤ max_norm, or ‖d_j‖₂ = max_norm

Rolfe and LeCun, ICLR 2013, section 2, bound the columns; sparse coding fixes them (Kavukcuoglu, Ranzato and LeCun,
2008), since a code could otherwise shrink for nothing. Initialisation as in the
authors' code: uniform noise plus a quarter of a training input per column, then every column to norm 1; without the
inputs some units never learn, with more of them many learn slowly.
"""

import torch
from torch import Tensor, nn

from worker.sparse.bounds import PerUnit, Rates, bound_norms_, fix_norms_
from worker.sparse.connections.hessian import DiagonalHessian

TEMPLATE_SHARE = 0.25


class Dense(nn.Module):
    """`dictionary` (inputs, units): columns are units. Their L2 norms are at most `max_norm`, or it where `fixed`.

    With `update_rate` the dictionary takes diagonal second-order steps instead of Adam's.
    """

    def __init__(
        self, dictionary: Tensor, max_norm: float = 1.0, *, fixed: bool = False, update_rate: float | None = None
    ) -> None:
        super().__init__()
        # each column contiguous in memory: norms of columns, taken after every update, are then nine times as fast
        self.dictionary = nn.Parameter(dictionary.t().clone(memory_format=torch.contiguous_format).t())
        self.max_norm = max_norm
        self.fixed = fixed
        self.hessian = None if update_rate is None else DiagonalHessian(dictionary.shape[1], update_rate)

    def decode(self, code: Tensor) -> Tensor:
        """(batch, units) → (batch, inputs)"""
        return code @ self.dictionary.t()

    def rates(self) -> Rates:
        return [(self.dictionary, 1.0)] if self.hessian is None else []

    def step(self, code: Tensor, factor: float) -> None:
        """Where Adam does not update the dictionary: take the step that its gradient asks for, times `factor`."""
        if self.hessian is not None and self.dictionary.grad is not None:
            self.hessian.step(self.dictionary, code, factor)

    def per_unit(self) -> PerUnit:
        return [(self.dictionary, 1)]

    def project(self) -> None:
        if self.fixed:
            fix_norms_(self.dictionary, 0, self.max_norm)
        else:
            bound_norms_(self.dictionary, 0, self.max_norm)

    @torch.no_grad()
    def revive(self, units: Tensor, examples: Tensor) -> None:
        """Give silent `units` (k,) the directions of `examples` (k, inputs) as columns, as long as columns are."""
        length = self.max_norm if self.fixed else torch.linalg.vector_norm(self.dictionary, dim=0).mean()
        self.dictionary[:, units] = length * torch.nn.functional.normalize(examples, dim=1).t()


def draw_dictionary(examples: Tensor, units: int, generator: torch.Generator) -> Tensor:
    """A first dictionary (inputs, units) with columns of norm 1, from `examples` (n, inputs), n ≥ 1.

    The columns take the examples in turn, each scaled to norm 1 (an example of zeros adds nothing).
    """
    inputs = examples.shape[1]
    limit = units**-0.5
    noise = torch.empty(inputs, units, dtype=examples.dtype).uniform_(-limit, limit, generator=generator)
    in_turn = examples[torch.arange(units) % len(examples)]
    templates = torch.nn.functional.normalize(in_turn, dim=1).t()
    return torch.nn.functional.normalize(noise + TEMPLATE_SHARE * templates, dim=0)
