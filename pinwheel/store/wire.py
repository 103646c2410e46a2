"""How arrays travel between the server and an encode worker: a header in JSON, then the raw bytes of each array.

4 bytes: length of the header, little-endian · header {"…": …, "arrays": [{"name", "dtype", "shape"}]} · bytes
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {"uint8", "float32", "int32", "int64"}


def pack(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bytes:
    described = [{"name": name, "dtype": str(array.dtype), "shape": array.shape} for name, array in arrays.items()]
    text = json.dumps(header | {"arrays": described}).encode()
    # views, so that joining is the only copy
    parts = (np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays.values())
    return b"".join([len(text).to_bytes(4, "little"), text, *parts])


def unpack(message: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and read-only views of the arrays. Raises `ValueError` for what `pack` did not write."""
    start = 4 + int.from_bytes(message[:4], "little")
    header: dict[str, Any] = json.loads(message[4:start])
    arrays: dict[str, NDArray[Any]] = {}
    for entry in header.pop("arrays"):
        if entry["dtype"] not in DTYPES:
            raise ValueError(f"dtype {entry['dtype']!r} is none of {sorted(DTYPES)}")
        count = int(np.prod(entry["shape"], dtype=np.int64))
        arrays[entry["name"]] = np.frombuffer(message, entry["dtype"], count, start).reshape(entry["shape"])
        start += arrays[entry["name"]].nbytes
    return header, arrays
