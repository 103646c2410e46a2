"""Images in the JSON of an encode request.

    {"inputs": ["data:image/png;base64,…", {"array": [[…]]}, {"array": [[…]], "dtype": "float32"}]}

An array of whole numbers is uint8 (255 is white), one with a fraction in it is float32 (taken as it is); `dtype` says
which is meant, since some JSON writers turn 1.0 into 1.
"""

import base64
import binascii
import difflib
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.formats.budget import Budget
from app.formats.images import FORMATS, read_images
from app.formats.pixels import to_stored
from app.formats.reading import brief
from app.formats.sniff import HEAD_BYTES, is_image
from pinwheel.errors import InvalidDataset, InvalidRequest, UnsupportedMediaType

DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
DTYPES = ("uint8", "float32")


def pages(body: bytes, name: str, budget: Budget) -> Iterator[NDArray[Any]]:
    """The images of one file: one, or each page of a TIFF."""
    for image in read_images(io.BytesIO(body), name, "keep", budget.limits):
        budget.take(1, image.nbytes)
        yield image


def json_images(body: bytes, budget: Budget) -> Iterator[NDArray[Any]]:
    """One image after the other."""
    value = _parse(body)
    if not isinstance(value, dict):
        raise InvalidRequest(f'The body is {_kind(value)}; it must be an object: {{"inputs": […]}}.')
    _check_keys(value, ("inputs",), "The body")
    items = value.get("inputs")
    if not isinstance(items, list) or not items:
        given = "empty" if items == [] else _kind(items)
        raise InvalidRequest(f"inputs is {given}; it must be a list of at least 1 image.")
    for number, item in enumerate(items):
        yield from _json_item(item, f"inputs[{number}]", budget)


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


def _json_item(item: Any, where: str, budget: Budget) -> Iterator[NDArray[Any]]:
    if isinstance(item, str):
        yield from pages(_from_data_url(item, where), where, budget)
        return
    if not isinstance(item, dict):
        raise InvalidRequest(f'{where} is {_kind(item)}; it must be a data URL of an image, or {{"array": […]}}.')
    _check_keys(item, ("array", "dtype"), where)
    if "array" not in item:
        raise InvalidRequest(f"{where} has no array.")
    array = _json_array(item["array"], item.get("dtype"), where)
    budget.take(1, array.nbytes)
    yield array


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
        raise UnsupportedMediaType(
            f"{where} starts with {body[:8]!r}, which is no image. Read are: {', '.join(FORMATS)}."
        )
    return body


def _json_array(value: Any, dtype: Any, where: str) -> NDArray[Any]:
    if dtype is not None and dtype not in DTYPES:
        raise InvalidRequest(f"{where} has the dtype {str(dtype)[:100]!r}; there are: {', '.join(DTYPES)}.")
    if not isinstance(value, list):
        raise InvalidRequest(f"{where}.array is {_kind(value)}; it must be a list of numbers or of lists.")
    _check_no_text(value, where)
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


def _check_no_text(value: list[Any], where: str) -> None:
    """One long text would make room as long as itself for each of its neighbours."""
    lists = [value]
    while lists:
        some = lists.pop()
        if str in set(map(type, some)):
            raise InvalidDataset(f"{where}.array holds text; only numbers are allowed.")
        lists.extend(each for each in some if isinstance(each, list))


def _what(array: NDArray[Any]) -> str:
    return {"U": "text", "b": "booleans", "O": "something that is no number"}.get(array.dtype.kind, str(array.dtype))


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "missing"}
    return kinds.get(type(value), "a number")
