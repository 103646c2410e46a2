"""Arrays with one row for each image, by name, as npz, safetensors, Arrow or Parquet.

In tables an array (N,) is a column of numbers, one of more axes a column of lists of fixed length, whose shape is in
the field's metadata.
"""

import io
import json
import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import save

Arrays = dict[str, NDArray[np.float32]]

FORMATS: dict[str, str] = {
    "npz": "application/x-npz",
    "safetensors": "application/x-safetensors",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}


def encode(arrays: Arrays, format: str, model: str, version: int) -> bytes:
    """The body; `model` and its version are told in the metadata of all but npz."""
    return WRITERS[format](arrays, {"model": model, "version": str(version)})


def _npz(arrays: Arrays, about: dict[str, str]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def _safetensors(arrays: Arrays, about: dict[str, str]) -> bytes:
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, about)


def _table(arrays: Arrays, about: dict[str, str]) -> pa.Table:
    columns, fields = [], []
    for name, array in arrays.items():
        flat = pa.array(np.ascontiguousarray(array).reshape(-1))
        if array.ndim == 1:
            columns.append(flat)
        else:
            columns.append(pa.FixedSizeListArray.from_arrays(flat, math.prod(array.shape[1:])))
        shape = {"shape": json.dumps(list(array.shape[1:]))}
        fields.append(pa.field(name, columns[-1].type, nullable=False, metadata=shape))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, {"pinwheel": json.dumps(about)}))


def _arrow(arrays: Arrays, about: dict[str, str]) -> bytes:
    table, out = _table(arrays, about), io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return out.getvalue()


def _parquet(arrays: Arrays, about: dict[str, str]) -> bytes:
    out = io.BytesIO()
    pq.write_table(_table(arrays, about), out)
    return out.getvalue()


WRITERS: dict[str, Callable[[Arrays, dict[str, str]], bytes]] = {
    "npz": _npz,
    "safetensors": _safetensors,
    "arrow": _arrow,
    "parquet": _parquet,
}
