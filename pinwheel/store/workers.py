"""Who works: each worker writes a record that expires unless it is renewed."""

from typing import Any

from pinwheel.store import keys
from pinwheel.store.connection import Client

SECONDS = 15


def announce(client: Client, name: str, fields: dict[str, str]) -> None:
    pipeline = client.pipeline()
    pipeline.hset(keys.worker(name), mapping=fields)
    pipeline.expire(keys.worker(name), SECONDS)
    pipeline.execute()


def leave(client: Client, name: str) -> None:
    client.delete(keys.worker(name))


def live(client: Client) -> list[dict[str, Any]]:
    """Workers heard of within the last seconds, by name."""
    found = []
    for key in sorted(client.scan_iter(match=keys.worker("*"), count=1000)):
        fields = client.hgetall(key)
        if fields:
            found.append({name.decode(): value.decode() for name, value in fields.items()})
    return found
