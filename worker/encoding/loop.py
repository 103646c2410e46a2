"""The loop for interactive requests, a thread inside the encode worker.

It takes whatever waits and never waits for more: under load batches grow by themselves, at rest one request runs alone.
The images are raw bytes under a key that expires; the request on the list is small.
"""

import contextlib
import json
import threading
import time
from typing import Any

import structlog
from celery import bootsteps

from pinwheel.settings import settings
from pinwheel.store import keys
from pinwheel.store.artifacts import Artifacts
from pinwheel.store.connection import UNREACHABLE, Client, connect, connect_blocking
from pinwheel.store.wire import pack, unpack
from worker.encoding.cache import EngineCache
from worker.encoding.requests import Request, answer, grouped

log = structlog.get_logger()

MOST_REQUESTS = 64
MOST_BATCH_BYTES = 64 * 1024 * 1024
WAIT_SECONDS = 1
REPLY_SECONDS = 60


class EncodeLoop(bootsteps.StartStopStep):
    """Celery bootstep: runs the loop in workers that consume the queue `encode`."""

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, parent: Any) -> None:
        if "encode" not in parent.app.amqp.queues.consume_from:
            return
        self._thread = threading.Thread(target=self._run, name="encode-loop", daemon=True)
        self._thread.start()

    def stop(self, parent: Any) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        url = settings().store_url
        commands, blocking = connect(url), connect_blocking(url)
        engines = shared_engines()
        while not self._stop.is_set():
            try:
                serve_once(commands, blocking, engines)
            except UNREACHABLE as error:
                log.warning("store unreachable", error=str(error))
                self._stop.wait(1.0)
            except Exception:  # one request must never end the loop for all
                log.exception("encode loop")
                self._stop.wait(0.1)


_engines: list[EngineCache] = []
_engines_lock = threading.Lock()


def shared_engines() -> EngineCache:
    """The models of this process: the loop and the bulk jobs use the same ones."""
    with _engines_lock:
        if not _engines:
            _engines.append(EngineCache(Artifacts(settings().data_dir)))
        return _engines[0]


def serve_once(commands: Client, blocking: Client, engines: EngineCache) -> int:
    """Take what waits, answer it, and say how many requests that were."""
    first = blocking.blpop([keys.ENCODE_REQUESTS], timeout=WAIT_SECONDS)
    if first is None:
        return 0
    more = commands.lpop(keys.ENCODE_REQUESTS, MOST_REQUESTS - 1) or []
    requests = [request for raw in (first[1], *more) if (request := _read(commands, raw)) is not None]
    for group in grouped(requests):
        for part in _bounded(group):
            _answer(commands, engines, part)
    return len(requests)


def _read(commands: Client, raw: bytes) -> Request | None:
    """The request with its images; None when nobody waits for it any more."""
    asked = json.loads(raw)
    body = commands.getdel(keys.blob(asked["id"]))
    if body is None or time.time() > asked["deadline"]:
        return None
    _, arrays = unpack(body)
    return Request(
        id=asked["id"],
        reply=asked["reply"],
        model=asked["model"],
        version=asked["version"],
        operation=asked["operation"],
        passes=asked["passes"],
        layer=asked["layer"],
        received=time.monotonic() - max(0.0, time.time() - asked["sent"]),
        images=arrays["images"],
    )


def _bounded(group: list[Request]) -> list[list[Request]]:
    """The group in parts of bounded size."""
    parts: list[list[Request]] = [[]]
    size = 0
    for request in group:
        size += request.images.nbytes
        if parts[-1] and size > MOST_BATCH_BYTES:
            parts.append([])
            size = request.images.nbytes
        parts[-1].append(request)
    return parts


def _answer(commands: Client, engines: EngineCache, group: list[Request]) -> None:
    try:
        engine = engines.get(group[0].model, group[0].version)
        with engines.lock:
            answers = answer(engine, group)
    except FileNotFoundError:
        answers = [(request, {"error": "not_found", "detail": "the model was deleted"}, {}) for request in group]
    except ValueError as error:
        answers = [(request, {"error": "invalid_dataset", "detail": str(error)}, {}) for request in group]
    except Exception:
        log.exception("encode failed", model=group[0].model)
        answers = [
            (request, {"error": "internal", "detail": "the worker failed; its log says why"}, {}) for request in group
        ]
    pipeline = commands.pipeline(transaction=False)
    for request, header, arrays in answers:
        pipeline.rpush(request.reply, pack({"id": request.id, **header}, arrays))
        pipeline.expire(request.reply, REPLY_SECONDS)
    with contextlib.suppress(*UNREACHABLE):  # the caller gives up by its deadline and may ask again
        pipeline.execute()
