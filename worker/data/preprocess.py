"""What is done to each input before a model sees it, and how it is undone.

    none       x
    unit-norm  x / ‖x‖₂                an input of zeros stays zero
    standard   (x − mean x) / std x    a constant input becomes zero

Each input is scaled by itself: nothing is fitted, and an encode needs no statistics of the training data.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from worker.data.reader import Images

Scale: TypeAlias = Literal["none", "unit-norm", "standard"]


@dataclass(frozen=True)
class Scaled:
    """`x` (n, inputs) = (original − shift) / factor, with `shift` and `factor` (n, 1); where a factor is 0, x is 0."""

    x: Tensor
    shift: Tensor
    factor: Tensor

    def undo(self, x: Tensor) -> Tensor:
        """Bring `x` (n, inputs), a reconstruction for example, back to the scale of the originals."""
        return x * self.factor + self.shift


def as_inputs(images: Images) -> Tensor:
    """(n, H, W, C) → (n, H·W·C) float32; uint8 becomes value / 255."""
    inputs = torch.tensor(images).reshape(len(images), -1)
    return inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs


def scaled(inputs: Tensor, scale: Scale) -> Scaled:
    """Scale each row of `inputs` (n, inputs)."""
    shift, factor = inputs.new_zeros(len(inputs), 1), inputs.new_ones(len(inputs), 1)
    if scale == "unit-norm":
        factor = torch.linalg.vector_norm(inputs, dim=1, keepdim=True)
    if scale == "standard":
        shift = inputs.mean(1, keepdim=True)
        # a constant row differs from its mean by rounding alone
        spread = (inputs - shift).square().mean(1, keepdim=True).sqrt()
        factor = torch.where(spread > 1e-6 * shift.abs(), spread, 0)
    x = (inputs - shift) / torch.where(factor > 0, factor, 1)
    return Scaled(torch.where(factor > 0, x, 0), shift, factor)
