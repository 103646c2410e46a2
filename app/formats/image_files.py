"""Image files that come as parts of something else: a tensor of bytes, a data URL. One file is one image."""

import base64
import binascii
import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from app.formats.budget import UNPACKED
from app.formats.images import read_images
from app.formats.inputs import Inputs
from app.formats.limits import Limits
from app.formats.reading import brief
from app.formats.sniff import HEAD_BYTES, is_image
from pinwheel.errors import InvalidDataset, InvalidRequest, PayloadTooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from pinwheel.settings import Settings

DATA_URL = re.compile(r"data:[a-z0-9.+-]+/[a-z0-9.+-]+;base64,", re.IGNORECASE)
READ = "PNG, JPEG, WebP, TIFF, BMP"


def decode_files(files: Iterable[tuple[str, bytes]], settings: "Settings") -> Inputs:
    """The image in each file; its name is for messages.

    Raises `UnsupportedMediaType` for what is no image, `InvalidDataset` for a damaged one and for several pages in
    one file, `PayloadTooLarge` where all pixels together are more than one request may hold.
    """
    limits = Limits.of(settings)
    most_bytes = UNPACKED * settings.max_encode_bytes
    images: list[NDArray[Any]] = []
    size_bytes = 0
    for name, body in files:
        for page, image in enumerate(read_images(io.BytesIO(_image(name, body)), name, "keep", limits)):
            if page:
                raise InvalidDataset(f"{name} has several pages; one image is expected in each file.")
            size_bytes += image.nbytes
            if size_bytes > most_bytes:
                raise PayloadTooLarge(f"The images unpack to {size_bytes} bytes or more; {most_bytes} are allowed.")
            images.append(image)
    return Inputs(images)


def _image(name: str, body: bytes) -> bytes:
    if is_image(body[:HEAD_BYTES]):
        return body
    start = f"starts with {body[:8]!r}" if body else "is empty"
    raise UnsupportedMediaType(f"{name} {start}, which is no image. Read are: {READ}.")


def from_text(text: str, name: str) -> bytes:
    """The bytes of a data URL, or of plain base64. Raises `InvalidRequest` for other text; nothing is ever fetched."""
    head = DATA_URL.match(text)
    if head is None and ":" in text[:64]:
        raise InvalidRequest(
            f"{name} starts with {text[:40]!r}; send data:image/png;base64,… or the like. No address is fetched."
        )
    try:
        return base64.b64decode(text[head.end() if head else 0 :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{name} starts with {text[:40]!r} and is no base64: {brief(error)}.") from None
