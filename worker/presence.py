"""Says every few seconds that this worker lives, what it consumes and what it is doing."""

import contextlib
import os
import platform
import threading
from typing import Any

from celery import bootsteps

from pinwheel.settings import settings
from pinwheel.store import workers
from pinwheel.store.connection import UNREACHABLE, connect
from pinwheel.times import timestamp

EVERY_SECONDS = 3.0

# The job in hand, written by worker/tasks.py.
current_job: dict[str, str] = {}


def usable_cores() -> int:
    """Cores that this process may run on, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device() -> str:
    """What a training on this worker would use. Asked without waking CUDA in this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible == "" or not os.path.exists("/dev/nvidiactl"):  # noqa: PTH110
        return "cpu"
    return f"cuda:{visible}" if visible else "cuda"


class Presence(bootsteps.StartStopStep):
    """Celery bootstep: a thread that renews this worker's record."""

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._name = ""

    def start(self, parent: Any) -> None:
        self._name = parent.hostname
        queues = ",".join(sorted(parent.app.amqp.queues.consume_from))
        fields = {
            "name": self._name,
            "queues": queues,
            "device": device(),
            "host": platform.node(),
            "pid": str(os.getpid()),
            "threads": str(settings().threads or usable_cores()),
            "memory_bytes": str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
            "started_at": timestamp(),
        }
        self._thread = threading.Thread(target=self._run, args=(fields,), name="presence", daemon=True)
        self._thread.start()

    def _run(self, fields: dict[str, str]) -> None:
        client = connect(settings().store_url)
        while True:
            with contextlib.suppress(Exception):  # whatever it is, a living worker must go on saying so
                workers.announce(client, self._name, fields | {"job": current_job.get("id", "")})
            if self._stop.wait(EVERY_SECONDS):
                break
        with contextlib.suppress(*UNREACHABLE):
            workers.leave(client, self._name)

    def stop(self, parent: Any) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=2)
