"""The recurrent encoder of connections with filters on an image: T unrolled passes that explain away through pixels.

    z¹ = h(E c x),   zᵗ⁺¹ = h(zᵗ + E c (x − B zᵗ)),   code = zᵀ
    h(v) = max(0, v − b), or sign(v) max(0, |v| − b) where codes are signed

with the weights c of the pixels in the energy (the `coverage` of a connection).

LISTA (Gregor and LeCun, ICML 2010) with S = I − E c B: between units with fields on an image S would be as many numbers
as units that overlap, and B, one filter for each unit, says the same by what they write (H. Sreter and R. Giryes,
Learned convolutional sparse coding, ICASSP 2018). E = Dᵀ/L, B = D and b = λ/L are ISTA; `random` begins with B = 0.
"""

import torch
from torch import Tensor, nn

from worker.sparse.bounds import FILTER_DIMS, PerUnit, Rates
from worker.sparse.connections import Connection
from worker.sparse.encoders.encoder import Encoder
from worker.sparse.encoders.feedforward import revive_rows_
from worker.sparse.encoders.shrink import shrink
from worker.sparse.encoders.tied import tie_rows_
from worker.sparse.sparsity import Penalty

# Share of the mean norm of the encoder's filters that a unit begins anew with.
REVIVED_SHARE = 0.5


class RecurrentFields(Encoder):
    """`encoder` E and `explaining_away` B (filters, channels, size, size), `bias` b (filters,)."""

    def __init__(
        self,
        encoder: Tensor,
        explaining_away: Tensor,
        bias: Tensor,
        *,
        passes: int,
        total_step: float | None,
        signed: bool,
        tied: bool = False,
        rate_multiplier: float,
        bias_rate_multiplier: float,
    ) -> None:
        super().__init__()
        self.encoder = nn.Parameter(encoder.clone(memory_format=torch.contiguous_format))
        self.explaining_away = nn.Parameter(explaining_away.clone(memory_format=torch.contiguous_format))
        self.bias = nn.Parameter(bias.clone())
        self.passes = passes
        self.max_norm = None if total_step is None else total_step / max(1, passes - 1)
        self.signed = signed
        self.tied = tied
        self.rate_multiplier = rate_multiplier
        self.bias_rate_multiplier = bias_rate_multiplier

    def encode(self, x: Tensor, connection: Connection, sparsity: Penalty, passes: int | None = None) -> Tensor:
        bias = connection.spread(self.bias)
        drive = connection.encode(self.encoder, connection.weighed(x))
        code = self._shrunk(drive, bias)
        for _ in range((passes or self.passes) - 1):
            written = connection.decode(code, self.explaining_away)
            explained = connection.encode(self.encoder, connection.weighed(written))
            code = self._shrunk(drive + code - explained, bias)
        return code

    def _shrunk(self, value: Tensor, bias: Tensor) -> Tensor:
        return shrink(value, bias) if self.signed else (value - bias).relu()

    def rates(self) -> Rates:
        shared = self.rate_multiplier
        return [(self.encoder, shared), (self.explaining_away, shared), (self.bias, self.bias_rate_multiplier)]

    def per_unit(self) -> PerUnit:
        return [(self.encoder, 0), (self.explaining_away, 0), (self.bias, 0)]

    @torch.no_grad()
    def project(self) -> None:
        if self.max_norm is not None:
            norms = torch.linalg.vector_norm(self.encoder, dim=FILTER_DIMS, keepdim=True)
            self.encoder.mul_((self.max_norm / norms).clamp_max(1))
        if self.signed:
            self.bias.clamp_min_(0)

    def tie(self, connection: Connection) -> None:
        if self.tied:
            tie_rows_(self.encoder, connection)

    @torch.no_grad()
    def revive(self, filters: Tensor, connection: Connection) -> None:
        revive_rows_(self.encoder, filters, connection, REVIVED_SHARE)
        self.explaining_away[filters] = connection.first_encoder()[filters]
        self.bias[filters] = self.bias.mean()
