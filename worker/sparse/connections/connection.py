"""What every connection is to the rest of the core: the linear maps between inputs and units, and their constraints.

    decode(z) = D z        correlate(x) = Dᵀ x        encode(E, x) = E x

Inputs and codes are rows of numbers, (batch, inputs) and (batch, units), whatever the shape of what they stand for.
Units that share a filter have it once in the dictionary: `filters` counts what is learned, `units` the length of a
code.

Where some pixels are seen by fewer units than others, their errors count less: `coverage` c (inputs,) in (0, 1] weighs
the reconstruction term, 1/2 Σ c (x − D z)², as in Kavukcuoglu et al., NIPS 2010 (the authors' code).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from worker.sparse.bounds import PerUnit, Rates
from worker.sparse.connections.hessian import DiagonalHessian
from worker.sparse.solvers import LinearMap, bound_of


class Connection(nn.Module, ABC):
    """`dictionary` with one filter for each index of its dimension `filter_dim`."""

    filter_dim = 0
    coverage: Tensor | None
    image: tuple[int, int, int]  # (height, width, channels) of an input

    def __init__(self, dictionary: Tensor, max_norm: float, fixed: bool) -> None:
        super().__init__()
        self.dictionary = nn.Parameter(dictionary)
        self.max_norm = max_norm
        self.fixed = fixed
        self.hessian: DiagonalHessian | None = None
        self._known: tuple[tuple[int, int], LinearMap, float] | None = None

    @property
    def filters(self) -> int:
        return int(self.dictionary.shape[self.filter_dim])

    @property
    @abstractmethod
    def inputs(self) -> int:
        """Length of an input."""

    @property
    @abstractmethod
    def units(self) -> int:
        """Length of a code."""

    @property
    @abstractmethod
    def code_shape(self) -> tuple[int, ...]:
        """What a code of `units` numbers is: (units,), or (rows, columns, units at a position)."""

    @abstractmethod
    def decode(self, code: Tensor, dictionary: Tensor | None = None) -> Tensor:
        """(batch, units) → (batch, inputs), by another dictionary of the same shape where one is given."""

    @abstractmethod
    def correlate(self, x: Tensor, dictionary: Tensor | None = None) -> Tensor:
        """The adjoint of `decode`: (batch, inputs) → (batch, units)"""

    @abstractmethod
    def encode(self, encoder: Tensor, x: Tensor) -> Tensor:
        """(batch, inputs) → (batch, units) by the rows of `encoder`, one for each filter."""

    @abstractmethod
    def first_encoder(self) -> Tensor:
        """Rows of an encoder that do what `correlate` does."""

    @abstractmethod
    def pictures(self, weights: Tensor) -> Tensor:
        """(filters, height, width, channels) of weights in the shape of an encoder."""

    def spread(self, values: Tensor) -> Tensor:
        """(filters,) → (units,): of each unit the value of its filter."""
        return values

    def gathered(self, values: Tensor) -> Tensor:
        """(…, units) → (…, filters): the sum over all units with one filter."""
        return values

    @property
    def uses(self) -> int:
        """Units with one filter."""
        return self.units // self.filters

    @abstractmethod
    def linear_map(self) -> LinearMap:
        """The maps of the dictionary as it is now, for many uses."""

    def known(self) -> tuple[LinearMap, float]:
        """`linear_map` and a bound of λ_max(Dᵀ c D), made once for each state of the dictionary."""
        state = (self.dictionary._version, self.dictionary.data_ptr())
        if self._known is None or self._known[0] != state:
            with torch.no_grad():
                linear_map = self.linear_map()
                self._known = (state, linear_map, bound_of(linear_map))
        return self._known[1:]

    def forget(self) -> None:
        """What is known of the dictionary: it was changed in a way that torch does not count."""
        self._known = None

    def weighed(self, x: Tensor) -> Tensor:
        """c x, (batch, inputs): what the energy counts of each pixel"""
        return x if self.coverage is None else x * self.coverage

    def errors(self, x: Tensor, reconstruction: Tensor) -> Tensor:
        """1/2 Σ c (x − reconstruction)², (batch,)"""
        return 0.5 * self.weighed((x - reconstruction).square()).sum(1)

    def rates(self) -> Rates:
        return [(self.dictionary, 1.0)] if self.hessian is None else []

    def step(self, code: Tensor, factor: float) -> None:
        """Where Adam does not update the dictionary: take the step that its gradient asks for, times `factor`."""
        if self.hessian is not None and self.dictionary.grad is not None:
            self.hessian.step(self, code, factor)

    def per_unit(self) -> PerUnit:
        return [(self.dictionary, self.filter_dim)]

    @abstractmethod
    def norms(self) -> Tensor:
        """(filters,)"""

    @torch.no_grad()
    def project(self) -> None:
        """Bring the norm of every filter to `max_norm` where they are fixed, else at most there."""
        norms = self.norms()
        shares = torch.where(norms > 0, self.max_norm / norms, 0)
        self.scale_(shares if self.fixed else shares.clamp_max(1.0))

    @abstractmethod
    def scale_(self, factors: Tensor) -> None:
        """Multiply every filter by its factor (filters,), in place."""

    @abstractmethod
    def revive(self, filters: Tensor, examples: Tensor) -> None:
        """Give silent `filters` (k,) directions from `examples` (k, inputs), as long as filters are."""

    @abstractmethod
    def curvature_of(self, code: Tensor, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """Multiplication with the Hessian of the energy in the dictionary for these codes (batch, units), scaled on
        both sides by `weights` (filters,), of vectors in whatever shape the connection keeps them."""
