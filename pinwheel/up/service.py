"""The supervisor: starts the store, the server and the workers, starts again what dies, and stops everything.

    with Service(Path("pinwheel-data"), port=0) as service:
        print(service.url)

Order of start: store, then the rest. Order of end: server and workers (SIGTERM, 7 s, SIGKILL), then the store, so that
a training can still write where it stopped.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2
import structlog

from pinwheel.settings import Settings
from pinwheel.store.artifacts import Artifacts
from pinwheel.up.address import as_url, check_exposure, free_port
from pinwheel.up.folder import PACKAGES, TOKEN_VARIABLE, FolderLock, Guard, end_processes
from pinwheel.up.part import Part, bound, rotate
from pinwheel.up.problems import CannotStart
from pinwheel.up.valkey import Valkey

log = structlog.get_logger()

READY_SECONDS = 60.0
STOP_SECONDS = 7.0
STORE_STOP_SECONDS = 2.0
TEND_SECONDS = 0.1
GIVE_UP_AFTER = 3  # failures of one part before the service was ever ready


class Service:
    """One running Pinwheel. `start` and `stop` from one thread; everything else from any."""

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        workers: int = 1,
        redis_url: str | None = None,
        insecure: bool = False,
        log_level: str = "info",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`port` 0 takes a free one; `workers` train; without `redis_url` the embedded store runs in `data_dir`/store.
        `environment` adds to what the processes inherit. Raises `CannotStart` for an address that must not be used.
        """
        inherited = {**os.environ, **(environment or {})}
        check_exposure(host, insecure or bool(inherited.get("PINWHEEL_API_KEYS", "").strip()))
        self.data_dir = data_dir.resolve()
        self.logs = self.data_dir / "logs"
        self.host, self.port, self.workers = host, port, workers
        store_bytes = int(inherited.get("PINWHEEL_STORE_BYTES") or Settings.model_fields["store_bytes"].default)
        self._valkey = None if redis_url else Valkey(self.data_dir / "store", store_bytes)
        self.redis_url = redis_url or (self._valkey.url if self._valkey else "")
        self._log_level = log_level
        self._environment = dict(environment or {})
        self._lock: FolderLock | None = None
        self._guard: Guard | None = None
        self._store: Part | None = None
        self._parts: list[Part] = []
        self._stopping = threading.Event()
        self._tender: threading.Thread | None = None

    @property
    def url(self) -> str:
        return as_url(self.host, self.port)

    @property
    def pids(self) -> dict[str, int | None]:
        """The process of each part by name (`store`, `api`, `train-1` …, `encode-1`); None while it is down."""
        return {part.name: part.pid for part in self._all()}

    def summary(self) -> str:
        """What a person needs to know, a line each."""
        store = f"embedded, {self.data_dir / 'store'}" if self._valkey else self.redis_url
        lines = {
            "address": self.url,
            "API": f"{self.url}/docs",
            "data": self.data_dir,
            "store": store,
            "logs": self.logs,
        }
        return "\n".join(f"  {name:8}{value}" for name, value in lines.items())

    def start(self) -> None:
        """Start every part and return; they are ready some seconds later (`wait_ready`). Raises `CannotStart`."""
        self._make_folders()
        self._stopping.clear()
        lock = FolderLock(self.data_dir)
        lock.take()
        self._lock = lock
        Artifacts(self.data_dir).empty_staging()  # under the lock: nobody else is writing there
        try:
            self.port = free_port(self.host, self.port)
            self._guard = Guard(lock.token)
            self._start_store()
            self._parts = [self._part(name, command) for name, command in self._commands()]
            for part in self._parts:
                part.start()
        except BaseException:
            self.stop()
            raise
        self._tender = threading.Thread(target=self._tend, name="pinwheel up", daemon=True)
        self._tender.start()

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Return once the service answers and has its workers, or raise `CannotStart`."""
        deadline = time.monotonic() + seconds
        while not self.ready():
            for part in self._parts:
                if part.backoff.failures >= GIVE_UP_AFTER:
                    raise CannotStart(f"{part.name} fails again and again. Its log, {part.log}:\n{part.last_lines()}")
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"The service was not ready after {seconds:g} s ({self._not_ready()}). Logs: {self.logs}"
                )
            time.sleep(0.1)

    def ready(self) -> bool:
        """Whether the store answers and each queue has a worker."""
        try:
            answer = httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False)
        except httpx2.HTTPError:
            return False
        return answer.status_code == 200

    def kill(self, name: str) -> int:
        """SIGKILL one part, as a crash would. The supervisor starts it again. Returns the process id that was."""
        part = next((part for part in self._all() if part.name == name), None)
        if part is None or (pid := part.pid) is None:
            raise ValueError(f"{name!r} is not running; parts: {', '.join(self.pids)}")
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self) -> None:
        """Stop every process within 10 s. May be called more than once."""
        self._stopping.set()
        if self._tender:
            self._tender.join()
            self._tender = None
        _stop_parts(self._parts, STOP_SECONDS)
        if self._store:
            _stop_parts([self._store], STORE_STOP_SECONDS)
        if self._lock:
            end_processes(self._lock.token, 0)  # what a killed part had started in a group of its own
            self._lock.release()
            self._lock = None
        if self._guard:
            self._guard.dismiss()
            self._guard = None
        if self._valkey:
            self._valkey.clear()

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_folders(self) -> None:
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotStart(f"Cannot use the data folder {self.data_dir}: {error.strerror}.") from error

    def _start_store(self) -> None:
        if self._valkey is None:
            return
        store = self._store = self._part("store", self._valkey.prepare())
        store.start()

        def given_up() -> str | None:
            return None if store.pid else f"it ended with status {store.exit_status}.\n{store.last_lines()}"

        self._valkey.wait(given_up)

    def _commands(self) -> Iterator[tuple[str, list[str]]]:
        api = ["uvicorn", "app.main:app", "--host", self.host, "--port", str(self.port), "--no-access-log"]
        yield "api", _python([*api, "--timeout-graceful-shutdown", "3", "--log-level", self._log_level])
        for number in range(1, self.workers + 1):
            yield f"train-{number}", self._worker("train", number)
        yield "encode-1", self._worker("encode", 1)

    def _worker(self, queue: str, number: int) -> list[str]:
        kind = ["celery", "-A", "worker.celery_app", "worker", "-Q", queue, "-n", f"{queue}-{number}@%h"]
        quiet = ["--without-gossip", "--without-mingle", "--loglevel", self._log_level]
        return _python([*kind, "-P", "threads", "-c", "1", *quiet])

    def _part(self, name: str, command: list[str]) -> Part:
        path = self.logs / f"{name}.log"
        rotate(path)
        own = {
            "PINWHEEL_DATA_DIR": str(self.data_dir),
            "PINWHEEL_REDIS_URL": self.redis_url,
            "PINWHEEL_HOST": self.host,
            "PINWHEEL_PORT": str(self.port),
            "PINWHEEL_LOG_LEVEL": self._log_level,
            "PYTHONUNBUFFERED": "1",
            TOKEN_VARIABLE: self._lock.token if self._lock else "",
        }
        return Part(name, command, os.environ | self._environment | own, path, PACKAGES)

    def _all(self) -> list[Part]:
        return [self._store, *self._parts] if self._store else self._parts

    def _tend(self) -> None:
        while not self._stopping.wait(TEND_SECONDS):
            for part in self._all():
                try:
                    if part.tend():
                        log.warning(
                            "part died", part=part.name, status=part.exit_status, failures=part.backoff.failures
                        )
                    bound(part.log)
                except OSError as error:  # no process or no disk left: try again
                    log.error("part cannot be tended", part=part.name, error=str(error))

    def _not_ready(self) -> str:
        down = [name for name, pid in self.pids.items() if pid is None]
        if down:
            return f"down: {', '.join(down)}"
        with contextlib.suppress(httpx2.HTTPError):
            return httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False).text[:500]
        return "the server does not answer"


def _python(module: list[str]) -> list[str]:
    return [sys.executable, "-m", *module]


def _stop_parts(parts: list[Part], seconds: float) -> None:
    for part in parts:
        part.signal(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    for part in parts:
        part.wait(deadline - time.monotonic())
    for part in parts:
        part.kill()
