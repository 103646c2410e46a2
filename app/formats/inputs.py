"""The images of one encode request.

Read are one image file, .npy, .npz (`images`, or its only array), a zip of images (in the sorted order of their names),
an Arrow stream (`app/formats/columns.py`), several image files as parts, and JSON (`app/formats/json_inputs.py`). JSON
is told by its content type, everything else by its first bytes. Status 400 is for what cannot be read, 422 for what
makes no sense.
"""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.formats import archives, arrow
from app.formats.budget import Budget, check_size
from app.formats.fit import Inputs, fit
from app.formats.json_inputs import json_images, pages
from app.formats.npy import check_directory, member_keys, open_member, open_npy, open_npz
from app.formats.pixels import to_stored
from app.formats.reading import check_end, read_exactly
from app.formats.sniff import HEAD_BYTES, Kind, holds_arrays, is_image, kind_of
from pinwheel.errors import InvalidDataset, InvalidRequest, UnsupportedMediaType

if TYPE_CHECKING:
    from app.formats.arrays import ArraySource
    from pinwheel.settings import Settings

__all__ = ["Inputs", "decode_inputs", "decode_parts", "fit"]

READ = (
    "PNG, JPEG, WebP, TIFF, BMP, application/x-npy, application/x-npz, application/zip of images, "
    "application/vnd.apache.arrow.stream, application/json, multipart parts of images"
)
IMAGES_KEY = "images"


def is_json(content_type: str) -> bool:
    media_type = content_type.split(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def decode_inputs(body: bytes, content_type: str, settings: "Settings") -> Inputs:
    """The images of a whole body.

    Raises `InvalidRequest`, `InvalidDataset`, `UnsupportedMediaType` or `PayloadTooLarge`, each with the value given
    and what is allowed.
    """
    check_size(len(body), settings.max_encode_bytes, "The body")
    budget = Budget.of(settings)
    if is_json(content_type):
        check_size(len(body), budget.json_bytes, "The JSON body")
        return Inputs(list(json_images(body, budget)))
    kind = body_kind(body[:HEAD_BYTES], content_type)
    if kind == "zip":
        check_directory(io.BytesIO(body), "The body", budget.limits.max_images)
        kind = "npz" if holds_arrays(io.BytesIO(body), "The body") else "zip"
    if kind == "npy":
        return Inputs([_array(open_npy(io.BytesIO(body), "The array"), budget)], stacked=True)
    if kind == "npz":
        return Inputs([_from_npz(body, budget)], stacked=True)
    return Inputs(list(_images(kind, body, budget)))


def body_kind(head: bytes, content_type: str) -> Kind:
    """What a body is by its first bytes; an npz is a zip here. Raises for what is not read."""
    if not head:
        raise InvalidRequest(f"The body is empty; send images. Read are: {READ}.")
    kind = kind_of(head)
    if kind in ("image", "npy", "zip", "arrow"):
        return kind
    media_type = content_type.split(";")[0].strip().lower()
    hint = " Parquet is read as a data set; here send the table as an Arrow stream." if kind == "parquet" else ""
    raise UnsupportedMediaType(
        f"The body starts with {head[:8]!r} (content type {media_type[:100] or 'not given'!r}), which is no format "
        f"that is read here.{hint} Read are: {READ}."
    )


def _images(kind: Kind, body: bytes, budget: Budget) -> Iterator[NDArray[Any]]:
    if kind == "image":
        yield from pages(body, "The image", budget)
    elif kind == "arrow":
        yield from arrow.stream_images(io.BytesIO(body), "The table", budget)
    else:
        with archives.open_zip(io.BytesIO(body), "The zip") as archive:
            entries = archives.zip_entries(archive, "the zip", budget.limits)
            for image in archives.archive_images(entries, "The zip", budget.limits):
                budget.take(1, image.nbytes)
                yield image


def decode_parts(parts: list[bytes], settings: "Settings") -> Inputs:
    """The images of a multipart body, each part one image file, in their order. Raises as `decode_inputs` does."""
    if not parts:
        raise InvalidRequest("There is no image; send at least 1 part named image.")
    check_size(sum(map(len, parts)), settings.max_encode_bytes, "The multipart body")
    budget = Budget.of(settings)
    images: list[NDArray[Any]] = []
    for number, part in enumerate(parts):
        check_part(part[:HEAD_BYTES], number)
        images += pages(part, f"Part {number}", budget)
    return Inputs(images)


def check_part(head: bytes, number: int) -> None:
    if not is_image(head):
        start = f"starts with {head[:8]!r}" if head else "is empty"
        raise UnsupportedMediaType(f"Part {number} {start}, which is no image. Read are: PNG, JPEG, WebP, TIFF, BMP.")


def _from_npz(body: bytes, budget: Budget) -> NDArray[Any]:
    with (
        open_npz(io.BytesIO(body), "The npz file") as archive,
        open_member(archive, images_key(member_keys(archive)), "the npz file") as source,
    ):
        return _array(source, budget)


def images_key(keys: list[str]) -> str:
    """The only array, or the one named `images`."""
    return keys[0] if len(keys) == 1 else IMAGES_KEY


def _array(source: "ArraySource", budget: Budget) -> NDArray[Any]:
    check_holds(source)
    budget.take(1, source.size_bytes)
    data = read_exactly(source.stream, source.size_bytes, source.name)
    check_end(source.stream, source.name)
    values = np.frombuffer(data, source.dtype).reshape(source.shape, order="F" if source.fortran else "C")
    return np.ascontiguousarray(to_stored(values.astype(source.dtype.newbyteorder("=")), 0, source.name))


def check_holds(source: "ArraySource") -> None:
    if 0 in source.shape:
        raise InvalidDataset(f"{source.name} has the shape {source.shape}: it holds no image; at least 1 is needed.")
