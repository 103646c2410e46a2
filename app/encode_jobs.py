"""Encode requests that become jobs: the images wait in a folder of the job's own, which goes when it ends."""

import asyncio
import time
from pathlib import Path
from typing import Any

import anyio.to_thread

from app.encode_requests import Body, model_inputs
from app.formats.convert import convert
from app.formats.options import DatasetOptions
from app.pooling import Pooling
from app.services import Services
from pinwheel.ids import new_id
from pinwheel.progress import progress_at
from pinwheel.states import TERMINAL, State
from pinwheel.store import models

MAX_ATTEMPTS = 3


async def submit(body: Body, record: dict[str, Any], asked: dict[str, Any], services: Services) -> dict[str, Any]:
    """The record of the new job. `asked`: layer, passes, pool, stride, output. Raises what reading the body raises."""
    with services.artifacts.staged() as folder:
        files = await anyio.to_thread.run_sync(body.stage, folder)
        target = folder / "stored"
        options = DatasetOptions.model_validate({})
        manifest = await convert(files, {}, options, target, services.settings, model_inputs(record))
        return await anyio.to_thread.run_sync(_create, services, target, record, asked, manifest)


def _create(
    services: Services, stored: Path, record: dict[str, Any], asked: dict[str, Any], manifest: dict[str, Any]
) -> dict[str, Any]:
    Pooling(asked["pool"], asked["stride"]).check_dataset(record, manifest, asked["layer"], asked["output"])
    job_id = new_id("job")
    fields = asked | {
        "type": "encode",
        "model": f"{record['name']}@{record['version']}",
        "max_attempts": MAX_ATTEMPTS,
        "metadata": {},
        "progress": progress_at(0, manifest["images"]["count"], 0),
    }
    kept = services.artifacts.input(job_id)
    services.artifacts.adopt(stored, kept)
    try:
        services.jobs.create(job_id, fields, [models.used_by(record["name"], record["version"])])
    except BaseException:
        services.artifacts.remove(kept)
        raise
    services.queue.send("encode", job_id)
    return services.jobs.get(job_id)


async def ended(services: Services, job_id: str, seconds: float) -> dict[str, Any]:
    """The job once it has ended, or as it is after so many seconds."""
    until = time.monotonic() + seconds
    follower = services.watch.follow(job_id)
    try:
        while True:
            follower.clear()
            job = await anyio.to_thread.run_sync(services.jobs.get, job_id)
            left = until - time.monotonic()
            if State(job["state"]) in TERMINAL or left <= 0:
                return job
            try:
                async with asyncio.timeout(left):
                    await follower.wait()
            except TimeoutError:
                continue
    finally:
        services.watch.leave(job_id, follower)
