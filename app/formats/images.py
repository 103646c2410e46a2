"""Encoded pictures → arrays: PNG, JPEG, WebP, TIFF (each page an image) and BMP, decoded by Pillow.

- The size in the header is checked before a pixel is decoded, and only the formats above are tried.
- The orientation that a camera noted is applied.
- 8 bits and less become uint8. 16-bit gray becomes float32 value / 65535, so that nothing is lost; 16-bit colour is
  reduced to 8 bits by Pillow. Float TIFFs are taken as they are and must be finite.
- Transparency is laid over white. Palettes are undone; a palette of grays gives a gray image. CMYK and the like become
  RGB.
- Of an animation the first picture is taken; small copies of a page in a TIFF (thumbnails) are left out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from app.formats.color import in_color
from app.formats.limits import Limits
from app.formats.options import Color
from app.formats.pixels import to_stored
from app.formats.reading import brief, no_space
from pinwheel.errors import InvalidDataset, PinwheelError, is_full

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
ORIENTATION = 0x0112
SUBFILE_TYPE = 254
SMALL_COPY = 1
DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# The size of every page is checked against our own limit before it is decoded. Pillow's fixed limit, which only warns
# up to twice itself, would answer first with a number that is not the one in the settings.
Image.MAX_IMAGE_PIXELS = None


def read_images(file: IO[bytes], name: str, color: Color, limits: Limits) -> Iterator[NDArray[Any]]:
    """One (H, W, C) uint8 or float32 array after the other. Raises `InvalidDataset` and `PayloadTooLarge`."""
    with _decoding(name):
        image = Image.open(file, formats=FORMATS)
    with image:
        page = 0
        while _turn_to(image, page, name):
            label = f"{name} page {page}" if page else name
            if not _is_small_copy(image):
                with _decoding(label):
                    limits.check_image(image.height, image.width, 1, label)
                    pixels = in_color(_pixels(image, label), color)
                yield pixels
            page += 1
            limits.check_images(page)


def _turn_to(image: Image.Image, page: int, name: str) -> bool:
    if page == 0:
        return True
    if image.format != "TIFF":
        return False
    with _decoding(f"{name} page {page}"):
        try:
            image.seek(page)
        except EOFError:
            return False
    return True


def _is_small_copy(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    kind = tags.get(SUBFILE_TYPE, 0)
    return isinstance(kind, int) and bool(kind & SMALL_COPY)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """What Pillow raises about a hostile file has no bound, so everything it raises means that the file is bad."""
    try:
        yield
    except PinwheelError:
        raise
    except MemoryError:
        raise InvalidDataset(f"{name} needs more memory to decode than is allowed.") from None
    except Exception as error:
        if is_full(error):
            raise no_space() from None
        raise InvalidDataset(
            f"{name} is no image that can be read ({_reason(error)}); {', '.join(FORMATS)} are read."
        ) from None


def _reason(error: Exception) -> str:
    # Pillow's own text would name an object in memory.
    return "damaged or of another format" if isinstance(error, UnidentifiedImageError) else brief(error)


def _pixels(image: Image.Image, name: str) -> NDArray[Any]:
    """(H, W, C) uint8 or float32 of one decoded page, turned upright."""
    image.load()
    turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    upright = image if turn is None else image.transpose(turn)
    return _plain(upright, name)


def _plain(image: Image.Image, name: str) -> NDArray[Any]:
    if image.mode in DEEP:
        deep: NDArray[Any] = np.asarray(image).astype(np.float32) / np.float32(65535)
        return deep[..., None]
    if image.mode == "F":
        floats: NDArray[Any] = to_stored(np.asarray(image)[None], 0, name)[0]
        return floats[..., None]
    if image.mode == "I":
        raise InvalidDataset(f"{name} has 32-bit integer pixels; 8 and 16 bits and floats are read.")
    pixels = np.asarray(_eight_bits(image))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB."""
    if image.mode == "P":
        image = _without_palette(image)
    if image.mode in ALPHA:
        return _on_white(image)
    if image.mode in ("1", "L"):
        return image.convert("L")
    return image.convert("RGB")


def _without_palette(image: Image.Image) -> Image.Image:
    palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    gray = bool((palette == palette[:, :1]).all())
    if "transparency" in image.info:
        return image.convert("RGBA").convert("LA") if gray else image.convert("RGBA")
    return image.convert("RGB").convert("L") if gray else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    gray = image.mode in ("LA", "La")
    whole = image.convert("LA" if gray else "RGBA")
    ground = Image.new("L" if gray else "RGB", whole.size, "white")
    ground.paste(whole.convert(ground.mode), mask=whole.getchannel("A"))
    return ground
