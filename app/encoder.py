"""Asking the encode workers: images out through the store, one listener for all the answers that come back.

A few images go together with those of others (`app/together.py`). Many go in pieces, some at a time: while one is
computed the next is on its way, other models get their turn between them, and what is left is never sent once the
client has gone.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context, ContextVar
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

import numpy as np
import structlog
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

from app.together import Answer, Asked, Together
from pinwheel.errors import (
    InvalidDataset,
    ModelLoading,
    NotFound,
    NoWorker,
    PinwheelError,
    StoreUnavailable,
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
T = TypeVar("T")
Message: TypeAlias = tuple[dict[str, Any], dict[str, NDArray[Any]]]  # header, arrays
PIECE_BYTES = 2 * 1024 * 1024
PIECES_AT_ONCE = 3
MOST_TIMES_ASKED = 3
MESSAGES_PER_WORKER = 4  # of one kind: it takes all that wait at once, and what comes meanwhile makes up the next ones
RECONNECT_SECONDS = 0.2

# Set while a request is handled whose client may go away (`app/gone.py`): done once it has.
client_gone: ContextVar["asyncio.Future[None] | None"] = ContextVar("client_gone", default=None)


class ClientGone(PinwheelError):
    """Nobody reads the answer any more."""

    status, code, title = 499, "client_gone", "The client has gone"


class Unheard(Exception):
    """The connection that answers come over broke while this one was waited for."""


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
        self._together = Together(self._ask, settings.encode_batch)
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._listening = asyncio.Event()
        self._alive_until = 0.0
        self._looking: asyncio.Task[int] | None = None

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
        answer_bytes: int,
        **parameters: Any,
    ) -> Answer:
        """Run `operation` of a model on images (N, H, W, C); raises the errors of `pinwheel.errors`.

        The answer has at most `answer_bytes`. `parameters` are those of the worker's engine; those that are None are
        left out.
        """
        await self._check_listening()
        await self._check_worker()
        asked = Asked.of(model, version, operation, parameters)
        if self._together.takes(images, answer_bytes):
            caller = self._together.join(asked, images, answer_bytes)
            try:
                return await self._first(caller.answer)
            finally:
                caller.leave()
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

    async def _ask(self, asked: Asked, images: NDArray[Any], callers: int = 1) -> Answer:
        for _ in range(MOST_TIMES_ASKED):
            try:
                return await self._ask_once(asked, images, callers)
            except Unheard:  # its answer may have come while nobody listened
                await self._check_listening()
        raise StoreUnavailable("The store went away meanwhile.", retry_after_seconds=2)

    async def _ask_once(self, asked: Asked, images: NDArray[Any], callers: int) -> Answer:
        request_id = uuid4().hex
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        answered = False
        try:
            await self._send(request_id, asked, images, callers)
            message = await self._first(future)
            answered = True
        finally:
            self._waiting.pop(request_id, None)
            if not answered:
                await self._give_up(request_id)
        return await self._read(request_id, message)

    async def _first(self, future: "asyncio.Future[T]") -> T:
        """What the future becomes, unless the client goes away or the time ends before."""

        def late() -> None:
            if not future.done():
                detail = f"No encode worker answered within {self._seconds:g} s."
                future.set_exception(NoWorker(detail, retry_after_seconds=5))

        def leave(_: "asyncio.Future[None]") -> None:
            if not future.done():
                future.set_exception(ClientGone("The client went away before its answer was there."))

        timer = asyncio.get_running_loop().call_later(self._seconds, late)
        gone = client_gone.get()
        if gone is not None:
            gone.add_done_callback(leave)
        try:
            return await future
        finally:
            timer.cancel()
            if gone is not None:
                gone.remove_done_callback(leave)

    async def _send(self, request_id: str, asked: Asked, images: NDArray[Any], callers: int) -> None:
        now = time.time()
        blob = images.nbytes > encoding.INLINE_BYTES
        header = {"model": asked.model, "version": asked.version, "operation": asked.operation}
        header["parameters"] = dict(asked.parameters)
        header |= {"reply": self._replies, "sent": now, "deadline": now + self._seconds, "blob": blob}
        expires = int(self._seconds) + 1
        try:
            if blob:
                await run_in_threadpool(self._put, request_id, images, expires)
            packed = pack(header, {} if blob else {"images": images})
            request = encoding.request(request_id, callers, images.nbytes, packed)
            model = encoding.model_key(asked.model, asked.version)
            args = [encoding.LISTS, model, request, expires, encoding.MOST_WAITING]
            waiting = await self._gathering.eval(encoding.PUSH, [keys.ENCODE_READY], args)
        except UNREACHABLE as error:
            raise StoreUnavailable("The store does not answer.", retry_after_seconds=2) from error
        if waiting < 0:
            raise encoding.too_many(asked.model, asked.version)

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
        if self._listening.is_set():
            return
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                await self._listening.wait()
        except TimeoutError:
            raise StoreUnavailable("The store does not answer.", retry_after_seconds=2) from None

    async def _check_worker(self) -> None:
        """Refuse at once when no encode worker lives; looked up at most every few seconds, once for all who ask."""
        if time.monotonic() < self._alive_until:
            return
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_for_workers(), context=Context())
        if not await asyncio.shield(self._looking):
            raise NoWorker("No encode worker is alive.", retry_after_seconds=5)

    async def _look_for_workers(self) -> int:
        alive = 0
        async for key in self._commands.scan_iter(match=keys.worker("*"), count=1000):
            queues = await self._commands.hget(key, "queues")
            alive += bool(queues and b"encode" in queues.split(b","))
        if alive:
            self._alive_until = time.monotonic() + 3
            self._together.messages = MESSAGES_PER_WORKER * alive
        return alive


def _joined(answers: Sequence[Answer]) -> Answer:
    arrays = {name: np.concatenate([each.arrays[name] for each in answers]) for name in answers[0].arrays}
    computed = sum(each.compute_seconds for each in answers)
    return Answer(arrays, answers[0].queue_seconds, computed, max(each.batch for each in answers))
