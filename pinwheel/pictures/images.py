"""Pictures of images rather than of filters: a data set's preview, and inputs above their reconstructions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pinwheel.errors import InvalidRequest
from pinwheel.pictures.mosaic import GAP, MAX_SCALE, TILE_PIXELS, tile, to_image

Pixels = NDArray[np.uint8]
Images = NDArray[np.uint8] | NDArray[np.floating]
MAX_GRID_IMAGES = 400
GRID_TILE = 112


def image_pixels(images: Images) -> Pixels:
    """Images to gray levels: uint8 as they are; floats from 0 (black) to 1 (white), cut off outside."""
    if images.dtype == np.uint8:
        return images.astype(np.uint8, copy=False)
    return np.rint(np.clip(np.nan_to_num(images.astype(np.float32)), 0, 1) * 255).astype(np.uint8)


def comparison(inputs: Images, reconstructions: Images, *, scale: int | None = None, pad: int = 2) -> Pixels:
    """Three rows: `inputs`, `reconstructions` (each (items, height, width, 1 or 3)), and half their difference.

    Values are uint8, or floats where 0 is black and 1 is white. A difference of zero is mid-gray.
    """
    if inputs.shape != reconstructions.shape:
        raise InvalidRequest(
            f"Inputs are {inputs.shape} and reconstructions {reconstructions.shape}; they must be alike."
        )
    above, below = image_pixels(inputs), image_pixels(reconstructions)
    # Half the difference: the whole range from −255 to 255 fits, and equal differences look equal in every tile.
    difference = (128 + (above.astype(np.int16) - below) // 2).astype(np.uint8)
    enlarge = scale or max(1, min(MAX_SCALE, TILE_PIXELS // max(inputs.shape[1:3])))
    return tile(np.concatenate([above, below, difference]), cols=len(inputs), scale=enlarge, pad=pad)


def image_grid(images: Sequence[Images], *, cols: int | None = None, side: int | None = None, pad: int = 2) -> Pixels:
    """A mosaic of the first `MAX_GRID_IMAGES` images, each (height, width, channels) of any size, in square tiles.

    Small images are enlarged by whole pixels, large ones reduced with a smoothing filter; neither is distorted.
    Float images whose values leave 0 … 1 are drawn from their lowest to their highest value.
    """
    shown = [_drawable(image) for image in images[:MAX_GRID_IMAGES]]
    if not shown:
        return np.full((GRID_TILE, GRID_TILE, 1), GAP, np.uint8)
    largest = max(max(image.shape[:2]) for image in shown)
    frame = side or (GRID_TILE if largest > TILE_PIXELS else largest * (TILE_PIXELS // largest))
    channels = max(image.shape[2] for image in shown)
    tiles = np.stack([_fit(image, frame, channels) for image in shown])
    return tile(tiles, cols or int(np.ceil(np.sqrt(len(tiles)))), 1, pad)


def _drawable(image: Images) -> Pixels:
    """Any number of channels to 1 or 3, any range of values to 0 … 255."""
    if image.shape[2] not in (1, 3):
        image = image[..., :3] if image.shape[2] > 3 else image[..., :1]
    if image.dtype == np.uint8:
        return image_pixels(image)
    values = np.nan_to_num(image.astype(np.float32))
    low, high = float(values.min(initial=0.0)), float(values.max(initial=1.0))
    if low < 0 or high > 1:
        values = (values - values.min()) / max(float(np.ptp(values)), np.finfo(np.float32).tiny)
    return image_pixels(values)


def _fit(image: Pixels, frame: int, channels: int) -> Pixels:
    """One image in the middle of a square tile."""
    height, width = image.shape[:2]
    longest = max(height, width)
    size = _fitted_size(height, width, frame)
    filter_ = Image.Resampling.NEAREST if longest <= frame else Image.Resampling.BOX
    resized = np.asarray(to_image(image).resize((size[1], size[0]), filter_))
    resized = resized.reshape(*size, image.shape[2])
    canvas = np.full((frame, frame, channels), GAP, np.uint8)
    top, left = (frame - size[0]) // 2, (frame - size[1]) // 2
    canvas[top : top + size[0], left : left + size[1]] = resized  # gray spreads over three channels
    return canvas


def _fitted_size(height: int, width: int, frame: int) -> tuple[int, int]:
    longest = max(height, width)
    if longest <= frame:
        times = frame // longest
        return height * times, width * times
    return max(1, round(height * frame / longest)), max(1, round(width * frame / longest))
