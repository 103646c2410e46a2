"""A job's events as server-sent events, taken up again where the connection broke."""

import time
from collections.abc import Iterator
from typing import Any

import httpx2

from pinwheel.client.connection import Connection, backoff, waiting
from pinwheel.errors import Unavailable

SILENCE_SECONDS = 45.0  # the server says something every 15 s
MAX_FAILURES = 12  # connections in a row that brought no event


class DeadlinePassed(Exception):
    """The time that the caller gave is over."""


class EventStream:
    """Iterates over the events behind number `after` of the job at `path`, until `done`.

    Raises `DeadlinePassed` at `deadline` (of `time.monotonic`), `ConnectionError` or `Unavailable` when the server
    stays away, and other errors of `pinwheel.errors` at once.
    """

    def __init__(self, connection: Connection, path: str, after: int, deadline: float | None) -> None:
        self._connection = connection
        self._path = path
        self._last = after
        self._deadline = deadline
        self._failures = 0
        self._ended = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while not self._ended:
            try:
                yield from self._one_connection()
                pause = 0.0 if self._ended else backoff(0)  # the server closed early: it is being started again
            except httpx2.TransportError as error:
                pause = self._failed(self._connection.no_answer(error))
            except Unavailable as problem:
                pause = waiting(problem, 0)
                self._failed(problem)
            time.sleep(self._bounded(pause))

    def _one_connection(self) -> Iterator[dict[str, Any]]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(self._last)}
        timeout = httpx2.Timeout(10.0, read=max(0.05, self._bounded(SILENCE_SECONDS)))
        with self._connection.stream(f"{self._path}/events", headers=headers, timeout=timeout) as answer:
            self._ended = answer.status_code == 204  # nothing is left to say
            if self._ended:
                return
            for sent in httpx2.EventSource(answer):
                event: Any = sent.json()
                self._failures, self._last = 0, event["seq"]
                self._ended = event["type"] == "done"
                yield event
                if self._ended:
                    return
                self._bounded(0.0)

    def _failed(self, error: Exception) -> float:
        """Count a failure; gives the seconds to wait, or raises `error` when there were too many."""
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            raise error
        return backoff(self._failures)

    def _bounded(self, seconds: float) -> float:
        if self._deadline is None:
            return seconds
        left = self._deadline - time.monotonic()
        if left <= 0 and not self._ended:
            raise DeadlinePassed
        return max(0.0, min(seconds, left))
