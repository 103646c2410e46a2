"""What a solver gives back."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Solution:
    """`code` (batch, units); `gap` (batch,) bounds energy − least energy, None without a tolerance or an exact prox;
    `energies` with trace: (batch,) before the first and after every iteration."""

    code: Tensor
    iterations: int
    gap: Tensor | None = None
    energies: list[Tensor] = field(default_factory=list)
