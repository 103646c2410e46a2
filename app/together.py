"""Requests for a few images that ask the same of a model travel and are computed together.

Most of what one small request costs is its own way through the store and the worker. While the workers are busy with
what was sent before, requests gather here, and the next message has the images of all of them; whoever comes while
there is room asks at once. What was sent too long ago does not count as under way: a worker may have died with it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.errors import InvalidDataset
from pinwheel.store import encoding

PATIENCE_SECONDS = 0.5
MOST_ANSWER_BYTES = 4 * 1024 * 1024  # of a message


@dataclass(frozen=True)
class Answer:
    """What came back: arrays by name, how long it waited and computed, and how many requests were computed with it."""

    arrays: dict[str, NDArray[Any]]
    queue_seconds: float
    compute_seconds: float
    batch: int


@dataclass(frozen=True)
class Asked:
    """What is asked of a model, apart from the images."""

    model: str
    version: int
    operation: str
    parameters: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, model: str, version: int, operation: str, parameters: dict[str, Any]) -> "Asked":
        """Parameters that are None are left out."""
        given = ((name, value) for name, value in sorted(parameters.items()) if value is not None)
        return cls(model, version, operation, tuple(given))


# (what, images of all callers, how many callers) → the answer for all images
Ask = Callable[[Asked, NDArray[Any], int], Awaitable[Answer]]


class Together:
    """For one event loop. `most` requests go in one message; of each kind `messages` are under way at once."""

    def __init__(self, ask: Ask, most: int, messages: int = 1) -> None:
        self.ask = ask
        self.most = most
        self.messages = messages
        self.lines: dict[tuple[Any, ...], _Line] = {}

    def takes(self, images: NDArray[Any], answer_bytes: int) -> bool:
        """Whether a request is small enough to go with others."""
        return self.most > 1 and images.nbytes <= encoding.INLINE_BYTES and answer_bytes <= MOST_ANSWER_BYTES

    def join(self, asked: Asked, images: NDArray[Any], answer_bytes: int) -> "Caller":
        """Ask with the others. Whoever waits for `answer` calls `leave` in the end. Raises `TooManyRequests`."""
        name = (asked, images.dtype, images.shape[1:])
        line = self.lines.get(name)
        if line is None:
            line = self.lines[name] = _Line(self, name)
        caller = Caller(line, images, answer_bytes, asyncio.get_running_loop().create_future())
        line.join(caller)
        return caller


@dataclass(eq=False)
class Caller:
    line: "_Line"
    images: NDArray[Any]
    answer_bytes: int
    answer: "asyncio.Future[Answer]"
    since: float = field(default_factory=time.monotonic)

    def leave(self) -> None:
        """It does not wait, or not any more."""
        if not self.answer.done() or self.answer.cancelled() or self.answer.exception() is not None:
            self.answer.cancel()
            self.line.leave(self)


class _Line:
    """Those who ask the same: some wait, the others are under way in messages."""

    def __init__(self, together: Together, name: tuple[Any, ...]) -> None:
        self._together = together
        self._name = name
        self._asked: Asked = name[0]
        self._waiting: list[Caller] = []
        self._under_way: dict[asyncio.Task[None], tuple[float, list[Caller]]] = {}
        self._later: asyncio.TimerHandle | None = None

    def join(self, caller: Caller) -> None:
        if len(self._waiting) >= encoding.MOST_WAITING:
            raise encoding.too_many(self._asked.model, self._asked.version)
        self._waiting.append(caller)
        if len(self._waiting) == 1:  # with those who come in the same turn of the loop
            asyncio.get_running_loop().call_soon(self._send)

    def leave(self, caller: Caller) -> None:
        """A message that nobody waits for any more is given up."""
        if caller in self._waiting:
            self._waiting.remove(caller)
        for task, (_, callers) in self._under_way.items():
            if caller in callers and all(each.answer.done() for each in callers):
                task.cancel()

    def _send(self) -> None:
        """Send messages while there is room for them."""
        now = time.monotonic()
        while self._waiting and self._recent(now) < self._together.messages:
            callers = self._next()
            # in a context of its own: that of the first caller is not that of the others
            task = asyncio.get_running_loop().create_task(self._travel(callers), context=Context())
            self._under_way[task] = now, callers
            task.add_done_callback(self._arrived)
        if self._waiting and self._later is None:
            self._later = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._look_again)
        if not self._waiting and not self._under_way:
            if self._later is not None:
                self._later.cancel()
            if self._together.lines.get(self._name) is self:  # another may have begun since
                del self._together.lines[self._name]

    def _look_again(self) -> None:
        self._later = None
        self._send()

    def _recent(self, now: float) -> int:
        return sum(now - sent < PATIENCE_SECONDS for sent, _ in self._under_way.values())

    def _next(self) -> list[Caller]:
        """Those who come next, within what one message and its answer carry."""
        taken, size, answer_size = 0, 0, 0
        for caller in self._waiting[: self._together.most]:
            size += caller.images.nbytes
            answer_size += caller.answer_bytes
            if taken and (size > encoding.INLINE_BYTES or answer_size > MOST_ANSWER_BYTES):
                break
            taken += 1
        callers, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return callers

    def _arrived(self, task: "asyncio.Task[None]") -> None:
        del self._under_way[task]
        self._send()

    async def _travel(self, callers: list[Caller]) -> None:
        try:
            await self._travel_together(callers)
        except InvalidDataset as error:
            if len(callers) == 1:
                return _fail(callers, error)
            for caller in callers:  # the images of one of them cannot be encoded: each by itself
                if not caller.answer.done():
                    await self._travel([caller])
        except Exception as error:
            _fail(callers, error)

    async def _travel_together(self, callers: list[Caller]) -> None:
        sent = time.monotonic()
        images = callers[0].images if len(callers) == 1 else np.concatenate([caller.images for caller in callers])
        answer = await self._together.ask(self._asked, images, len(callers))
        row = 0
        for caller in callers:
            rows = slice(row, row + len(caller.images))
            row = rows.stop
            if caller.answer.done():  # its client has gone
                continue
            arrays = {name: array[rows] for name, array in answer.arrays.items()}
            queued = answer.queue_seconds + sent - caller.since
            caller.answer.set_result(Answer(arrays, queued, answer.compute_seconds, answer.batch))


def _fail(callers: list[Caller], error: Exception) -> None:
    for caller in callers:
        if not caller.answer.done():
            caller.answer.set_exception(error)
