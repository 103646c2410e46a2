"""The images of one encode request, and how they are brought to a model's shape.

Read are one image file, .npy, .npz (`images`, or its only array), several image files as parts, and JSON:

    {"inputs": ["data:image/png;base64,…", {"array": [[…]]}, {"array": [[…]], "dtype": "float32"}]}

An array of whole numbers in JSON is uint8 (255 is white), one with a fraction in it is float32 (taken as it is);
`dtype` says which is meant, since some JSON writers turn 1.0 into 1. Status 400 is for what cannot be read, 422 for
what makes no sense.
"""

import base64
import binascii
import difflib
import io
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.formats.color import in_color
from app.formats.images import read_images
from app.formats.limits import Limits
from app.formats.npy import member_keys, open_member, open_npy, open_npz
from app.formats.pixels import to_stored
from app.formats.reading import brief, check_end, read_exactly
from app.formats.sniff import HEAD_BYTES, holds_arrays, is_image, kind_of
from pinwheel.errors import InvalidDataset, InvalidRequest, PayloadTooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from app.formats.arrays import ArraySource
    from pinwheel.settings import Settings

READ = "PNG, JPEG, WebP, TIFF, BMP, application/x-npy, application/x-npz, application/json, multipart parts of images"
DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
IMAGES_KEY = "images"
# Pixels unpack to more than their files: this many times `max_encode_bytes` may lie in memory for one request.
UNPACKED = 4
DTYPES = ("uint8", "float32")


@dataclass(frozen=True)
class Inputs:
    """Either one array with the images along its first axis (or one image alone), or single images of any shapes."""

    images: list[NDArray[Any]]
    stacked: bool = False


class _Budget:
    """What one request may hold: its images and their bytes once unpacked."""

    def __init__(self, settings: "Settings") -> None:
        self.limits = Limits.of(settings)
        self._most_images = settings.max_encode_images
        self._most_bytes = UNPACKED * settings.max_encode_bytes
        self._images = 0
        self._bytes = 0

    def take(self, count: int, size_bytes: int) -> None:
        self._images += count
        self._bytes += size_bytes
        if self._images > self._most_images:
            raise PayloadTooLarge(
                f"There are {self._images} images or more; {self._most_images} are allowed in one request. "
                "More are an encode job."
            )
        if self._bytes > self._most_bytes:
            raise PayloadTooLarge(
                f"The images unpack to {self._bytes} bytes or more; {self._most_bytes} are allowed in one request."
            )


