"""A job's events as server-sent events, taken up again where the connection broke."""

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import httpx2

from pinwheel.client.connection import Link
from pinwheel.client.retries import backoff, waiting
from pinwheel.client.steps import Next, Pause, Step
from pinwheel.errors import Unavailable

SILENCE_SECONDS = 45.0  # the server says something every 15 s
MAX_FAILURES = 12  # connections in a row that brought no event

Handed = TypeVar("Handed")
Told = Generator[Step | Handed, Any, None]


class DeadlinePassed(Exception):
    """The time that the caller gave is over."""


class EventStream:
    """The events behind number `after` of the job at `path`, until `done`.

    Its steps raise `DeadlinePassed` at `deadline` (of `time.monotonic`), `ConnectionError` or `Unavailable` when the
    server stays away, and other errors of `pinwheel.errors` at once.
    """

    def __init__(self, link: Link, path: str, after: int, deadline: float | None) -> None:
        self._link = link
        self._path = path
        self._last = after
        self._deadline = deadline
        self._failures = 0
        self._ended = False

    def each(self, hand_over: Callable[[dict[str, Any]], Handed]) -> Told[Handed]:
        """The steps; each event is taken by the step that `hand_over` makes of it."""
        while not self._ended:
            try:
                yield from self._one_connection(hand_over)
                pause = 0.0 if self._ended else backoff(0)  # the server closed early: it is being started again
            except httpx2.TransportError as error:
                pause = self._failed(self._link.no_answer(error))
            except Unavailable as problem:
                pause = waiting(problem, 0)
                self._failed(problem)
            yield Pause(self._bounded(pause))

    def _one_connection(self, hand_over: Callable[[dict[str, Any]], Handed]) -> Told[Handed]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(self._last)}
        timeout = httpx2.Timeout(10.0, read=max(0.05, self._bounded(SILENCE_SECONDS)))
        answer = yield from self._link.open(f"{self._path}/events", events=True, headers=headers, timeout=timeout)
        self._ended = answer.status_code == 204  # nothing is left to say
        while not self._ended:
            sent = yield Next()
            if sent is None:
                return
            event: Any = sent.json()
            self._failures, self._last = 0, event["seq"]
            self._ended = event["type"] == "done"
            yield hand_over(event)
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
