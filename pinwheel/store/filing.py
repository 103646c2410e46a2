"""Ended jobs as files: what the store knows of them, for the day when the store is lost.

A job that ends is put on the list `unfiled` in the step that ends it; the server's reaper files what is there and then
takes it off. `jobs/{id}/job.json.gz` holds the fields of the record and the events, as they are in the store.
"""

import gzip
import json
from typing import Any

from pinwheel.store import keys
from pinwheel.store.artifacts import Artifacts, put_in_place
from pinwheel.store.connection import Client

NAME = "job.json.gz"
AT_ONCE = 20


def file_ended(client: Client, artifacts: Artifacts) -> int:
    """File some of the jobs that ended since; gives how many. Any number of processes may do this at the same time."""
    waiting = client.srandmember(keys.UNFILED, AT_ONCE)
    for raw in waiting:
        _file(client, artifacts, raw.decode())
        client.srem(keys.UNFILED, raw)
    return len(waiting)


def _file(client: Client, artifacts: Artifacts, job_id: str) -> None:
    fields = client.hgetall(keys.job(job_id))
    if not fields:  # forgotten already
        return
    document = {
        "fields": {name.decode(): value.decode() for name, value in fields.items()},
        "events": [
            [entry.decode(), {name.decode(): value.decode() for name, value in told.items()}]
            for entry, told in client.xrange(keys.events(job_id))
        ],
    }
    folder = artifacts.job(job_id)
    folder.mkdir(parents=True, exist_ok=True)
    with artifacts.staged() as staging:
        beside = staging / NAME
        beside.write_bytes(gzip.compress(json.dumps(document).encode(), 6, mtime=0))
        put_in_place(beside, folder / NAME)
    if not client.exists(keys.job(job_id)):  # forgotten meanwhile
        artifacts.remove(folder)


def filed(artifacts: Artifacts, job_id: str) -> dict[str, Any] | None:
    """`fields` and `events` of a job, or None where it was not filed. Raises OSError, EOFError or ValueError for a
    damaged file."""
    try:
        raw = gzip.decompress((artifacts.job(job_id) / NAME).read_bytes())
    except FileNotFoundError:
        return None
    document: dict[str, Any] = json.loads(raw)
    return document


def put_back(client: Client, document: dict[str, Any]) -> bool:
    """A filed job into a store that does not know it; False where it does."""
    fields, entries = document["fields"], document["events"]
    job_id, state = fields["id"], fields["state"]
    key, log = keys.job(job_id), keys.events(job_id)
    if client.exists(key):
        return False
    pipeline = client.pipeline(transaction=True)
    pipeline.delete(log)
    for entry, told in entries:
        pipeline.xadd(log, told, id=entry)
    pipeline.hset(key, mapping=fields)
    pipeline.zadd(keys.JOBS, {job_id: 0})
    pipeline.zadd(keys.jobs_in(state), {job_id: 0})
    pipeline.execute()
    return True
