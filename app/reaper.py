"""Looks after jobs every few seconds: takes them from workers that fell silent and sends lost messages again."""

import asyncio

import anyio.to_thread
import structlog

from app.queue import JobQueue
from pinwheel.states import State
from pinwheel.store import keys
from pinwheel.store.connection import UNREACHABLE
from pinwheel.store.jobs import JobStore

log = structlog.get_logger()


async def reap_forever(store: JobStore, queue: JobQueue, every_seconds: float) -> None:
    while True:
        try:
            await anyio.to_thread.run_sync(reap, store, queue)
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
