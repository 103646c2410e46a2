"""Features on their way out: (N, features) in parts that are read one after the other, dense or as CSR.

CSR: row i holds `values[indptr[i]:indptr[i + 1]]` in the columns `indices[indptr[i]:indptr[i + 1]]`. However large a
result is, `BLOCK_BYTES` of it are unpacked at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pinwheel.errors import InvalidConfig, PayloadTooLarge

DTYPES = ("float32", "float16")
MOST_DENSE_BYTES = 4 * 2**30  # made at once of a sparse result
BLOCK_BYTES = 16 * 2**20


class Csr(NamedTuple):
    """A sparse matrix by rows. `indptr` (N + 1,), `indices` and `values` (values that are not 0,)."""

    shape: tuple[int, int]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any]

    def rows(self, start: int, stop: int) -> "Csr":
        """Rows `start` to `stop`, as views."""
        stop = min(stop, self.shape[0])
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        indptr = self.indptr[start : stop + 1] - first
        return Csr((stop - start, self.shape[1]), indptr, self.indices[first:last], self.values[first:last])


Part = Csr | NDArray[Any]


def to_csr(features: NDArray[Any]) -> Csr:
    """The values of (N, features) that are not 0, in the order of rows, then of columns."""
    rows, columns = np.nonzero(features)
    indptr = np.zeros(len(features) + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=len(features)), out=indptr[1:])
    return Csr((features.shape[0], features.shape[1]), indptr, columns.astype(np.int32), features[rows, columns])


def to_dense(sparse: Csr) -> NDArray[Any]:
    """(N, features). `PayloadTooLarge` where that is more than may be made."""
    check_dense(sparse.shape, sparse.values.itemsize)
    features = np.zeros(sparse.shape, dtype=sparse.values.dtype)
    rows = np.repeat(np.arange(sparse.shape[0]), np.diff(sparse.indptr))
    features[rows, sparse.indices] = sparse.values
    return features


def check_dense(shape: tuple[int, int], itemsize: int) -> None:
    size_bytes = shape[0] * shape[1] * itemsize
    if size_bytes > MOST_DENSE_BYTES:
        taken = f"{shape[0]} × {shape[1]} features take {size_bytes} bytes"
        raise PayloadTooLarge(f"{taken}; at most {MOST_DENSE_BYTES} are written. Ask for format=npz.")


@dataclass(frozen=True)
class Rows:
    """`parts` gives the features from the first row to the last, again each time; `values` of them are not 0."""

    shape: tuple[int, int]
    values: int
    dtype: np.dtype[Any]
    parts: Callable[[], Iterable[Part]]

    @classmethod
    def of(cls, features: Part, dtype: np.dtype[Any]) -> "Rows":
        """Of one matrix in memory."""
        values = len(features.values) if isinstance(features, Csr) else int(np.count_nonzero(features))
        return cls((features.shape[0], features.shape[1]), values, dtype, lambda: [features])

    def dense(self) -> Iterator[NDArray[Any]]:
        """Blocks (n, features)."""
        for block in self._blocks():
            yield in_dtype(to_dense(block) if isinstance(block, Csr) else block, self.dtype)

    def sparse(self) -> Iterator[Csr]:
        """Blocks of rows, each a CSR matrix of its own."""
        for block in self._blocks():
            one = block if isinstance(block, Csr) else to_csr(block)
            yield one._replace(values=in_dtype(one.values, self.dtype))

    def _blocks(self) -> Iterator[Part]:
        step = max(1, BLOCK_BYTES // (4 * self.shape[1]))
        for part in self.parts():
            for start in range(0, part.shape[0], step):
                yield part.rows(start, start + step) if isinstance(part, Csr) else part[start : start + step]


def check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.name not in DTYPES:
        raise InvalidConfig(f"dtype is {dtype.name}; there are: {', '.join(DTYPES)}.")


def in_dtype(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """`values` as `dtype`. `InvalidConfig` where one of them does not fit into it."""
    check_dtype(dtype)
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype, copy=False)
    if dtype != values.dtype and not np.isfinite(rounded).all() and np.isfinite(values).all():
        raise InvalidConfig(
            f"A feature of {np.abs(values).max():g} does not fit into {dtype.name}, which ends at "
            f"{np.finfo(dtype).max:g}; ask for float32."
        )
    return rounded
