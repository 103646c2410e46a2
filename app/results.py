"""The features of an encode job as files: whole or by shards, in any format, each made once and then sent in ranges.

A worker leaves shards (`worker/encoding/shards.py`): .npz (CSR) or .npy. What is asked for in another form is written
beside them, in `result/views`, in bounded memory; its name holds the digest of its content, which is also its ETag, so
that a download that was cut off goes on where it stopped. It stays until the job is deleted.
"""

import fcntl
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from app.formats import features
from app.formats.rows import Csr, Part, Rows
from app.services import Services
from pinwheel.errors import Gone, InvalidRequest, JobStateConflict, NotFound
from pinwheel.states import TERMINAL, State, allowed_commands
from pinwheel.store.artifacts import put_in_place


@dataclass(frozen=True)
class Form:
    """How features are written down."""

    format: str
    sparse: bool
    dtype: str

    @classmethod
    def of(cls, format: str, sparse: str, dtype: str, auto: bool) -> "Form":
        """`sparse` is true, false, or auto: then as `auto`, where the format has such a form."""
        wanted = (auto and format in features.SPARSE) if sparse == "auto" else sparse == "true"
        features.check_form(format, wanted)
        return cls(format, wanted, dtype)


class Result:
    """What an encode job left. Raises `InvalidRequest`, `JobStateConflict` or `Gone` where there is nothing."""

    def __init__(self, job: dict[str, Any], folder: Path) -> None:
        _check_has_result(job)
        self.job = job
        self.shape: tuple[int, int] = (job["result"]["shape"][0], job["result"]["shape"][1])
        self.sparse: bool = job["result"]["sparse"]
        self.shards: list[dict[str, Any]] = job["shards"]
        self._folder = folder
        for shard in self.shards:
            if not self._path(shard).exists():
                raise Gone(f"The result of {job['id']} is no longer there.")

    @classmethod
    def find(cls, services: Services, job_id: str) -> "Result":
        return cls(services.jobs.get(job_id), services.artifacts.job(job_id))

    @property
    def about(self) -> features.About:
        name, _, version = self.job["model"].partition("@")
        return features.About(name, int(version))

    def shard(self, number: int) -> dict[str, Any]:
        if not 0 <= number < len(self.shards):
            there = f"{len(self.shards)} shards, 0 to {len(self.shards) - 1}"
            raise NotFound(f"There is no shard {number} of the result of {self.job['id']}; there are {there}.")
        return self.shards[number]

    def file(self, form: Form, number: int | None = None) -> Path:
        """The file that holds all rows, or those of one shard, in a form. Made on the first call."""
        some = self.shards if number is None else [self.shard(number)]
        if len(some) == 1 and form == self._stored_form():
            return self._path(some[0])
        views = self._folder / "result" / "views"
        views.mkdir(exist_ok=True)
        kind = f"{'all' if number is None else number}-{'sparse' if form.sparse else 'dense'}-{form.dtype}"
        with _locked(views / ".lock"):
            made = next(views.glob(f"{kind}-*.{form.format}"), None)
            return made or _write(views, kind, form.format, lambda out: self._write(out, form, some))

    def _stored_form(self) -> Form:
        return Form("npz" if self.sparse else "npy", self.sparse, "float32")

    def _path(self, shard: dict[str, Any]) -> Path:
        return self._folder / str(shard["file"])

    def _write(self, out: IO[bytes], form: Form, some: list[dict[str, Any]]) -> None:
        count, values = (sum(shard[name] for shard in some) for name in ("rows", "values"))
        rows = Rows(
            (count, self.shape[1]),
            values,
            np.dtype(form.dtype),
            lambda: (_read(self._path(shard)) for shard in some),
        )
        features.write(out, form.format, rows, form.sparse, self.about)


def _check_has_result(job: dict[str, Any]) -> None:
    if job["type"] != "encode":
        raise InvalidRequest(
            f"{job['id']} is a {job['type']} job; only encode jobs have a result. Its model is {job.get('model')}."
        )
    state = State(job["state"])
    if state is not State.SUCCEEDED:
        ended = "it has no result" if state in TERMINAL else "its result is not there yet"
        raise JobStateConflict(f"The job is {state}; {ended}.", current=state, allowed=allowed_commands(state))


def _read(path: Path) -> Part:
    if path.suffix == ".npy":
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped
    with np.load(path, allow_pickle=False) as loaded:
        rows, columns = (int(side) for side in loaded["shape"])
        return Csr((rows, columns), loaded["indptr"], loaded["indices"], loaded["data"])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One at a time, in any process: who asks again while a large file is being written waits for it."""
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Hashed:
    """A file that knows the digest of what was written to it. It cannot seek, so nothing is changed afterwards."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.closed = False
        self._size = 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self._size += len(view)
        self._file.write(view)
        return len(view)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        self._file.flush()

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """The writers of tables close what they wrote to; the file itself is closed by its owner."""

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def _write(folder: Path, kind: str, suffix: str, write: Callable[[IO[bytes]], None]) -> Path:
    with NamedTemporaryFile(dir=folder, suffix=".tmp", delete=False) as file:
        beside = Path(file.name)
        hashed = _Hashed(file)
        try:
            write(hashed)  # type: ignore[arg-type]  # as much of a file as the writers need
        except BaseException:
            beside.unlink()
            raise
    target = folder / f"{kind}-{hashed.hexdigest()[:32]}.{suffix}"
    put_in_place(beside, target)
    return target


def etag(job_id: str, path: Path) -> str:
    """Strong: equal names are equal bytes. A shard's name has the number of its attempt, a view's its digest."""
    return f'"{job_id}-{path.stem}-{path.suffix[1:]}"'


def listing(result: Result) -> dict[str, Any]:
    """The shards with the rows that each holds."""
    here, start, data = f"/v1/jobs/{result.job['id']}/result", 0, []
    for number, shard in enumerate(result.shards):
        stop = start + shard["rows"]
        shown = {"rows": [start, stop], "values": shard["values"], "bytes": shard["bytes"]}
        data.append({"object": "shard", "index": number, **shown, "links": {"self": f"{here}/shards/{number}"}})
        start = stop
    return {"object": "list", "data": data, "shape": list(result.shape), "sparse": result.sparse, "has_more": False}
