"""Asking the encode workers: images out through the store, one listener for all the answers that come back.

Many images go in pieces, a few at a time: while one is computed the next is on its way, other models get their turn
between them, and what is left is never sent once the client has gone.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import uuid4

import numpy as np
import structlog
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

from pinwheel.errors import (
    InvalidDataset,
    ModelLoading,
    NotFound,
    NoWorker,
    PinwheelError,
    StoreUnavailable,
    TooManyRequests,
)
from pinwheel.settings import Settings
from pinwheel.store import encoding, keys
from pinwheel.store.connection import COMMAND_SECONDS, UNREACHABLE, AsyncClient, Client
from pinwheel.store.gathering import Gathering
from pinwheel.store.wire import pack, unpack

log = structlog.get_logger()

ERRORS: dict[str, type[PinwheelError]] = {
    "not_found": NotFound,
    "invalid_dataset": InvalidDataset,
    "model_loading": ModelLoading,
}
Message: TypeAlias = tuple[dict[str, Any], dict[str, NDArray[Any]]]  # header, arrays
PIECE_BYTES = 2 * 1024 * 1024
PIECES_AT_ONCE = 3
MOST_TIMES_ASKED = 3
RECONNECT_SECONDS = 0.2

# Set while a request is handled whose client may go away (`app/gone.py`): done once it has.
client_gone: ContextVar["asyncio.Future[None] | None"] = ContextVar("client_gone", default=None)


class ClientGone(PinwheelError):
    """Nobody reads the answer any more."""

    status, code, title = 499, "client_gone", "The client has gone"


class Unheard(Exception):
    """The connection that answers come over broke while this one was waited for."""


@dataclass(frozen=True)
class Answer:
    """What came back: arrays by name, how long it waited and computed, and how many requests were computed with it."""

    arrays: dict[str, NDArray[Any]]
    queue_seconds: float
    compute_seconds: float
    batch: int


class Encoder:
    def __init__(
        self, client: Client, commands: AsyncClient, blocking: AsyncClient, gathering: Gathering, settings: Settings
    ) -> None:
        self._client = client
        self._commands = commands
        self._blocking = blocking
        self._seconds = settings.encode_seconds
        self._replies = keys.replies(uuid4().hex)
        self._gathering = gathering
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._listening = asyncio.Event()
        self._alive_until = 0.0

    async def run(self) -> None:
        """Complete the futures of those who wait, one listener for the whole process."""
        while True:
            try:
                async with self._blocking.pubsub() as answers:
                    await answers.subscribe(self._replies)
                    async for message in answers.listen():
                        if message["type"] == "message":
                            for answer in encoding.answers_in(message["data"]):
                                self._complete(answer)
                        else:  # subscribed: for the first time, or again after the connection broke
                            self._lose()
                            self._listening.set()
            except Exception as error:  # whatever it is, this one listener must live on
                log.warning("store unreachable", error=str(error))
                self._lose()
                await asyncio.sleep(RECONNECT_SECONDS)

    def _lose(self) -> None:
        """Answers were not heard for a while: those who wait ask again, others do not begin."""
        self._listening.clear()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unheard)

    def _complete(self, message: bytes) -> None:
        read = unpack(message)
        future = self._waiting.pop(read[0]["id"], None)
        if future and not future.done():
            future.set_result(read)

    async def ask(
        self,
        model: str,
        version: int,
        operation: str,
        images: NDArray[Any],
        **parameters: Any,
    ) -> Answer:
        """Run `operation` of a model on images (N, H, W, C); raises the errors of `pinwheel.errors`.

        `parameters` are those of the worker's engine; those that are None are left out.
        """
        await self._check_listening()
        await self._check_worker()
        asked = {"model": model, "version": version, "operation": operation}
        asked["parameters"] = {name: value for name, value in parameters.items() if value is not None}
        rows = max(1, PIECE_BYTES // max(1, images[:1].nbytes))
        if len(images) <= rows:
            return await self._ask(asked, images)
        at_once = asyncio.Semaphore(PIECES_AT_ONCE)

        async def piece(start: int) -> Answer:
            async with at_once:
                return await self._ask(asked, images[start : start + rows])

        tasks = [asyncio.create_task(piece(start)) for start in range(0, len(images), rows)]
        try:
            answers = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return await run_in_threadpool(_joined, answers)

    async def _ask(self, asked: dict[str, Any], images: NDArray[Any]) -> Answer:
        for _ in range(MOST_TIMES_ASKED):
            try:
                return await self._ask_once(asked, images)
            except Unheard:  # its answer may have come while nobody listened
                await self._check_listening()
        raise StoreUnavailable("The store went away meanwhile.", retry_after_seconds=2)

    async def _ask_once(self, asked: dict[str, Any], images: NDArray[Any]) -> Answer:
        request_id = uuid4().hex
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        answered = False
        try:
            await self._send(request_id, asked, images)
            message = await self._first(future)
            answered = True
        except TimeoutError:
            raise NoWorker(f"No encode worker answered within {self._seconds:g} s.", retry_after_seconds=5) from None
        finally:
            self._waiting.pop(request_id, None)
            if not answered:
                await self._give_up(request_id)
        return await self._read(request_id, message)

    async def _first(self, future: "asyncio.Future[Message]") -> Message:
        """The answer, unless the client goes away before it comes."""
        gone = client_gone.get()
        async with asyncio.timeout(self._seconds):
            if gone is None:
                return await future
            either: list[asyncio.Future[Any]] = [future, gone]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise ClientGone("The client went away before its answer was there.")
        return future.result()

    async def _send(self, request_id: str, asked: dict[str, Any], images: NDArray[Any]) -> None:
        now = time.time()
        blob = images.nbytes > encoding.INLINE_BYTES
        more = {"reply": self._replies, "sent": now, "deadline": now + self._seconds, "blob": blob}
        expires = int(self._seconds) + 1
        try:
            if blob:
                await run_in_threadpool(self._put, request_id, images, expires)
            packed = pack(asked | more, {} if blob else {"images": images})
            request = encoding.request(request_id, images.nbytes, packed)
            model = encoding.model_key(asked["model"], asked["version"])
            args = [encoding.LISTS, model, request, expires, encoding.MOST_WAITING]
            waiting = await self._gathering.eval(encoding.PUSH, [keys.ENCODE_READY], args)
        except UNREACHABLE as error:
            raise StoreUnavailable("The store does not answer.", retry_after_seconds=2) from error
        if waiting < 0:
            raise TooManyRequests(
                f"{encoding.MOST_WAITING} encode requests wait for {model}, the most that may.", retry_after_seconds=2
            )

    def _put(self, request_id: str, images: NDArray[Any], expires: int) -> None:
        self._client.set(keys.blob(request_id), pack({}, {"images": images}), ex=expires)

    async def _give_up(self, request_id: str) -> None:
        """Tell the workers that nobody waits for it: they drop it when they come to it."""
        with suppress(*UNREACHABLE):
            async with self._commands.pipeline(transaction=False) as pipeline:
                pipeline.sadd(keys.ENCODE_GONE, request_id)
                pipeline.expire(keys.ENCODE_GONE, encoding.GONE_SECONDS)
                pipeline.delete(keys.blob(request_id))
                await pipeline.execute()

    async def _read(self, request_id: str, message: Message) -> Answer:
        header, arrays = message
        if header["blob"]:
            try:
                body = await run_in_threadpool(self._client.getdel, keys.blob(request_id))
            except UNREACHABLE as error:
                raise StoreUnavailable("The store does not answer.", retry_after_seconds=2) from error
            if body is None:
                raise StoreUnavailable("The answer expired before it was read.", retry_after_seconds=2)
            header, arrays = unpack(body)
        if "error" in header:
            kind = ERRORS.get(header["error"], PinwheelError)
            raise kind(header["detail"], retry_after_seconds=1 if kind is ModelLoading else None)
        return Answer(arrays, header["queue_seconds"], header["compute_seconds"], header["batch"])

    async def _check_listening(self) -> None:
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                await self._listening.wait()
        except TimeoutError:
            raise StoreUnavailable("The store does not answer.", retry_after_seconds=2) from None

    async def _check_worker(self) -> None:
        """Refuse at once when no encode worker lives; looked up at most every few seconds."""
        if time.monotonic() < self._alive_until:
            return
        async for key in self._commands.scan_iter(match=keys.worker("*"), count=1000):
            queues = await self._commands.hget(key, "queues")
            if queues and b"encode" in queues.split(b","):
                self._alive_until = time.monotonic() + 3
                return
        raise NoWorker("No encode worker is alive.", retry_after_seconds=5)


def _joined(answers: Sequence[Answer]) -> Answer:
    arrays = {name: np.concatenate([each.arrays[name] for each in answers]) for name in answers[0].arrays}
    computed = sum(each.compute_seconds for each in answers)
    return Answer(arrays, answers[0].queue_seconds, computed, max(each.batch for each in answers))
