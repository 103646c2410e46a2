"""The features of a data set on disk: shards of bounded size, one behind the other.

Sparse shards are what `scipy.sparse.load_npz` reads as CSR, dense ones .npy files (rows, features) of float32. A shard
is listed in the job's record once it lies on the disk; the next attempt goes on behind the last one that is listed.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pinwheel.store.artifacts import put_in_place

Shard = dict[str, Any]  # file (in the job's folder), rows, values (that are not 0), bytes


class _Gathered(Protocol):
    """Rows that wait for the rest of their shard."""

    suffix: str
    rows: int
    size_bytes: int

    def add(self, features: NDArray[np.float32]) -> None: ...
    def save(self, path: Path) -> int:
        """Write the file; gives the number of values that are not 0."""
        ...


class _Csr:
    suffix = "npz"

    def __init__(self, columns: int) -> None:
        self.rows = self.size_bytes = 0
        self._columns = columns
        self._values: list[NDArray[np.float32]] = []
        self._indices: list[NDArray[np.int32]] = []
        self._counts: list[NDArray[np.int64]] = []

    def add(self, features: NDArray[np.float32]) -> None:
        rows, columns = np.nonzero(features)
        self._values.append(features[rows, columns])
        self._indices.append(columns.astype(np.int32))
        self._counts.append(np.bincount(rows, minlength=len(features)))
        self.rows += len(features)
        self.size_bytes += 8 * len(rows) + 8 * len(features)

    def save(self, path: Path) -> int:
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(self._counts))])
        with path.open("wb") as out:
            np.savez(
                out,
                format=np.array(b"csr"),
                shape=np.array([self.rows, self._columns], dtype=np.int64),
                data=np.concatenate(self._values),
                indices=np.concatenate(self._indices),
                indptr=indptr.astype(np.int64),
            )
        return int(indptr[-1])


class _Dense:
    suffix = "npy"

    def __init__(self, columns: int) -> None:
        self.rows = self.size_bytes = 0
        self._parts: list[NDArray[np.float32]] = []

    def add(self, features: NDArray[np.float32]) -> None:
        self._parts.append(features)
        self.rows += len(features)
        self.size_bytes += features.nbytes

    def save(self, path: Path) -> int:
        features = np.concatenate(self._parts)
        with path.open("wb") as out:
            np.save(out, features)
        return int(np.count_nonzero(features))


class ShardWriter:
    """`add` rows in order, then `flush`; `shards` are those that are finished. At most a shard and a batch in memory.

    `known` are the shards that an earlier attempt listed; other files of the folder are swept away.
    """

    def __init__(
        self, folder: Path, token: int, columns: int, *, sparse: bool, shard_bytes: int, known: list[Shard]
    ) -> None:
        self._folder = folder
        self._token = token
        self._new: type[_Csr] | type[_Dense] = _Csr if sparse else _Dense
        self._columns = columns
        self._shard_bytes = shard_bytes
        self.shards = [shard for shard in known if (folder / Path(shard["file"]).name).exists()]
        if len(self.shards) < len(known):
            self.shards = []  # a file is gone: from the beginning
        self._sweep()
        self._gathered: _Gathered = self._new(columns)

    @property
    def rows(self) -> int:
        """Rows in finished shards."""
        return sum(shard["rows"] for shard in self.shards)

    def _sweep(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = {Path(shard["file"]).name for shard in self.shards}
        for path in self._folder.iterdir():
            if path.is_file() and path.name not in kept:
                path.unlink(missing_ok=True)

    def add(self, features: NDArray[np.float32]) -> bool:
        """Whether a shard was finished."""
        self._gathered.add(features)
        if self._gathered.size_bytes < self._shard_bytes:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Finish the shard that was begun."""
        if not self._gathered.rows:
            return
        gathered, self._gathered = self._gathered, self._new(self._columns)
        path = self._folder / f"{self._token}-{len(self.shards):05d}.{gathered.suffix}"
        beside = path.with_name(path.name + ".tmp")
        values = gathered.save(beside)
        put_in_place(beside, path)
        file, size = f"{self._folder.name}/{path.name}", path.stat().st_size
        self.shards.append({"file": file, "rows": gathered.rows, "values": values, "bytes": size})
