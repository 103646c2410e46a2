"""Encoders that learn to predict the codes that a solver finds: PSD, and LISTA with a recurrent predictor.

    z* = argmin_z 1/2 ‖x − D z‖² + sparsity(z) + weight/2 ‖z − F(x)‖²,   started at F(x)

Kavukcuoglu, Ranzato and LeCun, 2008, arXiv 1010.3467 (F = G tanh(E x + b), the paper infers with the prediction term);
Gregor and LeCun, ICML 2010 (F unrolled passes, codes inferred without it: `coupled` false). Encoding takes F(x) alone.
"""

from typing import TypeAlias

import torch
from torch import Tensor

from worker.sparse.bounds import PerUnit, Rates
from worker.sparse.connections import Connection
from worker.sparse.encoders.encoder import Encoder, Inferred
from worker.sparse.encoders.exact import Settings
from worker.sparse.encoders.feedforward import Feedforward
from worker.sparse.encoders.recurrent import Recurrent
from worker.sparse.encoders.recurrent_fields import RecurrentFields
from worker.sparse.sparsity import Penalty

Predictor: TypeAlias = Feedforward | Recurrent | RecurrentFields


class PredictRefine(Encoder):
    """`predictor` F; `weight` of its error in the energy; `coupled`: whether that error holds the code back too."""

    def __init__(self, predictor: Predictor, settings: Settings, *, weight: float = 1.0, coupled: bool = True) -> None:
        super().__init__()
        self.predictor = predictor
        self.settings = settings
        self.weight = weight
        self.coupled = coupled

    def encode(self, x: Tensor, connection: Connection, sparsity: Penalty, passes: int | None = None) -> Tensor:
        return self.predictor.encode(x, connection, sparsity, passes)

    def infer(self, x: Tensor, seen: Tensor, connection: Connection, sparsity: Penalty) -> Inferred:
        prediction = self.predictor.encode(seen, connection, sparsity)
        target = prediction.detach()
        solution = self.settings.solve(
            x,
            connection,
            sparsity,
            start=target,
            prediction=target if self.coupled else None,
            weight=self.weight,
        )
        return Inferred(solution.code, prediction)

    def exact(self, x: Tensor, connection: Connection, sparsity: Penalty) -> Tensor:
        """Codes (batch, units) without any prediction: what a dictionary is learned from before the predictor is."""
        return self.settings.solve(x, connection, sparsity).code

    def penalty(self, inferred: Inferred) -> Tensor:
        """weight/2 ‖z* − F(x)‖², the mean over the batch; its gradient reaches the predictor alone."""
        assert inferred.prediction is not None
        error = inferred.prediction - inferred.code
        return 0.5 * self.weight * error.square().sum() / len(error)

    def rates(self) -> Rates:
        return self.predictor.rates()

    def per_unit(self) -> PerUnit:
        return self.predictor.per_unit()

    def project(self) -> None:
        self.predictor.project()

    def tie(self, connection: Connection) -> None:
        self.predictor.tie(connection)

    @torch.no_grad()
    def revive(self, filters: Tensor, connection: Connection) -> None:
        self.predictor.revive(filters, connection)
