"""Encoding a whole data set as a job: batches under a lease, the result as shards in the job's folder."""

import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import numpy as np
import structlog
from numpy.typing import NDArray

from pinwheel.progress import progress_at
from pinwheel.selection import select
from pinwheel.settings import Settings
from pinwheel.states import State
from pinwheel.store.artifacts import Artifacts
from pinwheel.store.connection import UNREACHABLE
from pinwheel.store.jobs import Claim, JobStore, LeaseLost
from pinwheel.store.models import split
from pinwheel.times import timestamp
from worker.data.reader import open_dataset
from worker.encoding.loop import shared_engines
from worker.encoding.shards import ShardWriter

log = structlog.get_logger()

BATCH = 1000
BATCH_BYTES = 32 * 2**20  # of the features of one batch


class _Heart:
    """Renews the lease from a thread of its own, however long a batch takes; says what has become of the job."""

    def __init__(self, store: JobStore, settings: Settings, claim: Claim, leaving: threading.Event) -> None:
        self._store, self._claim, self._leaving = store, claim, leaving
        self._lease_seconds = settings.lease_seconds
        self._stop = threading.Event()
        self._fields: dict[str, Any] = {}
        self._state = State.RUNNING
        self._lost = False
        self._start, self._done_before = time.monotonic(), 0
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
                self._state = self._store.beat(self._claim, report, self._fields)
                heard = time.monotonic()
            except LeaseLost:
                self._lost = True
                return
            except UNREACHABLE as error:
                log.warning("store unreachable", error=str(error))
                self._lost = time.monotonic() - heard > self._lease_seconds

    def begins(self, done: int) -> None:
        """How many images earlier attempts have done."""
        self._start, self._done_before = time.monotonic(), done

    def reached(self, done: int, total: int, writer: ShardWriter) -> None:
        """Tell of the images that are done and the shards that are finished with the next beat."""
        rate = (done - self._done_before) / max(time.monotonic() - self._start, 1e-6)
        eta = timestamp(datetime.now(UTC) + timedelta(seconds=(total - done) / rate)) if rate else None
        progress = progress_at(done, total, done / total) | {"samples_per_second": rate, "eta": eta}
        self._fields = {"progress": progress, "shards": list(writer.shards)}

    def may_go_on(self) -> bool:
        """False when a stop is asked for; raises `LeaseLost` when the job is no longer ours."""
        if self._lost:
            raise LeaseLost(self._claim.job["id"])
        return self._state is State.RUNNING and not self._leaving.is_set()


def encode_dataset(
    store: JobStore, artifacts: Artifacts, settings: Settings, claim: Claim, leaving: threading.Event
) -> None:
    """Run one claimed encode job to its end. Raises `LeaseLost`."""
    try:
        finished, fields = _encode(store, artifacts, settings, claim, leaving)
    except ValueError as error:  # what the model cannot take, or answers with numbers that are none
        store.end(claim, "fail", {"error": {"code": "invalid_dataset", "detail": str(error)}}, reason="invalid_dataset")
        return
    if not finished:
        store.end(claim, "release", fields, reason="worker_stopped" if leaving.is_set() else None)
        return
    store.end(claim, "succeed", fields)
    shutil.rmtree(artifacts.input(claim.job["id"]), ignore_errors=True)  # of other ends, the server's reaper clears up


def _encode(
    store: JobStore, artifacts: Artifacts, settings: Settings, claim: Claim, leaving: threading.Event
) -> tuple[bool, dict[str, Any]]:
    """Whether it came to the end before a stop was asked for, and what is to be written into the record."""
    job = claim.job
    with _Heart(store, settings, claim, leaving) as heart:
        name, version = split(job["model"])
        assert version is not None
        engines = shared_engines()
        engine, layer, output = engines.get(name, version), job.get("layer"), job["output"]
        pool, stride = job.get("pool"), job.get("stride")
        folder = artifacts.dataset(job["dataset"]) if job.get("dataset") else artifacts.input(job["id"])
        images = open_dataset(folder).images
        columns = engine.columns(images, layer, pool, stride)
        writer = ShardWriter(
            artifacts.job(job["id"]) / "result",
            claim.token,
            columns,
            sparse=output["sparse"],
            shard_bytes=settings.result_shard_bytes,
            known=job.get("shards") or [],
        )
        heart.begins(writer.rows)
        batch = max(1, min(BATCH, min(BATCH_BYTES, settings.result_shard_bytes) // (4 * columns)))
        for start in range(writer.rows, len(images), batch):
            if not heart.may_go_on():
                return False, {"shards": writer.shards}
            some = images[start : start + batch]
            with engines.computing():
                features = engine.encode(some, job.get("passes"), layer, pool, stride)
            writer.add(_kept(features, output))
            heart.reached(start + len(some), len(images), writer)
        writer.flush()
        heart.may_go_on()
    return True, _done(writer, len(images), columns, output)


def _kept(features: NDArray[np.float32], output: dict[str, Any]) -> NDArray[np.float32]:
    """What of the features is asked for. Raises ValueError for those that cannot be written."""
    if not np.isfinite(features).all():
        raise ValueError("the pixels are so large that the model's numbers overflow; scale them down")
    kept: NDArray[np.float32] = select(features, output.get("topk"), output.get("threshold"))
    most = np.finfo(output.get("dtype") or "float32").max
    if kept.size and np.abs(kept).max() > most:
        raise ValueError(f"a feature of {np.abs(kept).max():g} does not fit into {output['dtype']}; ask for float32")
    return kept


def _done(writer: ShardWriter, count: int, columns: int, output: dict[str, Any]) -> dict[str, Any]:
    values = sum(shard["values"] for shard in writer.shards)
    result = {
        "shape": [count, columns],
        "sparse": output["sparse"],
        "values": values,
        "bytes": sum(shard["bytes"] for shard in writer.shards),
        "shards": len(writer.shards),
    }
    metrics = {"l0": values / count, "active_fraction": values / count / columns}
    progress = progress_at(count, count, 1)
    return {"result": result, "shards": writer.shards, "metrics": metrics, "progress": progress}
