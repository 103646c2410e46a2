"""Local contrast normalisation of whole images (Jarrett, Kavukcuoglu, Ranzato and LeCun, ICCV 2009).

    v = x − G ∗ x,   s = √(G ∗ v²),   y = v / max(s, mean s)

G is a Gaussian window; mean s is that of the image. Where we differ: colours have a local mean each and one deviation
in common, so that they are not turned into each other; what differs from its surroundings by rounding alone is 0.
Borders are mirrored without repeating the outermost pixel.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

REACH = 3  # the window ends at this many σ
FLAT = 1e-5  # share of the largest pixel below which a deviation is rounding


@dataclass(frozen=True)
class Normalised:
    """`pixels` (n, H, W, C) = (image − mean) / deviation, and these two, which `undo` takes it back by."""

    pixels: Tensor
    mean: Tensor | float = 0.0  # (n, H, W, C)
    deviation: Tensor | float = 1.0  # (n, H, W, 1)

    def undo(self, pixels: Tensor) -> Tensor:
        """Bring `pixels` (n, H, W, C), a reconstruction for example, back to the scale of the images."""
        return pixels * self.deviation + self.mean


def lcn(images: Tensor, sigma: float) -> Normalised:
    """Normalise each of `images` (n, H, W, C) float32 by itself."""
    # in float64: sums over the window then round to the same float32 in a batch of any size
    x = images.double()
    mean = smoothed(x, sigma)
    difference = x - mean
    divisor = divisor_of(difference, x.abs().amax((1, 2, 3), keepdim=True), sigma)
    y = torch.where(divisor > 0, difference / divisor, 0)
    return Normalised(y.float(), mean.float(), divisor.float())


def divisor_of(differences: Tensor, largest: Tensor, sigma: float) -> Tensor:
    """max(s, mean s) of `differences` (n, H, W, C), (n, H, W, 1); 0 where that is rounding beside `largest`."""
    deviation = smoothed(differences.square().mean(3, keepdim=True), sigma).sqrt()
    divisor = torch.maximum(deviation, deviation.mean((1, 2), keepdim=True))
    return torch.where(divisor > FLAT * largest, divisor, 0)


def smoothed(images: Tensor, sigma: float) -> Tensor:
    """G ∗ images, (n, H, W, C), one axis after the other."""
    return _along(_along(images, 1, sigma), 2, sigma)


def _along(images: Tensor, axis: int, sigma: float) -> Tensor:
    length, reach = images.shape[axis], math.ceil(REACH * sigma)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    window = torch.exp(-0.5 * (offsets / sigma).square())
    window /= window.sum()
    padded = images.index_select(axis, mirrored(length, reach).to(images.device))
    out = torch.zeros_like(images)
    for start, weight in enumerate(window.tolist()):
        out.add_(padded.narrow(axis, start, length), alpha=weight)
    return out


def mirrored(length: int, reach: int) -> Tensor:
    """Indices of −reach..length + reach − 1 on an axis that is mirrored at both ends, as often as it takes."""
    if length == 1:
        return torch.zeros(length + 2 * reach, dtype=torch.int64)
    last = length - 1
    return (torch.arange(-reach, length + reach) % (2 * last) - last).abs().neg() + last
