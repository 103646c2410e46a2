"""Dense connection: every unit sees every input.

    decode(z) = D z,   ‖d_j‖₂ ≤ max_norm, or ‖d_j‖₂ = max_norm

Rolfe and LeCun, ICLR 2013, section 2, bound the columns; sparse coding fixes them (Kavukcuoglu, Ranzato and LeCun,
2008), since a code could otherwise shrink for nothing. Initialisation as in the
authors' code: uniform noise plus a quarter of a training input per column, then every column to norm 1; without the
inputs some units never learn, with more of them many learn slowly.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from worker.sparse.connections.connection import Connection
from worker.sparse.connections.hessian import DiagonalHessian
from worker.sparse.solvers import LinearMap, Matrix

TEMPLATE_SHARE = 0.25
POWER_ITERATIONS = 3


class Dense(Connection):
    """`dictionary` (inputs, units): columns are units. Their L2 norms are at most `max_norm`, or it where `fixed`.

    With `update_rate` the dictionary takes diagonal second-order steps instead of Adam's. `image` (height, width,
    channels) is what an input stands for, where it is a picture.
    """

    filter_dim = 1
    coverage = None

    def __init__(
        self,
        dictionary: Tensor,
        max_norm: float = 1.0,
        *,
        fixed: bool = False,
        update_rate: float | None = None,
        image: tuple[int, int, int] | None = None,
    ) -> None:
        # each column contiguous in memory: norms of columns, taken after every update, are then nine times as fast
        super().__init__(dictionary.t().clone(memory_format=torch.contiguous_format).t(), max_norm, fixed)
        self.image = image or (1, len(dictionary), 1)
        if update_rate is not None:
            first = torch.full((self.units,), self.units**-0.5)
            self.hessian = DiagonalHessian(self.units, first, update_rate, POWER_ITERATIONS)

    @property
    def inputs(self) -> int:
        return int(self.dictionary.shape[0])

    @property
    def units(self) -> int:
        return int(self.dictionary.shape[1])

    @property
    def code_shape(self) -> tuple[int, ...]:
        return (self.units,)

    def decode(self, code: Tensor, dictionary: Tensor | None = None) -> Tensor:
        return code @ (self.dictionary if dictionary is None else dictionary).t()

    def correlate(self, x: Tensor, dictionary: Tensor | None = None) -> Tensor:
        return x @ (self.dictionary if dictionary is None else dictionary)

    def encode(self, encoder: Tensor, x: Tensor) -> Tensor:
        return x @ encoder.t()

    def first_encoder(self) -> Tensor:
        return self.dictionary.detach().t()

    def pictures(self, weights: Tensor) -> Tensor:
        return weights.reshape(-1, *self.image)

    def linear_map(self) -> LinearMap:
        return Matrix(self.dictionary.detach())

    def norms(self) -> Tensor:
        norms: Tensor = torch.linalg.vector_norm(self.dictionary.detach(), dim=0)
        return norms

    def scale_(self, factors: Tensor) -> None:
        self.dictionary.mul_(factors)

    @torch.no_grad()
    def revive(self, filters: Tensor, examples: Tensor) -> None:
        length = self.max_norm if self.fixed else self.norms().mean()
        self.dictionary[:, filters] = length * torch.nn.functional.normalize(examples, dim=1).t()

    def curvature_of(self, code: Tensor, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """The same for every input: a vector is (units,)."""
        scaled = code * weights
        return lambda vector: scaled.t() @ (scaled @ vector) / len(scaled)


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
