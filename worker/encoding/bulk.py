"""Encoding a whole data set as a job: batches under a lease, the result as one file in the job's folder."""

import shutil
import threading
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
import structlog
from numpy.typing import NDArray

from pinwheel.progress import progress_at
from pinwheel.settings import Settings
from pinwheel.states import State
from pinwheel.store.artifacts import Artifacts, put_in_place
from pinwheel.store.connection import UNREACHABLE
from pinwheel.store.jobs import Claim, JobStore, LeaseLost
from pinwheel.store.models import split
from worker.data.reader import open_dataset
from worker.encoding.loop import shared_engines

log = structlog.get_logger()

BATCH = 1000


class _Csr:
    """Sparse rows gathered batch by batch."""

    def __init__(self) -> None:
        self._values: list[NDArray[np.float32]] = []
        self._indices: list[NDArray[np.int32]] = []
        self._counts: list[NDArray[np.int64]] = []

    def add(self, features: NDArray[np.float32]) -> None:
        rows, columns = np.nonzero(features)
        self._values.append(features[rows, columns])
        self._indices.append(columns.astype(np.int32))
        self._counts.append(np.bincount(rows, minlength=len(features)))

    def save(self, file: Path, units: int) -> int:
        """Write what `scipy.sparse.load_npz` reads; gives the number of values."""
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(self._counts))])
        with file.open("wb") as out:
            np.savez(
                out,
                format=np.array(b"csr"),
                shape=np.array([len(indptr) - 1, units], dtype=np.int64),
                data=np.concatenate(self._values),
                indices=np.concatenate(self._indices),
                indptr=indptr.astype(np.int64),
            )
        return int(indptr[-1])


class _Dense:
    """Dense rows gathered batch by batch."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.float32]] = []

    def add(self, features: NDArray[np.float32]) -> None:
        self._rows.append(features)

    def save(self, file: Path, units: int) -> int:
        features = np.concatenate(self._rows)
        with file.open("wb") as out:
            np.save(out, features)
        return int(np.count_nonzero(features))


class _Heart:
    """Renews the lease from a thread of its own, however long a batch takes; says what has become of the job."""

    def __init__(self, store: JobStore, settings: Settings, claim: Claim, leaving: threading.Event) -> None:
        self._store, self._claim, self._leaving = store, claim, leaving
        self._lease_seconds = settings.lease_seconds
        self._stop = threading.Event()
        self._progress: dict[str, Any] = {}
        self._state = State.RUNNING
        self._lost = False
        self._thread = threading.Thread(target=self._run, name="encode-lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        heard, report = time.monotonic(), 0
        while not self._stop.wait(min(0.5, self._lease_seconds / 4)):
            try:
                report += 1
                self._state = self._store.beat(self._claim, report, self._progress)
                heard = time.monotonic()
            except LeaseLost:
                self._lost = True
                return
            except UNREACHABLE as error:
                log.warning("store unreachable", error=str(error))
                self._lost = time.monotonic() - heard > self._lease_seconds

    def reached(self, done: int, total: int) -> None:
        self._progress = {"progress": progress_at(done, total, done / total)}

    def may_go_on(self) -> bool:
        """False when a stop is asked for; raises `LeaseLost` when the job is no longer ours."""
        if self._lost:
            raise LeaseLost(self._claim.job["id"])
        return self._state is State.RUNNING and not self._leaving.is_set()


def encode_dataset(
    store: JobStore, artifacts: Artifacts, settings: Settings, claim: Claim, leaving: threading.Event
) -> None:
    """Run one claimed encode job to its end. Raises `LeaseLost`."""
    job = claim.job
    name, version = split(job["model"])
    assert version is not None
    with _Heart(store, settings, claim, leaving) as heart:
        engines = shared_engines()
        engine, layer = engines.get(name, version), job.get("layer")
        columns = engine.num_features(layer)
        images = open_dataset(artifacts.dataset(job["dataset"])).images
        gathered: _Csr | _Dense = _Csr() if job["output"]["sparse"] else _Dense()
        for start in range(0, len(images), BATCH):
            if not heart.may_go_on():
                break
            batch = images[start : start + BATCH]
            with engines.computing():
                features = engine.encode(batch, layer=layer)
            gathered.add(features)
            heart.reached(start + len(batch), len(images))
        else:
            result = _save(artifacts.job(job["id"]) / "result", claim.token, gathered, columns)
    if not heart.may_go_on():
        store.end(claim, "release", reason="worker_stopped" if leaving.is_set() else None)
        return
    result |= {"shape": [len(images), columns], "sparse": job["output"]["sparse"]}
    metrics = {
        "l0": result["values"] / len(images),
        "active_fraction": result["values"] / len(images) / columns,
    }
    done = {"result": result, "metrics": metrics, "progress": progress_at(len(images), len(images), 1)}
    store.end(claim, "succeed", done)


def _save(folder: Path, token: int, gathered: _Csr | _Dense, units: int) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)  # what attempts that died left
    folder.mkdir(parents=True)
    target = folder / f"{token}-features.{'npz' if isinstance(gathered, _Csr) else 'npy'}"
    beside = target.with_name(target.name + ".tmp")
    values = gathered.save(beside, units)
    put_in_place(beside, target)
    return {"file": f"result/{target.name}", "values": values, "bytes": target.stat().st_size}
