"""Features out: (N, features) as JSON, .npy or .npz, dense or sparse.

Sparse is CSR: row i holds `values[indptr[i]:indptr[i + 1]]` in the columns `indices[indptr[i]:indptr[i + 1]]`. A sparse
npz is what `scipy.sparse.load_npz` reads. scipy knows no sparse float16: such values are rounded to float16 there and
held as float32.
"""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pinwheel.errors import InvalidConfig, PayloadTooLarge

FORMATS: dict[str, str] = {
    "json": "application/json",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
}
DTYPES = ("float32", "float16")
MOST_JSON_VALUES = 10_000_000
MOST_DENSE_BYTES = 4 * 2**30  # made at once of a sparse result


class Csr(NamedTuple):
    """A sparse matrix by rows. `indptr` (N + 1,), `indices` and `values` (values that are not 0,)."""

    shape: tuple[int, int]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any]


def to_csr(features: NDArray[Any]) -> Csr:
    """The values of (N, features) that are not 0, in the order of rows, then of columns."""
    rows, columns = np.nonzero(features)
    indptr = np.zeros(len(features) + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=len(features)), out=indptr[1:])
    return Csr((features.shape[0], features.shape[1]), indptr, columns.astype(np.int32), features[rows, columns])


def to_dense(sparse: Csr) -> NDArray[Any]:
    """(N, features). `PayloadTooLarge` where that is more than may be made."""
    count, columns = sparse.shape
    size_bytes = count * columns * sparse.values.itemsize
    if size_bytes > MOST_DENSE_BYTES:
        taken = f"{count} × {columns} features take {size_bytes} bytes"
        raise PayloadTooLarge(f"{taken}; at most {MOST_DENSE_BYTES} are written. Ask for format=npz.")
    features = np.zeros(sparse.shape, dtype=sparse.values.dtype)
    rows = np.repeat(np.arange(sparse.shape[0]), np.diff(sparse.indptr))
    features[rows, sparse.indices] = sparse.values
    return features


def select(features: NDArray[Any], topk: int | None = None, threshold: float | None = None) -> NDArray[Any]:
    """(N, features) with only the `topk` largest of each row by amount, and only amounts above `threshold`, kept.

    Of equal amounts the one with the lower number is kept. What is dropped becomes 0.
    """
    kept = features
    if threshold is not None:
        kept = np.where(np.abs(kept) > threshold, kept, np.zeros((), kept.dtype))
    if topk is not None and topk < features.shape[1]:
        order = np.argsort(-np.abs(kept), axis=1, kind="stable")[:, :topk]
        chosen = np.zeros_like(kept)
        np.put_along_axis(chosen, order, np.take_along_axis(kept, order, axis=1), axis=1)
        kept = chosen
    return kept


def encode(
    features: NDArray[Any], format: str, sparse: bool, dtype: np.dtype[Any], model: str, version: int
) -> tuple[bytes, str]:
    """(N, features) → the body and its media type. `InvalidConfig` for a form that the format does not have."""
    return _encode(to_csr(features) if sparse else features, format, dtype, model, version)


def encode_stored(path: Path, format: str, result: dict[str, Any], model: str) -> tuple[bytes, str]:
    """The result file of an encode job (.npz sparse, .npy dense) in another format; npy of a sparse result is dense.

    `result` is the job's record of it, `model` is `name@version`.
    """
    if FORMATS.get(format) and path.suffix == f".{format}":
        return path.read_bytes(), FORMATS[format]
    stored = _read_stored(path)
    if isinstance(stored, Csr) and format == "npy":
        stored = to_dense(stored)
    name, _, version = model.partition("@")
    return _encode(stored, format, np.dtype(np.float32), name, int(version))


def _read_stored(path: Path) -> Csr | NDArray[Any]:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        rows, columns = (int(side) for side in loaded["shape"])
        return Csr((rows, columns), loaded["indptr"], loaded["indices"], loaded["data"])


def _encode(
    features: Csr | NDArray[Any], format: str, dtype: np.dtype[Any], model: str, version: int
) -> tuple[bytes, str]:
    rounded = _in_dtype(features, dtype)
    if format == "json":
        return _json_bytes(rounded, model, version), FORMATS[format]
    if format == "npz":
        return npz_bytes(rounded), FORMATS[format]
    if format == "npy" and not isinstance(rounded, Csr):
        return npy_bytes(rounded), FORMATS[format]
    raise InvalidConfig(f"format {format} has no sparse form; take json or npz, or sparse=false.")


def _in_dtype(features: Csr | NDArray[Any], dtype: np.dtype[Any]) -> Any:
    if dtype.name not in DTYPES:
        raise InvalidConfig(f"dtype is {dtype.name}; there are: {', '.join(DTYPES)}.")
    values = features.values if isinstance(features, Csr) else features
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype, copy=False)
    if not np.isfinite(rounded).all() and np.isfinite(values).all():
        raise InvalidConfig(
            f"A feature of {np.abs(values).max():g} does not fit into {dtype.name}, which ends at "
            f"{np.finfo(dtype).max:g}; ask for float32."
        )
    return features._replace(values=rounded) if isinstance(features, Csr) else rounded


def npy_bytes(array: NDArray[Any]) -> bytes:
    """Any plain array as a .npy file."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def npz_bytes(features: Csr | NDArray[Any]) -> bytes:
    """Dense: an npz with `features`. Sparse: what `scipy.sparse.load_npz` reads as a CSR matrix."""
    out = io.BytesIO()
    if not isinstance(features, Csr):
        np.savez(out, features=features)
        return out.getvalue()
    np.savez(
        out,
        format=np.array(b"csr"),
        shape=np.array(features.shape, dtype=np.int64),
        data=features.values.astype(np.float32, copy=False),
        indices=features.indices,
        indptr=features.indptr,
    )
    return out.getvalue()


def _json_bytes(features: Csr | NDArray[Any], model: str, version: int) -> bytes:
    values = features.values if isinstance(features, Csr) else features
    if values.size > MOST_JSON_VALUES:
        raise PayloadTooLarge(
            f"{values.size} numbers as JSON; at most {MOST_JSON_VALUES} are written. Ask for format=npz or npy."
        )
    head = {
        "object": "features",
        "model": model,
        "version": version,
        "shape": list(features.shape),
        "dtype": str(values.dtype),
        "format": "csr" if isinstance(features, Csr) else "dense",
    }
    if isinstance(features, Csr):
        parts = {
            "indptr": json.dumps(features.indptr.tolist()),
            "indices": json.dumps(features.indices.tolist()),
            "values": _row(values),
        }
    else:
        parts = {"data": "[" + ", ".join(_row(row) for row in values) + "]"}
    body = json.dumps(head)[:-1] + "".join(f', "{name}": {text}' for name, text in parts.items()) + "}"
    return body.encode()


def _row(values: NDArray[Any]) -> str:
    """Numbers as JSON, each with the fewest digits that give the same float32 (or float16) back."""
    if not np.isfinite(values).all():
        raise ValueError("features that are not finite cannot be written as JSON")
    return "[" + ", ".join(values.astype("U").tolist()) + "]"
