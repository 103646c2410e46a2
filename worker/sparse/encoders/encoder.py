"""What every encoder is to the rest of the core: it finds a code for an input, given a connection and a sparsity."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from worker.sparse.bounds import PerUnit, Rates
from worker.sparse.connections import Connection
from worker.sparse.sparsity import Penalty


@dataclass(frozen=True)
class Inferred:
    """While training: the `code` (batch, units) that is decoded and, where an encoder learns from the codes that a
    solver finds, its own `prediction` of them, which is what it answers later."""

    code: Tensor
    prediction: Tensor | None = None

    @property
    def answer(self) -> Tensor:
        """What `encode` gives."""
        return self.code if self.prediction is None else self.prediction


class Encoder(nn.Module, ABC):
    @abstractmethod
    def encode(self, x: Tensor, connection: Connection, sparsity: Penalty, passes: int | None = None) -> Tensor:
        """(batch, inputs) → codes (batch, units). `passes`: for encoders with passes, instead of the trained number."""

    def infer(self, x: Tensor, seen: Tensor, connection: Connection, sparsity: Penalty) -> Inferred:
        """Codes to learn from; the encoder itself sees `seen`, a version of `x` (batch, inputs) with inputs hidden."""
        return Inferred(self.encode(seen, connection, sparsity))

    def rates(self) -> Rates:
        """Parameters with their learning rates, relative to the base."""
        return []

    def per_unit(self) -> PerUnit:
        """Parameters with the dimension that counts the units."""
        return []

    def project(self) -> None:
        """Back into the constraints, after an update."""

    def tie(self, connection: Connection) -> None:
        """Keep what is tied to the dictionary on it, after an update in which labels took no part."""

    def revive(self, filters: Tensor, connection: Connection) -> None:
        """Let silent `filters` (k,) begin anew from their new columns of the dictionary."""
