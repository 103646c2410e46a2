"""`python -m worker.health`: exit status 0 when a worker on this host said lately that it lives, else 1 and why."""

import platform
import sys

from redis.exceptions import RedisError

from pinwheel.settings import settings
from pinwheel.store import workers
from pinwheel.store.connection import connect


def trouble(url: str, host: str) -> str | None:
    """What is wrong with the worker on `host`, or None."""
    try:
        alive = workers.live(connect(url))
    except RedisError as error:
        return f"The store does not answer: {error}"
    if any(worker["host"] == host for worker in alive):
        return None
    return f"No worker on {host} gave a sign of life in the last {workers.SECONDS} s."


def main() -> int:
    found = trouble(settings().store_url, platform.node())
    if found:
        print(found, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