def decode_inputs(body: bytes, content_type: str, settings: "Settings") -> Inputs:
    """The images of a whole body. JSON is told by its content type, everything else by its first bytes.

    Raises `InvalidRequest`, `InvalidDataset`, `UnsupportedMediaType` or `PayloadTooLarge`, each with the value given
    and what is allowed.
    """
    _check_size(len(body), settings.max_encode_bytes, "The body")
    budget = _Budget(settings)
    media_type = content_type.split(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        _check_size(len(body), settings.max_body_bytes, "The JSON body")
        return _from_json(body, budget)
    if not body:
        raise InvalidRequest(f"The body is empty; send images. Read are: {READ}.")
    kind = kind_of(body[:HEAD_BYTES])
    if kind == "image":
        return Inputs(_image(body, "The image", budget))
    if kind == "npy":
        return Inputs([_array(open_npy(io.BytesIO(body), "The array"), budget)], stacked=True)
    if kind == "zip" and holds_arrays(io.BytesIO(body), "The body"):
        return Inputs([_from_npz(body, budget)], stacked=True)
    raise UnsupportedMediaType(
        f"The body starts with {body[:8]!r} (content type {media_type[:100] or 'not given'!r}), which is no format "
        f"that is read here. Read are: {READ}."
    )


def decode_parts(parts: list[bytes], settings: "Settings") -> Inputs:
    """The images of a multipart body, each part one image file, in their order. Raises as `decode_inputs` does."""
    if not parts:
        raise InvalidRequest("There is no image; send at least 1 part named image.")
    _check_size(sum(map(len, parts)), settings.max_encode_bytes, "The multipart body")
    budget = _Budget(settings)
    images: list[NDArray[Any]] = []
    for number, part in enumerate(parts):
        if not is_image(part[:HEAD_BYTES]):
            start = f"starts with {part[:8]!r}" if part else "is empty"
            raise UnsupportedMediaType(
                f"Part {number} {start}, which is no image. Read are: PNG, JPEG, WebP, TIFF, BMP."
            )
        images += _image(part, f"Part {number}", budget)
    return Inputs(images)


def _check_size(size: int, allowed: int, what: str) -> None:
    if size > allowed:
        raise PayloadTooLarge(f"{what} has {size} bytes; at most {allowed} are allowed.")


def _image(body: bytes, name: str, budget: _Budget) -> list[NDArray[Any]]:
    images = []
    for image in read_images(io.BytesIO(body), name, "keep", budget.limits):
        budget.take(1, image.nbytes)
        images.append(image)
    return images


def _from_npz(body: bytes, budget: _Budget) -> NDArray[Any]:
    with open_npz(io.BytesIO(body), "The npz file") as archive:
        keys = member_keys(archive)
        key = keys[0] if len(keys) == 1 else IMAGES_KEY
        with open_member(archive, key, "the npz file") as source:
            return _array(source, budget)


def _array(source: "ArraySource", budget: _Budget) -> NDArray[Any]:
    if 0 in source.shape:
        raise InvalidDataset(f"{source.name} has the shape {source.shape}: it holds no image; at least 1 is needed.")
    budget.take(1, source.size_bytes)
    data = read_exactly(source.stream, source.size_bytes, source.name)
    check_end(source.stream, source.name)
    values = np.frombuffer(data, source.dtype).reshape(source.shape, order="F" if source.fortran else "C")
    return np.ascontiguousarray(to_stored(values.astype(source.dtype.newbyteorder("=")), 0, source.name))


def _from_json(body: bytes, budget: _Budget) -> Inputs:
    value = _parse(body)
    if not isinstance(value, dict):
        raise InvalidRequest(f'The body is {_kind(value)}; it must be an object: {{"inputs": […]}}.')
    _check_keys(value, ("inputs",), "The body")
    items = value.get("inputs")
    if not isinstance(items, list) or not items:
        given = "empty" if items == [] else _kind(items)
        raise InvalidRequest(f"inputs is {given}; it must be a list of at least 1 image.")
    images: list[NDArray[Any]] = []
    for number, item in enumerate(items):
        images += _json_item(item, f"inputs[{number}]", budget)
    return Inputs(images)


def _parse(body: bytes) -> Any:
    def refuse(word: str) -> float:
        raise InvalidDataset(f"The body holds {word}, which is no number in JSON; pixels must be finite.")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is no JSON that can be read: {brief(error)}.") from None


def _check_keys(value: dict[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key in value:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InvalidRequest(f"{where} has no field {key[:100]!r}; there are: {', '.join(allowed)}.{hint}")


def _json_item(item: Any, where: str, budget: _Budget) -> list[NDArray[Any]]:
    if isinstance(item, str):
        return _image(_from_data_url(item, where), where, budget)
    if not isinstance(item, dict):
        raise InvalidRequest(f'{where} is {_kind(item)}; it must be a data URL of an image, or {{"array": […]}}.')
    _check_keys(item, ("array", "dtype"), where)
    if "array" not in item:
        raise InvalidRequest(f"{where} has no array.")
    array = _json_array(item["array"], item.get("dtype"), where)
    budget.take(1, array.nbytes)
    return [array]


def _from_data_url(text: str, where: str) -> bytes:
    head = DATA_URL.match(text)
    if head is None:
        raise InvalidRequest(
            f"{where} starts with {text[:40]!r}; it must start with data:image/png;base64, or the like."
        )
    try:
        body = base64.b64decode(text[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{where} is no base64: {brief(error)}.") from None
    if not is_image(body[:HEAD_BYTES]):
        raise UnsupportedMediaType(f"{where} starts with {body[:8]!r}, which is no image. Read are: {READ}.")
    return body


def _json_array(value: Any, dtype: Any, where: str) -> NDArray[Any]:
    if dtype is not None and dtype not in DTYPES:
        raise InvalidRequest(f"{where} has the dtype {str(dtype)[:100]!r}; there are: {', '.join(DTYPES)}.")
    if not isinstance(value, list):
        raise InvalidRequest(f"{where}.array is {_kind(value)}; it must be a list of numbers or of lists.")
    try:
        array = np.array(value)
    except (ValueError, OverflowError):
        raise InvalidDataset(f"{where}.array is ragged: its rows must all have one length.") from None
    if array.size == 0:
        raise InvalidDataset(f"{where}.array has the shape {array.shape}: it holds no number.")
    if array.dtype.kind not in "iuf":
        raise InvalidDataset(f"{where}.array holds {_what(array)}; only numbers are allowed.")
    wanted = array.astype(np.float32) if dtype == "float32" else _as_bytes(array, where) if dtype == "uint8" else array
    stored: NDArray[Any] = to_stored(wanted[None], 0, f"{where}.array")[0]
    return stored


def _as_bytes(array: NDArray[Any], where: str) -> NDArray[Any]:
    if array.dtype.kind == "f" and not (array == np.trunc(array)).all():
        raise InvalidDataset(f"{where}.array holds fractions; dtype uint8 allows whole numbers in 0..255.")
    return array.astype(np.int64)


def _what(array: NDArray[Any]) -> str:
    return {"U": "text", "b": "booleans", "O": "something that is no number"}.get(array.dtype.kind, str(array.dtype))


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "missing"}
    return kinds.get(type(value), "a number")


def fit(inputs: Inputs, shape: tuple[int, int, int], larger: bool = False) -> NDArray[Any]:
    """The images as (N, H, W, C), uint8 or float32, for a model of this (H, W, C).

    A missing axis of channels is added, vectors of H·W·C values are folded, gray and RGB are turned into each other.
    uint8 beside float32 becomes value / 255. Another size is refused, where `larger` a smaller one, and so are images
    of several sizes: `InvalidDataset` names both shapes.
    """
    if inputs.stacked:
        return _fit_stack(inputs.images[0], shape, larger)
    fitted = [_fit_one(image, shape, larger, f"Image {number}") for number, image in enumerate(inputs.images)]
    for number, image in enumerate(fitted):
        if image.shape != fitted[0].shape:
            raise InvalidDataset(
                f"Image {number} has the shape {image.shape}, image 0 {fitted[0].shape}; the images of one request "
                "have one size."
            )
    if len({image.dtype for image in fitted}) > 1:
        fitted = [image / np.float32(255) if image.dtype == np.uint8 else image for image in fitted]
    return np.stack(fitted)


def _fit_stack(array: NDArray[Any], shape: tuple[int, int, int], larger: bool) -> NDArray[Any]:
    fitted = _fitted(array, shape, larger) if array.ndim > 1 else None
    if fitted is None:
        alone = _fitted(array[None], shape, larger)
        if alone is None:
            raise _misfit("The array", array, shape, larger)
        return alone
    return fitted


def _fit_one(image: NDArray[Any], shape: tuple[int, int, int], larger: bool, name: str) -> NDArray[Any]:
    fitted = _fitted(image[None], shape, larger)
    if fitted is None:
        raise _misfit(name, image, shape, larger)
    one: NDArray[Any] = fitted[0]
    return one


def _fitted(stack: NDArray[Any], shape: tuple[int, int, int], larger: bool) -> NDArray[Any] | None:
    """`stack` (N, …) as (N, H, W, C), or None when its images do not have a size that the model takes."""
    channels = shape[2]
    if stack.ndim == 3 and _takes(stack.shape[1:3], shape, larger):
        stack = stack[..., None]
    if stack.shape[1:] == (math.prod(shape),):
        return stack.reshape(len(stack), *shape)
    if stack.ndim != 4 or not _takes(stack.shape[1:3], shape, larger):
        return None
    if stack.shape[3] == channels:
        return stack
    if {stack.shape[3], channels} == {1, 3}:
        return in_color(stack, "gray" if channels == 1 else "rgb")
    return None


def _takes(size: tuple[int, ...], shape: tuple[int, int, int], larger: bool) -> bool:
    if larger:
        return size[0] >= shape[0] and size[1] >= shape[1]
    return size == shape[:2]


def _misfit(name: str, array: NDArray[Any], shape: tuple[int, int, int], larger: bool) -> InvalidDataset:
    height, width, channels = shape
    more = " and larger" if larger else ""
    return InvalidDataset(
        f"{name} has the shape {array.shape}; the model takes images of height {height}, width {width}{more} and "
        f"{channels} channels {shape}, or vectors of {math.prod(shape)} values."
    )
