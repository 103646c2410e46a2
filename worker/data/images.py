"""What is done to whole images, before patches are cut: pixels to numbers, color, local contrast normalisation."""

from collections.abc import Iterator

import torch
from torch import Tensor

from pinwheel.specs import Preprocessing
from worker.data.fourier import whitened
from worker.data.lcn import Normalised, lcn
from worker.data.reader import Dataset, Images

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
CHUNK_PIXELS = 2**18


def pixels_of(images: Images) -> Tensor:
    """(n, H, W, C) float32; uint8 becomes value / 255. Raises ValueError for numbers that are not finite."""
    pixels = torch.tensor(images)
    if pixels.dtype == torch.uint8:
        return pixels.float() / 255
    if not torch.isfinite(pixels).all():
        raise ValueError("the images have pixels that are not finite numbers; NaN and infinity are not allowed")
    return pixels


def in_color(pixels: Tensor, spec: Preprocessing) -> Tensor:
    """(n, H, W, C), of one channel with `gray`. Raises ValueError for channels that cannot be made gray."""
    height, width, channels = pixels.shape[1:]
    if spec.input_shape((height, width, channels))[2] == channels:
        return pixels
    red, green, blue = pixels.unbind(3)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[..., None]


def normalised(pixels: Tensor, spec: Preprocessing) -> Normalised:
    """Images (n, H, W, C) in color and, with `lcn` or `fourier`, normalised as a whole."""
    pixels = in_color(pixels, spec)
    if spec.whiten == "lcn":
        return lcn(pixels, spec.lcn_sigma)
    if spec.whiten == "fourier":
        return whitened(pixels, spec.cutoff, spec.lcn_sigma)
    return Normalised(pixels)


def normalised_blocks(dataset: Dataset, rows: Tensor, spec: Preprocessing) -> Iterator[tuple[list[int], Tensor]]:
    """The images at `rows` with their rows, normalised: (n, H, W, C), some of one size at a time."""
    for picked, images in dataset.blocks(rows.numpy(), CHUNK_PIXELS):
        yield picked, normalised(pixels_of(images), spec).pixels
