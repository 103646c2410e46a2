"""The loop for interactive requests, a thread inside the encode worker.

It takes what waits for one model, up to a bounded batch, and never waits for more: under load batches grow by
themselves, at rest one request runs alone. `pinwheel/store/encoding.py` says how requests and answers travel.
Requests whose model is still being loaded are put aside; the others go on.
"""

import contextlib
import platform
import threading
import time
from typing import Any

import structlog
import torch
from celery import bootsteps

from pinwheel.settings import Settings, settings
from pinwheel.store import encoding, keys, workers
from pinwheel.store.artifacts import Artifacts
from pinwheel.store.connection import UNREACHABLE, Client, connect, connect_blocking
from pinwheel.store.wire import pack, unpack
from worker.encoding.cache import EngineCache
from worker.encoding.requests import Arrays, Request, answer, grouped

log = structlog.get_logger()

MOST_BATCH_BYTES = 4 * 1024 * 1024  # of images: another model waits while they are computed
WAIT_SECONDS = 1.0
LOADING_WAIT_SECONDS = 0.02
SHARE_SECONDS = 5.0


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
        service = EncodeService(connect(url), connect_blocking(url), shared_engines(), settings())
        while not self._stop.is_set():
            try:
                service.serve_once()
            except UNREACHABLE as error:
                log.warning("store unreachable", error=str(error))
                self._stop.wait(1.0)
            except Exception:  # one request must never end the loop for all
                log.exception("encode loop")
                self._stop.wait(0.1)


_engines: list[EngineCache] = []
_engines_lock = threading.Lock()


def shared_engines() -> EngineCache:
    """The models of this process: the loop and the bulk jobs use the same ones, on the GPU where there is one."""
    with _engines_lock:
        if not _engines:
            config = settings()
            device = "cuda" if torch.cuda.is_available() else "cpu"
            threads = config.threads or torch.get_num_threads()
            limits = (config.encode_models, config.encode_models_bytes)
            _engines.append(EngineCache(Artifacts(config.data_dir), *limits, device, threads))
        return _engines[0]


class EncodeService:
    def __init__(self, commands: Client, blocking: Client, engines: EngineCache, config: Settings) -> None:
        self._commands, self._blocking = commands, blocking
        self._engines = engines
        self._settings = config
        self._take = commands.register_script(encoding.TAKE)
        self._aside: list[Request] = []
        self._all_threads = engines.threads
        self._share_at = 0.0

    def serve_once(self) -> None:
        """Answer what waits for one model; where nothing waits, wait a while for something."""
        self._share_cores()
        aside, self._aside = self._aside, []
        self._serve(aside)
        taken = self._take(
            keys=[keys.ENCODE_READY, keys.ENCODE_GONE],
            args=[encoding.LISTS, self._settings.encode_batch, MOST_BATCH_BYTES, keys.BLOBS, keys.ENCODE_COUNTS],
        )
        if taken:
            self._serve(self._read(taken))
            return
        wait = LOADING_WAIT_SECONDS if self._aside else WAIT_SECONDS
        if not self._blocking.blmove(keys.ENCODE_READY, keys.ENCODE_READY, wait, "LEFT", "RIGHT"):
            self._engines.sweep()

    def _share_cores(self) -> None:
        """Encode workers on one machine share its cores, unless a number of threads was given."""
        if self._settings.threads or time.monotonic() < self._share_at:
            return
        self._share_at = time.monotonic() + SHARE_SECONDS
        here = platform.node()
        beside = [
            each
            for each in workers.live(self._commands)
            if each["host"] == here and "encode" in each["queues"].split(",")
        ]
        self._engines.threads = max(1, self._all_threads // max(1, len(beside)))

    def _read(self, taken: list[bytes]) -> list[Request]:
        """The requests with their images, without those that nobody waits for any more."""
        unpacked = [
            (raw[: encoding.ID_CHARACTERS].decode(), encoding.callers_of(raw), *unpack(raw[encoding.HEAD :]))
            for raw in taken
        ]
        now, clock = time.monotonic(), time.time()
        large = [request_id for request_id, _, asked, _ in unpacked if asked["blob"]]
        bodies: dict[str, bytes | None] = {}
        if large:
            pipeline = self._commands.pipeline(transaction=False)
            for request_id in large:
                pipeline.getdel(keys.blob(request_id))
            bodies = dict(zip(large, pipeline.execute(), strict=True))
        requests = []
        for request_id, callers, asked, arrays in unpacked:
            if asked["blob"]:
                body = bodies[request_id]
                arrays = unpack(body)[1] if body else {}
            if "images" in arrays and clock <= asked["deadline"]:
                fields = {name: asked[name] for name in ("reply", "model", "version", "operation", "parameters")}
                received = now - max(0.0, clock - asked["sent"])
                deadline = now + asked["deadline"] - clock
                fields |= {"callers": callers, "received": received, "deadline": deadline}
                requests.append(Request(id=request_id, **fields, images=arrays["images"]))
        return requests

    def _serve(self, requests: list[Request]) -> None:
        now = time.monotonic()
        for group in grouped([request for request in requests if now <= request.deadline]):
            try:
                loading = self._engines.begin(group[0].model, group[0].version)
            except FileNotFoundError:
                self._refuse(group, "not_found", "the model was deleted")
                continue
            if loading.engine.done():
                self._answer(group, loading.engine)
            elif time.monotonic() - loading.since > self._settings.encode_load_seconds:
                name = f"{group[0].model}@{group[0].version}"
                self._refuse(group, "model_loading", f"The model {name} is still being loaded; ask again.")
            else:
                self._aside += group

    def _answer(self, group: list[Request], engine: Any) -> None:
        try:
            model = engine.result()
        except Exception:  # its file cannot be read; the cache has logged why
            self._refuse(group, "internal", "the model cannot be loaded; the worker's log says why")
            return
        try:
            with self._engines.computing():
                answers = answer(model, group)
        except ValueError as error:
            if len(group) == 1:
                self._refuse(group, "invalid_dataset", str(error))
                return
            for request in group:  # the images of one of them cannot be encoded: each by itself
                self._answer([request], engine)
        except Exception:
            log.exception("encode failed", model=group[0].model)
            self._refuse(group, "internal", "the worker failed; its log says why")
        else:
            self._send(answers)

    def _refuse(self, group: list[Request], error: str, detail: str) -> None:
        self._send([(request, {"error": error, "detail": detail}, {}) for request in group])

    def _send(self, answers: list[tuple[Request, dict[str, Any], Arrays]]) -> None:
        pipeline = self._commands.pipeline(transaction=False)
        published: dict[str, list[bytes]] = {}
        for request, header, arrays in answers:
            message = pack({"id": request.id, "blob": False, **header}, arrays)
            if len(message) > encoding.INLINE_BYTES:
                pipeline.set(keys.blob(request.id), message, ex=encoding.ANSWER_SECONDS)
                message = pack({"id": request.id, "blob": True}, {})
            published.setdefault(request.reply, []).append(message)
        for channel, messages in published.items():
            pipeline.publish(channel, encoding.publication(messages))
        with contextlib.suppress(*UNREACHABLE):  # the caller gives up by its deadline and may ask again
            pipeline.execute()
