"""L2 norms kept by projection, v ← v · min(1, maximum / ‖v‖); and lists of parameters."""

from typing import TypeAlias

import torch
from torch import Tensor

Rates: TypeAlias = list[tuple[torch.nn.Parameter, float]]
PerUnit: TypeAlias = list[tuple[torch.nn.Parameter, int]]
# of filters (filters, channels, height, width): all but the first
FILTER_DIMS = (1, 2, 3)


@torch.no_grad()
def bound_norms_(matrix: Tensor, dim: int, maximum: float) -> None:
    """Shorten, in place, every vector along `dim` that is longer than `maximum`; the others are not touched."""
    lengths = torch.linalg.vector_norm(matrix, dim=dim, keepdim=True)
    matrix.mul_(lengths.reciprocal_().mul_(maximum).clamp_max_(1.0))
