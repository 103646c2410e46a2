"""Pixels to files: PNG with text chunks, and WebP without loss."""

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pinwheel.errors import InvalidRequest

MAX_WEBP_SIDE = 16_383  # the format has 14 bits for each side
Pixels = NDArray[np.uint8]


def encode_png(pixels: Pixels, text: Mapping[str, str] | None = None) -> bytes:
    """`pixels` (height, width, 1 or 3) as a PNG file; `text` goes into tEXt chunks (iTXt where it is not Latin-1)."""
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value)
    buffer = io.BytesIO()
    to_image(pixels).save(buffer, "PNG", pnginfo=chunks, compress_level=6)
    return buffer.getvalue()


def encode_webp(pixels: Pixels) -> bytes:
    """`pixels` (height, width, 1 or 3) as a lossless WebP file. Raises `InvalidRequest` where a side is too long."""
    height, width = pixels.shape[:2]
    if max(height, width) > MAX_WEBP_SIDE:
        raise InvalidRequest(
            f"WebP holds at most {MAX_WEBP_SIDE} pixels a side and this picture has {width} × {height}; "
            "ask for png, or for a smaller scale."
        )
    buffer = io.BytesIO()
    # Full effort takes minutes on a large picture for a few per cent.
    to_image(pixels).save(buffer, "WEBP", lossless=True, quality=30, method=2)
    return buffer.getvalue()


def to_image(pixels: Pixels) -> Image.Image:
    """The same pixels as a Pillow image, gray or RGB."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
