"""Encoding a whole data set as a job: batches under a lease, the result as one file in the job's folder."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.settings import Settings
from pinwheel.states import State
from pinwheel.store.artifacts import Artifacts, put_in_place
from pinwheel.store.jobs import Claim, JobStore
from pinwheel.store.models import split
from worker.data.reader import open_dataset
from worker.encoding.loop import shared_engines

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


def encode_dataset(
    store: JobStore, artifacts: Artifacts, settings: Settings, claim: Claim, leaving: threading.Event
) -> None:
    """Run one claimed encode job to its end. Raises `LeaseLost`."""
    job = claim.job
    name, version = split(job["model"])
    assert version is not None
    engines = shared_engines()
    engine = engines.get(name, version)
    images = open_dataset(artifacts.dataset(job["dataset"])).images
    gathered: _Csr | _Dense = _Csr() if job["output"]["sparse"] else _Dense()
    for number, start in enumerate(range(0, len(images), BATCH)):
        batch = images[start : start + BATCH]
        with engines.lock:
            features = engine.encode(batch)
        gathered.add(features)
        state = store.beat(claim, number + 1, {"progress": _progress(start + len(batch), len(images))})
        if state is not State.RUNNING or leaving.is_set():
            store.end(claim, "release")
            return
    result = _save(artifacts.job(job["id"]) / "result", claim.token, gathered, engine.units)
    result |= {"shape": [len(images), engine.units], "sparse": job["output"]["sparse"]}
    metrics = {"l0": result["values"] / len(images), "active_fraction": result["values"] / len(images) / engine.units}
    store.end(claim, "succeed", {"result": result, "metrics": metrics})


def _save(folder: Path, token: int, gathered: _Csr | _Dense, units: int) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{token}-features.{'npz' if isinstance(gathered, _Csr) else 'npy'}"
    beside = target.with_name(target.name + ".tmp")
    values = gathered.save(beside, units)
    put_in_place(beside, target)
    return {"file": f"result/{target.name}", "values": values, "bytes": target.stat().st_size}


def _progress(done: int, total: int) -> dict[str, Any]:
    return {
        "step": done,
        "total_steps": total,
        "epoch": done / total,
        "fraction": done / total,
        "samples_per_second": None,
        "eta": None,
    }
