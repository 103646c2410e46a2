"""The binary extension of the Open Inference Protocol: raw tensors behind the JSON, in the order of their names there.

    Inference-Header-Content-Length: 143          the bytes of JSON that the body begins with
    {"inputs": [{"name", "shape", "datatype", "parameters": {"binary_data_size": 784}}, …]} <784 bytes> …

Numbers are little-endian, rows first. A BYTES element is its length (4 bytes, little-endian) and its bytes.
"""

import math

import numpy as np
from numpy.typing import NDArray

from pinwheel.errors import InvalidRequest

HEADER = "Inference-Header-Content-Length"
DTYPES: dict[str, np.dtype[np.generic]] = {
    "UINT8": np.dtype("u1"),
    "FP32": np.dtype("<f4"),
    "INT64": np.dtype("<i8"),
}
LENGTH_BYTES = 4


def split(body: bytes, header: str | None) -> tuple[bytes, memoryview]:
    """The JSON and the raw tensors. Without the header all of the body is JSON."""
    if header is None:
        return body, memoryview(b"")
    if not header.isascii() or not header.isdigit() or len(header) > 18:
        raise InvalidRequest(f"{HEADER} is {header[:100]!r}; it must be a number of bytes.")
    length = int(header)
    if length > len(body):
        raise InvalidRequest(f"{HEADER} is {length}, and the body has {len(body)} bytes.")
    return body[:length], memoryview(body)[length:]


def numbers(raw: memoryview, datatype: str, shape: tuple[int, ...], name: str) -> NDArray[np.generic]:
    """A tensor of numbers in this shape. Raises `InvalidRequest` where its bytes are not as many."""
    dtype = DTYPES[datatype]
    needed = math.prod(shape) * dtype.itemsize
    if len(raw) != needed:
        raise InvalidRequest(
            f"{name} has {len(raw)} bytes; the shape {list(shape)} of {datatype} takes {needed} bytes."
        )
    return np.frombuffer(raw, dtype).reshape(shape)


def elements(raw: memoryview, shape: tuple[int, ...], name: str) -> list[bytes]:
    """The elements of a BYTES tensor, as many as its shape says."""
    found: list[bytes] = []
    at, count = 0, math.prod(shape)
    while at < len(raw) and len(found) <= count:  # empty elements cost more memory than they have bytes
        length = int.from_bytes(raw[at : at + LENGTH_BYTES], "little")
        at += LENGTH_BYTES
        if at + length > len(raw):
            left = max(0, len(raw) - at)
            raise InvalidRequest(f"{name}[{len(found)}] says it has {length} bytes, and {left} are left.")
        found.append(bytes(raw[at : at + length]))
        at += length
    if len(found) != count:
        more = " or more" if len(found) > count else ""
        raise InvalidRequest(f"{name} holds {len(found)}{more} elements; the shape {list(shape)} says {count}.")
    return found


def raw_bytes(array: NDArray[np.generic], datatype: str) -> bytes:
    """The bytes of a tensor of numbers on the wire."""
    return array.astype(DTYPES[datatype], copy=False).tobytes()
