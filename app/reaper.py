"""Looks after jobs every few seconds: takes them from workers that fell silent, sends lost messages again, files
what has ended, tidies."""

import asyncio
import time

import anyio.to_thread
import structlog

from app.queue import JobQueue
from pinwheel.states import TERMINAL, State
from pinwheel.store import keys
from pinwheel.store.artifacts import Artifacts
from pinwheel.store.connection import UNREACHABLE
from pinwheel.store.filing import file_ended
from pinwheel.store.jobs import JobStore

log = structlog.get_logger()

ORPHAN_SECONDS = 3600  # an input without a job may be one that is just being submitted


async def reap_forever(store: JobStore, queue: JobQueue, artifacts: Artifacts, every_seconds: float) -> None:
    while True:
        try:
            await anyio.to_thread.run_sync(reap, store, queue)
            await anyio.to_thread.run_sync(sweep_inputs, store, artifacts)
            await anyio.to_thread.run_sync(file_ended, store.client, artifacts)
        except UNREACHABLE as error:
            log.warning("store unreachable", error=str(error))
        except Exception:  # the reaper must outlive whatever it meets
            log.exception("reaper")
        await asyncio.sleep(every_seconds)


def reap(store: JobStore, queue: JobQueue) -> None:
    """One round; any number of processes may do this at the same time."""
    for job_id in store.lapse():
        log.warning("worker lost", job=job_id)
    waiting = store.client.zcard(keys.jobs_in(State.QUEUED))
    for job_id, job_type in store.due():
        # A job that waits behind a long one has its message still; more messages would only pile up.
        if store.client.llen(keys.CELERY + job_type) < waiting:
            queue.send(job_type, job_id)


def sweep_inputs(store: JobStore, artifacts: Artifacts) -> None:
    """Take away the images of jobs that have ended, however they ended, and those that no job was made for."""
    for folder in artifacts.inputs.glob("job_*"):
        state = store.client.hget(keys.job(folder.name), "state")
        if state is None:
            try:
                left = time.time() - folder.stat().st_mtime > ORPHAN_SECONDS
            except FileNotFoundError:
                continue
        else:
            left = State(state.decode()) in TERMINAL
        if left:
            artifacts.remove(folder)
