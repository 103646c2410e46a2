"""Features out: (N, features) as JSON, .npy, .npz, Arrow, Parquet or safetensors, dense or sparse.

| format      | dense                              | sparse                                            |
| json        | nested lists                       | `indptr`, `indices`, `values`                     |
| npy         | the array                          | none                                              |
| npz         | `features`                         | what `scipy.sparse.load_npz` reads as CSR         |
| arrow,      | a column `features`, in each row a | a column `features`, in each row a list of        |
| parquet     | list of fixed length               | {unit, value}                                     |
| safetensors | `features`                         | `indptr`, `indices`, `values`; `shape` is written |
|             |                                    | in the file's metadata                            |

Each writer takes the rows in parts, so that a result of any size is written in bounded memory. scipy knows no sparse
float16: such values are rounded to float16 in an npz and held as float32.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.formats import tables
from app.formats.rows import Csr, Rows, check_dense, check_dtype, to_csr, to_dense
from pinwheel.errors import InvalidConfig, PayloadTooLarge
from pinwheel.selection import select

__all__ = ["FORMATS", "SPARSE", "About", "Csr", "encode", "npy_bytes", "select", "to_csr", "to_dense", "write"]

FORMATS: dict[str, str] = {
    "json": "application/json",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
    "safetensors": "application/x-safetensors",
}
SPARSE = tuple(name for name in FORMATS if name != "npy")
MOST_JSON_VALUES = 10_000_000


class About(NamedTuple):
    """Whose features they are."""

    model: str
    version: int


def encode(
    features: NDArray[Any], format: str, sparse: bool, dtype: np.dtype[Any], model: str, version: int
) -> tuple[bytes, str]:
    """(N, features) → the body and its media type. `InvalidConfig` for a form that the format does not have."""
    out = io.BytesIO()
    write(out, format, Rows.of(to_csr(features) if sparse else features, dtype), sparse, About(model, version))
    return out.getvalue(), FORMATS[format]


def check_form(format: str, sparse: bool) -> None:
    """Raises `InvalidConfig` for a form that the format does not have."""
    if sparse and format not in SPARSE:
        raise InvalidConfig(f"format {format} has no sparse form; take json or npz, or sparse=false.")


def write(out: IO[bytes], format: str, rows: Rows, sparse: bool, about: About) -> None:
    """Write the rows to `out`, which need not seek."""
    check_form(format, sparse)
    check_dtype(rows.dtype)
    if not sparse:
        check_dense(rows.shape, rows.dtype.itemsize)
    WRITERS[format](out, rows, sparse, about)


def npy_bytes(array: NDArray[Any]) -> bytes:
    """Any plain array as a .npy file."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def _write_array(out: IO[bytes], shape: tuple[int, ...], dtype: Any, blocks: Iterable[NDArray[Any]]) -> None:
    """A .npy file from its parts."""
    out.write(_npy_header(shape, np.dtype(dtype)))
    for block in blocks:
        out.write(np.ascontiguousarray(block, dtype).data)


@lru_cache(maxsize=256)
def _npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    out = io.BytesIO()
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue()


def _write_npy(out: IO[bytes], rows: Rows, sparse: bool, about: About) -> None:
    _write_array(out, rows.shape, rows.dtype, rows.dense())


def _write_npz(out: IO[bytes], rows: Rows, sparse: bool, about: About) -> None:
    with zipfile.ZipFile(out, "w") as archive:

        def member(name: str, shape: tuple[int, ...], dtype: Any, blocks: Iterable[NDArray[Any]]) -> None:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                _write_array(file, shape, dtype, blocks)

        if not sparse:
            member("features", rows.shape, rows.dtype, rows.dense())
            return
        member("format", (), "S3", [np.array(b"csr")])
        member("shape", (2,), np.int64, [np.array(rows.shape)])
        member("data", (rows.values,), np.float32, (block.values for block in rows.sparse()))
        member("indices", (rows.values,), np.int32, (block.indices for block in rows.sparse()))
        member("indptr", (rows.shape[0] + 1,), np.int64, _indptr(rows))


