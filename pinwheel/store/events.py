"""The log of a job: a stream whose entry ids are the event numbers."""

import json
from typing import Any

from pinwheel.store import keys
from pinwheel.store.connection import AsyncClient, Client

Entries = list[tuple[bytes, dict[bytes, bytes]]]


def read(client: Client, job_id: str, after: int = 0, count: int | None = None) -> list[dict[str, Any]]:
    """Events with numbers above `after`, oldest first."""
    return parse(client.xrange(keys.events(job_id), f"({after}-0", "+", count))


async def read_async(
    client: AsyncClient, job_id: str, after: int = 0, count: int | None = None
) -> list[dict[str, Any]]:
    """As `read`, on an event loop."""
    return parse(await client.xrange(keys.events(job_id), f"({after}-0", "+", count))


def parse(entries: Entries) -> list[dict[str, Any]]:
    return [
        {
            "object": "event",
            "seq": int(entry.split(b"-")[0]),
            "type": fields[b"type"].decode(),
            "time": fields[b"time"].decode(),
            "data": json.loads(fields[b"data"]),
        }
        for entry, fields in entries
    ]
