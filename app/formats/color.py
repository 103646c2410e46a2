"""Gray and colour. Luma is that of ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.formats.options import Color
from pinwheel.errors import InvalidDataset

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def in_color(images: NDArray[Any], color: Color) -> NDArray[Any]:
    """Images (…, C) with 1 channel for gray, 3 for rgb, C for keep. `InvalidDataset` for other C than 1 and 3."""
    channels = images.shape[-1]
    wanted = {"gray": 1, "rgb": 3, "keep": channels}[color]
    if channels == wanted:
        return images
    if channels not in (1, 3):
        raise InvalidDataset(f"color={color} needs images of 1 or 3 channels; these have {channels}.")
    return to_gray(images) if wanted == 1 else np.repeat(images, 3, axis=-1)


def to_gray(images: NDArray[Any]) -> NDArray[Any]:
    """(…, 3) → (…, 1), of the same number format."""
    gray = images @ LUMA
    if images.dtype == np.uint8:
        return np.rint(gray).astype(np.uint8)[..., None]
    return gray.astype(np.float32)[..., None]