def _indptr(rows: Rows) -> Iterator[NDArray[np.int64]]:
    """The row ends of the whole matrix, from 0, block by block."""
    done = 0
    yield np.zeros(1, np.int64)
    for block in rows.sparse():
        yield block.indptr[1:] + done
        done += int(block.indptr[-1])


def _write_safetensors(out: IO[bytes], rows: Rows, sparse: bool, about: About) -> None:
    """Length of the header, header, tensors one behind the other (github.com/huggingface/safetensors, Format)."""
    tensors: list[tuple[str, str, np.dtype[Any], tuple[int, ...], Callable[[], Iterable[NDArray[Any]]]]]
    kind = {"float32": "F32", "float16": "F16"}[rows.dtype.name]
    if sparse:
        tensors = [  # the longest numbers first, so that each begins at a multiple of its size
            ("indptr", "I64", np.dtype(np.int64), (rows.shape[0] + 1,), lambda: _indptr(rows)),
            ("indices", "I32", np.dtype(np.int32), (rows.values,), lambda: (one.indices for one in rows.sparse())),
            ("values", kind, rows.dtype, (rows.values,), lambda: (one.values for one in rows.sparse())),
        ]
    else:
        tensors = [("features", kind, rows.dtype, rows.shape, rows.dense)]
    shape = json.dumps(rows.shape)
    words = {"model": about.model, "version": str(about.version), "format": _form(sparse), "shape": shape}
    header: dict[str, Any] = {"__metadata__": words}
    end = 0
    for name, code, dtype, sides, _ in tensors:
        start, end = end, end + int(np.prod(sides, dtype=np.int64)) * dtype.itemsize
        header[name] = {"dtype": code, "shape": sides, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    out.write(len(text).to_bytes(8, "little") + text)
    for _, _, dtype, _, blocks in tensors:
        for block in blocks():
            out.write(np.ascontiguousarray(block, dtype.newbyteorder("<")).data)


def _form(sparse: bool) -> str:
    return "csr" if sparse else "dense"


def _write_json(out: IO[bytes], rows: Rows, sparse: bool, about: About) -> None:
    values = rows.values if sparse else rows.shape[0] * rows.shape[1]
    if values > MOST_JSON_VALUES:
        raise PayloadTooLarge(
            f"{values} numbers as JSON; at most {MOST_JSON_VALUES} are written. Ask for format=npz or npy."
        )
    head = {
        "object": "features",
        "model": about.model,
        "version": about.version,
        "shape": list(rows.shape),
        "dtype": rows.dtype.name,
        "format": _form(sparse),
    }
    out.write(json.dumps(head)[:-1].encode())
    if not sparse:
        _write_list(out, "data", (_row(row) for block in rows.dense() for row in block))
    else:
        _write_list(out, "indptr", (_whole(block) for block in _indptr(rows)))
        _write_list(out, "indices", (_whole(block.indices) for block in rows.sparse()))
        _write_list(out, "values", (_row(block.values)[1:-1] for block in rows.sparse()))
    out.write(b"}")


def _write_list(out: IO[bytes], name: str, pieces: Iterable[str]) -> None:
    out.write(f', "{name}": ['.encode())
    first = True
    for piece in pieces:
        if piece:
            out.write(("" if first else ", ").encode() + piece.encode())
            first = False
    out.write(b"]")


def _whole(values: NDArray[Any]) -> str:
    return json.dumps(values.tolist())[1:-1]


def _row(values: NDArray[Any]) -> str:
    """Numbers as JSON, each with the fewest digits that give the same float32 (or float16) back."""
    if not np.isfinite(values).all():
        raise ValueError("features that are not finite cannot be written as JSON")
    return "[" + ", ".join(values.astype("U").tolist()) + "]"


WRITERS: dict[str, Callable[[IO[bytes], Rows, bool, About], None]] = {
    "json": _write_json,
    "npy": _write_npy,
    "npz": _write_npz,
    "arrow": tables.write_arrow,
    "parquet": tables.write_parquet,
    "safetensors": _write_safetensors,
}
