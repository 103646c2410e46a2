"""L2 norms kept by projection: v ← v · min(1, maximum / ‖v‖), or v ← v · length / ‖v‖; and lists of parameters."""

from typing import TypeAlias

import torch
from torch import Tensor

Rates: TypeAlias = list[tuple[torch.nn.Parameter, float]]
PerUnit: TypeAlias = list[tuple[torch.nn.Parameter, int]]


@torch.no_grad()
def bound_norms_(matrix: Tensor, dim: int, maximum: float) -> None:
    """Shorten, in place, every vector along `dim` that is longer than `maximum`; the others are not touched."""
    lengths = torch.linalg.vector_norm(matrix, dim=dim, keepdim=True)
    matrix.mul_(lengths.reciprocal_().mul_(maximum).clamp_max_(1.0))


@torch.no_grad()
def fix_norms_(matrix: Tensor, dim: int, length: float) -> None:
    """Bring, in place, every vector along `dim` to one length; vectors of zeros stay."""
    lengths = torch.linalg.vector_norm(matrix, dim=dim, keepdim=True)
    matrix.mul_(torch.where(lengths > 0, length / lengths, 0))
