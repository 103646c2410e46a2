"""The two Celery tasks. A message carries only a job's id; without a claim there is nothing to do."""

import threading
from collections.abc import Callable
from functools import cache

import structlog

from pinwheel.errors import NotFound, is_full
from pinwheel.settings import settings
from pinwheel.store.artifacts import Artifacts
from pinwheel.store.connection import COMMAND_SECONDS, connect
from pinwheel.store.jobs import Claim, JobStore, LeaseLost
from worker.celery_app import celery, leaving
from worker.encoding.bulk import encode_dataset
from worker.presence import current_job
from worker.supervise import Supervisor

log = structlog.get_logger()


@cache
def job_store() -> JobStore:
    """Gives up in time for a lease: who cannot be heard for that long has lost the job, and stops."""
    seconds = min(COMMAND_SECONDS, settings().lease_seconds / 3)
    return JobStore(connect(settings().store_url, seconds, retries=1), settings())


@cache
def artifacts() -> Artifacts:
    return Artifacts(settings().data_dir)


def _train(claim: Claim) -> None:
    Supervisor(job_store(), artifacts(), settings(), claim, leaving).run()


def _encode(claim: Claim) -> None:
    encode_dataset(job_store(), artifacts(), settings(), claim, leaving)


def _with_claim(job_id: str, worker: str, work: Callable[[Claim], None]) -> None:
    if leaving.is_set():
        return  # the reaper sends the message again
    if (full := artifacts().room(settings().min_free_bytes)) is not None:
        log.warning("the data folder is full, the job waits", job=job_id, folder=full)
        return
    try:
        claim = job_store().claim(job_id, worker)
    except NotFound:  # it was deleted, or the message is of nobody we know
        log.warning("message without a job", job=job_id)
        return
    if claim is None:
        return
    current_job["id"] = job_id
    with structlog.contextvars.bound_contextvars(job=job_id, token=claim.token, request_id=claim.job.get("request_id")):
        log.info("job claimed", attempt=claim.job["attempt"])
        try:
            work(claim)
        except LeaseLost:
            log.warning("lease lost")
        except Exception as error:
            log.exception("job failed")
            if is_full(error):
                job_store().end(claim, "lose", reason="data_folder_full")
                return
            detail = f"{type(error).__name__} in the worker; its log has the rest"
            job_store().end(claim, "fail", {"error": {"code": "internal", "detail": detail}}, reason="internal")
        finally:
            current_job.pop("id", None)


@celery.task(name="pinwheel.train", bind=True)
def train(self, job_id: str) -> None:  # type: ignore[no-untyped-def]
    """Train a model: see `worker/supervise.py`."""
    _with_claim(job_id, self.request.hostname or threading.current_thread().name, _train)


@celery.task(name="pinwheel.encode", bind=True)
def encode(self, job_id: str) -> None:  # type: ignore[no-untyped-def]
    """Encode a data set: see `worker/encoding/bulk.py`."""
    _with_claim(job_id, self.request.hostname or threading.current_thread().name, _encode)
