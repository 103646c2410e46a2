"""Asking the encode workers: images out through the store, one reader for all the answers that come back."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import structlog
from numpy.typing import NDArray

from pinwheel.errors import InvalidDataset, NotFound, NoWorker, PinwheelError, StoreUnavailable, TooManyRequests
from pinwheel.settings import Settings
from pinwheel.store import keys
from pinwheel.store.connection import UNREACHABLE, AsyncClient
from pinwheel.store.wire import pack, unpack

log = structlog.get_logger()

MOST_WAITING = 2000
ERRORS: dict[str, type[PinwheelError]] = {"not_found": NotFound, "invalid_dataset": InvalidDataset}


@dataclass(frozen=True)
class Answer:
    """What came back: arrays by name, and how long it waited and computed."""

    arrays: dict[str, NDArray[Any]]
    queue_seconds: float
    compute_seconds: float


class Encoder:
    def __init__(self, commands: AsyncClient, blocking: AsyncClient, settings: Settings) -> None:
        self._commands = commands
        self._blocking = blocking
        self._seconds = settings.encode_seconds
        self._replies = keys.replies(uuid4().hex)
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._alive_until = 0.0

    async def run(self) -> None:
        """Complete the futures of those who wait, one reader for the whole process."""
        while True:
            try:
                popped = await self._blocking.blpop([self._replies], timeout=5)
            except Exception as error:  # whatever it is, this one reader must live on
                log.warning("store unreachable", error=str(error))
                await asyncio.sleep(1.0)
                continue
            if popped is None:
                continue
            message: bytes = popped[1]
            length = int.from_bytes(message[:4], "little")
            future = self._waiting.pop(json.loads(message[4 : 4 + length])["id"], None)
            if future and not future.done():
                future.set_result(message)

    async def ask(
        self,
        model: str,
        version: int,
        operation: str,
        images: NDArray[Any],
        *,
        passes: int | None = None,
        layer: int | None = None,
    ) -> Answer:
        """Run `operation` of a model on images (N, H, W, C); raises the errors of `pinwheel.errors`."""
        await self._check_worker()
        request_id = uuid4().hex
        future = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        try:
            asked = {"model": model, "version": version, "operation": operation, "passes": passes, "layer": layer}
            await self._send(request_id, asked, images)
            async with asyncio.timeout(self._seconds):
                message = await future
        except TimeoutError:
            raise NoWorker(f"No encode worker answered within {self._seconds:g} s.", retry_after_seconds=5) from None
        finally:
            self._waiting.pop(request_id, None)
        return _read(message)

    async def _send(self, request_id: str, asked: dict[str, Any], images: NDArray[Any]) -> None:
        now = time.time()
        asked |= {"id": request_id, "reply": self._replies, "sent": now, "deadline": now + self._seconds}
        body = pack({}, {"images": images})
        try:
            async with self._commands.pipeline(transaction=False) as pipeline:
                pipeline.set(keys.blob(request_id), body, ex=int(self._seconds) + 1)
                pipeline.rpush(keys.ENCODE_REQUESTS, json.dumps(asked))
                _, waiting = await pipeline.execute()
        except UNREACHABLE as error:
            raise StoreUnavailable("The store does not answer.", retry_after_seconds=2) from error
        if waiting > MOST_WAITING:
            await self._commands.delete(keys.blob(request_id))
            raise TooManyRequests(
                f"{waiting} encode requests are waiting; {MOST_WAITING} is the limit.", retry_after_seconds=2
            )

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


def _read(message: bytes) -> Answer:
    header, arrays = unpack(message)
    if "error" in header:
        kind = ERRORS.get(header["error"], PinwheelError)
        raise kind(header["detail"])
    return Answer(arrays, header["queue_seconds"], header["compute_seconds"])
