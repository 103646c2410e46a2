"""One pass from input to code: z = g · act(E x + b).

    relu    max(0, v)          the convolutional and group-sparse auto-encoders of the lecture
    shrink  sign(v) max(0, |v| − θ), θ ≥ 0 learned in place of b
    tanh    the predictor of PSD (Kavukcuoglu, Ranzato and LeCun, 2008, arXiv 1010.3467), F = G tanh(E x + b)
    linear  the mean of a noisy code

E is as the connection has it, a matrix or kernels; units that share a filter share b and g too. The gain g (filters,)
is learned where it is asked for, and 1 where it is not: a tanh cannot reach the amplitudes of a code otherwise.
"""

import torch
from torch import Tensor, nn

from worker.sparse.bounds import PerUnit, Rates
from worker.sparse.connections import Connection
from worker.sparse.encoders.encoder import Encoder
from worker.sparse.encoders.shrink import shrink
from worker.sparse.sparsity import Penalty

ACTIVATIONS = ("relu", "shrink", "tanh", "linear")
FIRST_THRESHOLD = 1e-2
# Share of the mean norm of the encoder's rows that a unit begins anew with.
REVIVED_SHARE = 0.2


class Feedforward(Encoder):
    """`encoder` E, one row or kernel for each filter; `bias` b or θ (filters,), `gain` g (filters,) or None."""

    def __init__(
        self, encoder: Tensor, bias: Tensor, gain: Tensor | None, *, activation: str, rate_multiplier: float = 1.0
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is {activation!r}; {', '.join(ACTIVATIONS)} are allowed")
        self.encoder = nn.Parameter(encoder.clone(memory_format=torch.contiguous_format))
        self.bias = nn.Parameter(bias.clone())
        self.gain = None if gain is None else nn.Parameter(gain.clone())
        self.activation = activation
        self.rate_multiplier = rate_multiplier

    @classmethod
    def from_connection(
        cls, connection: Connection, *, activation: str, gain: bool, rate_multiplier: float = 1.0
    ) -> "Feedforward":
        """E = Dᵀ, smaller where units outnumber inputs: an overcomplete D Dᵀ x is that many times x."""
        first = connection.first_encoder()
        bias = first.new_full((len(first),), FIRST_THRESHOLD if activation == "shrink" else 0.0)
        ones = first.new_ones(len(first)) if gain else None
        share = min(1.0, connection.inputs / connection.units)
        return cls(share * first, bias, ones, activation=activation, rate_multiplier=rate_multiplier)

    def encode(self, x: Tensor, connection: Connection, sparsity: Penalty, passes: int | None = None) -> Tensor:
        code, bias = connection.encode(self.encoder, x), connection.spread(self.bias)
        if self.activation == "shrink":
            code = shrink(code, bias)
        else:
            code = code + bias
            if self.activation != "linear":
                code = code.relu() if self.activation == "relu" else code.tanh()
        return code if self.gain is None else code * connection.spread(self.gain)

    def rates(self) -> Rates:
        rates = [(self.encoder, self.rate_multiplier), (self.bias, self.rate_multiplier)]
        return rates if self.gain is None else [*rates, (self.gain, self.rate_multiplier)]

    def per_unit(self) -> PerUnit:
        found: PerUnit = [(self.encoder, 0), (self.bias, 0)]
        return found if self.gain is None else [*found, (self.gain, 0)]

    def project(self) -> None:
        if self.activation == "shrink":
            with torch.no_grad():
                self.bias.clamp_min_(0)

    @torch.no_grad()
    def revive(self, filters: Tensor, connection: Connection) -> None:
        revive_rows_(self.encoder, filters, connection, REVIVED_SHARE)
        self.bias[filters] = 0
        if self.gain is not None:
            self.gain[filters] = self.gain.abs().mean()


@torch.no_grad()
def revive_rows_(encoder: Tensor, filters: Tensor, connection: Connection, share: float) -> None:
    """Rows of `encoder` that look for what these filters write, with this share of the mean norm of all rows."""
    size = share * torch.linalg.vector_norm(encoder.flatten(1), dim=1).mean()
    rows = connection.first_encoder()[filters]
    encoder[filters] = size * nn.functional.normalize(rows.flatten(1), dim=1).view_as(rows)
