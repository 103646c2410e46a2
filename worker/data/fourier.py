"""Whitening of whole images in the frequency domain, then by their local contrast.

    y = F⁻¹[ F[x] · r ],   r(f) = f exp(−(f / cutoff)⁴),      out = y / max(s, mean s),   s = √(G ∗ y²)

The amplitudes of natural images fall as 1 / f: r makes them equal up to the cutoff, in cycles per pixel, and leaves out
what lies beyond, where there is mostly noise and what the pixel grid made (Olshausen and Field, Vision Research 37(23),
1997). The image is mirrored at its borders. G is the Gaussian window of `lcn`; colours have one deviation in common.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from worker.data.lcn import Normalised, divisor_of

# What is taken back divides by r no further than by this share of its maximum.
LEAST_RESPONSE = 0.01


@dataclass(frozen=True)
class Filtered(Normalised):
    """`mean` (n, 1, 1, C) is that of the image: r has taken it out."""

    cutoff: float = 0.4

    def undo(self, pixels: Tensor) -> Tensor:
        """Bring `pixels` (n, H, W, C) back to the scale of the images, without what lies beyond the cutoff."""
        filtered = (pixels * self.deviation).double()
        height, width = filtered.shape[1:3]
        r = response(height, width, self.cutoff).to(filtered.device)
        back = r / (r.square() + (LEAST_RESPONSE * r.max()).square())
        return through(filtered, back).float() + self.mean


def whitened(images: Tensor, cutoff: float, sigma: float) -> Filtered:
    """Whiten each of `images` (n, H, W, C) float32 by itself."""
    x = images.double()  # sums then round to the same float32 in a batch of any size
    mean = x.mean((1, 2), keepdim=True)
    height, width = x.shape[1:3]
    y = through(x - mean, response(height, width, cutoff).to(x.device))
    divisor = divisor_of(y, x.abs().amax((1, 2, 3), keepdim=True), sigma)
    pixels = torch.where(divisor > 0, y / divisor, 0)
    return Filtered(pixels.float(), mean.float(), divisor.float(), cutoff)


def response(height: int, width: int, cutoff: float) -> Tensor:
    """r at the frequencies of an image of twice these sides, (2 height, width + 1, 1)"""
    down = torch.fft.fftfreq(2 * height, dtype=torch.float64)[:, None]
    right = torch.fft.rfftfreq(2 * width, dtype=torch.float64)
    radius = torch.hypot(down, right)
    return (radius * torch.exp(-((radius / cutoff) ** 4)))[..., None]


def through(images: Tensor, r: Tensor) -> Tensor:
    """`images` (n, H, W, C), mirrored, with their frequencies multiplied by `r`."""
    height, width = images.shape[1:3]
    tall = torch.cat([images, images.flip(1)], 1)
    whole = torch.cat([tall, tall.flip(2)], 2)
    filtered = torch.fft.irfft2(torch.fft.rfft2(whole, dim=(1, 2)) * r, s=(2 * height, 2 * width), dim=(1, 2))
    own: Tensor = filtered[:, :height, :width]
    return own
