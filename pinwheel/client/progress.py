"""How far a job is, on stderr, told from its events."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PLAIN_SECONDS = 5.0
SHOWN = ("loss", "unexplained_variance", "classification_error")


@contextmanager
def shown(job: str, wanted: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What shows an event: one line that is written over on a terminal, a line now and then elsewhere."""
    line = _Line(job) if wanted else None
    try:
        yield (lambda _: None) if line is None else line
    finally:
        if line is not None:
            line.end()


class _Line:
    def __init__(self, job: str) -> None:
        self._job = job
        self._status, self._at = "queued", ""
        self._over = sys.stderr.isatty()
        self._next = 0.0

    def __call__(self, event: dict[str, Any]) -> None:
        data = event["data"]
        if event["type"] in ("status", "done"):
            self._status = data.get("status", self._status)
        elif event["type"] == "metrics":
            self._at = _numbers(data)
        else:
            return
        now = time.monotonic()
        if self._over or event["type"] != "metrics" or now >= self._next:
            self._next = now + PLAIN_SECONDS
            text = f"{self._job} {self._status}  {self._at}".rstrip()
            sys.stderr.write(f"\r\033[K{text}" if self._over else f"{text}\n")
            sys.stderr.flush()

    def end(self) -> None:
        if self._over:
            sys.stderr.write("\n")


def _numbers(data: dict[str, Any]) -> str:
    told = [f"{name.replace('_', ' ')} {data[name]:.3f}" for name in SHOWN if name in data]
    return "  ".join([f"step {data['step']}", f"epoch {data['epoch']:.1f}", *told])
