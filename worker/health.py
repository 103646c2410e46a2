"""`python -m worker.health`: exit status 0 when a worker on this host said lately that it lives."""

import platform
import sys

from pinwheel.settings import settings
from pinwheel.store import workers
from pinwheel.store.connection import connect


def main() -> int:
    alive = workers.live(connect(settings().redis_url or "redis://127.0.0.1:6379/0"))
    return 0 if any(worker["host"] == platform.node() for worker in alive) else 1


if __name__ == "__main__":
    sys.exit(main())
