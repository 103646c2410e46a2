"""The exact encoder: the code of least energy, found by a solver; it has nothing to learn.

    z* = argmin_z 1/2 ‖x − D z‖² + sparsity(z)

Olshausen and Field, Nature 381, 1996. With the code at its minimum, the gradient of the energy with respect to D is
that at fixed z*.
"""

from dataclasses import dataclass

from torch import Tensor

from worker.sparse.connections import Connection
from worker.sparse.encoders.encoder import Encoder
from worker.sparse.solvers import Solution, solve
from worker.sparse.sparsity import Penalty


@dataclass(frozen=True)
class Settings:
    """How a solver is run: `method`, `max_iterations`, `tolerance` as in `worker.sparse.solvers.solve`."""

    sign: str = "signed"
    method: str = "fista"
    max_iterations: int = 100
    tolerance: float = 1e-3

    def solve(
        self,
        x: Tensor,
        connection: Connection,
        sparsity: Penalty,
        *,
        start: Tensor | None = None,
        prediction: Tensor | None = None,
        weight: float = 0.0,
    ) -> Solution:
        # an active set measures its own steps, among few units
        alone = self.method == "active-set"
        linear_map, lipschitz = (connection.linear_map(), None) if alone else connection.known()
        return solve(
            x,
            linear_map,
            sparsity,
            sign=self.sign,
            method=self.method,
            max_iterations=self.max_iterations,
            tolerance=self.tolerance,
            start=start,
            prediction=prediction,
            prediction_weight=weight,
            lipschitz=lipschitz,
        )


class Exact(Encoder):
    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def encode(self, x: Tensor, connection: Connection, sparsity: Penalty, passes: int | None = None) -> Tensor:
        return self.settings.solve(x, connection, sparsity).code
