"""What solvers need of a dictionary: to apply it, and its adjoint.

Where inputs do not count alike, `correlate` is Dᵀ c and `half_squares` 1/2 Σ c x², with the weights c (inputs,).
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class LinearMap(ABC):
    """`inputs` and `units` are the lengths of its rows; `first` (1, units) is a code to begin a search with."""

    inputs: int
    units: int

    @abstractmethod
    def decode(self, code: Tensor) -> Tensor:
        """(batch, units) → (batch, inputs)"""

    @abstractmethod
    def correlate(self, x: Tensor) -> Tensor:
        """(batch, inputs) → (batch, units)"""

    @property
    @abstractmethod
    def first(self) -> Tensor: ...

    def half_squares(self, x: Tensor) -> Tensor:
        """(batch,)"""
        return 0.5 * x.square().sum(1)

    def gram(self) -> Tensor | None:
        """(units, units), where it is a matrix that can be kept."""
        return None

    def weighed(self, x: Tensor) -> Tensor:
        """c x, of any shape that ends in `inputs`"""
        return x

    def columns(self, units: Tensor) -> tuple[Tensor, Tensor]:
        """Of `units` (n,) the places they write to (n, reach) and the numbers they write there (n, reach), without c;
        places that there are not have the number zero."""
        raise NotImplementedError(f"{type(self).__name__} does not know its columns one by one")

    def blocks(self, x: Tensor) -> Tensor:
        """Dᵀ c x of one input (1, inputs), in blocks of units that see about the same: (blocks, members), zero where
        there is no unit."""
        return self.correlate(x).view(-1, 1)

    def unit_at(self, blocks: Tensor, members: Tensor) -> Tensor:
        """(n,) the units at these places of `blocks`"""
        return blocks


class Matrix(LinearMap):
    """`dictionary` (inputs, units)."""

    def __init__(self, dictionary: Tensor) -> None:
        self.dictionary = dictionary
        self.inputs, self.units = dictionary.shape

    def decode(self, code: Tensor) -> Tensor:
        return code @ self.dictionary.t()

    def correlate(self, x: Tensor) -> Tensor:
        return x @ self.dictionary

    @property
    def first(self) -> Tensor:
        return waves(self.units, self.dictionary)

    def gram(self) -> Tensor:
        return self.dictionary.t() @ self.dictionary

    def columns(self, units: Tensor) -> tuple[Tensor, Tensor]:
        every = torch.arange(self.inputs, device=units.device)
        return every.expand(len(units), -1), self.dictionary.t()[units]


def waves(count: int, like: Tensor) -> Tensor:
    """(1, count) numbers that look like none of the vectors that occur"""
    return torch.cos(torch.arange(1, count + 1, dtype=like.dtype, device=like.device))[None]
