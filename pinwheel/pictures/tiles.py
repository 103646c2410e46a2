"""Filters as tiles of one size for a sheet: small ones enlarged by whole pixels, large ones reduced."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pinwheel.pictures.mosaic import Normalize, Pixels, check_channels, filter_pixels, to_image


@dataclass(frozen=True)
class Tiles:
    """`pixels` (units, height, width, 1 or 3), to be drawn `scale` pixels a side for each; sizes on the sheet."""

    pixels: Pixels
    scale: int

    @property
    def height(self) -> int:
        return int(self.pixels.shape[1]) * self.scale

    @property
    def width(self) -> int:
        return int(self.pixels.shape[2]) * self.scale


def unit_tiles(filters: NDArray[np.floating], longest: int, normalize: Normalize = "per-filter") -> Tiles:
    """`filters` (units, height, width, 1 or 3) with sides of at most `longest` pixels, near it where they are small."""
    height, width, channels = filters.shape[1:]
    check_channels(channels)
    pixels = filter_pixels(filters, normalize)
    if max(height, width) <= longest:
        return Tiles(pixels, longest // max(height, width))
    factor = longest / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = [np.asarray(to_image(tile).resize(size, Image.Resampling.BOX)) for tile in pixels]
    return Tiles(np.stack(small).reshape(len(pixels), size[1], size[0], channels), 1)
