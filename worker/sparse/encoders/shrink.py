"""The two-sided soft threshold of encoders, with a threshold for each unit."""

import torch
from torch import Tensor


def shrink(value: Tensor, threshold: Tensor) -> Tensor:
    """sign(v) max(0, |v| − θ) of `value` (batch, units) and θ ≥ 0 (units,); differentiable in both."""
    return value - torch.maximum(torch.minimum(value, threshold), -threshold)
