"""Who works: each worker writes a record that expires unless it is renewed."""

from typing import Any

import redis

from pinwheel.store import keys

SECONDS = 15


def announce(client: redis.Redis, name: str, fields: dict[str, str]) -> None:
    pipeline = client.pipeline()
    pipeline.hset(keys.worker(name), mapping=fields)
    pipeline.expire(keys.worker(name), SECONDS)
    pipeline.execute()


def leave(client: redis.Redis, name: str) -> None:
    client.delete(keys.worker(name))


def live(client: redis.Redis) -> list[dict[str, Any]]:
    """Workers heard of within the last seconds, by name."""
    found = []
    for key in sorted(client.scan_iter(match=keys.worker("*"), count=1000)):
        fields = client.hgetall(key)
        if fields:
            found.append({name.decode(): value.decode() for name, value in fields.items()})
    return found
