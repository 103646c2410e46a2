"""Models kept warm: those used last, within a number and a size, each loaded once, in the background.

A model that was deleted or put in place anew is noticed by its file: it leaves, and the new one is loaded.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import torch

from pinwheel.files import WEIGHTS
from pinwheel.store.artifacts import Artifacts
from worker.encoding.engine import Engine

log = structlog.get_logger()

Key = tuple[str, int]
Stamp = tuple[int, int, int]


@dataclass
class Loading:
    """A model that is loaded or on its way: `engine` is done then, `since` is when it began (monotonic)."""

    stamp: Stamp
    engine: Future[Engine] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class EngineCache:
    """At most `most` loaded models of together `most_bytes`; one alone may be larger.

    `threads` is how many of torch's threads computing may take.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        most: int = 16,
        most_bytes: int = 2**31,
        device: torch.device | str = "cpu",
        threads: int = 1,
    ) -> None:
        self.artifacts = artifacts
        self.threads = threads
        self._most, self._most_bytes, self._device = most, most_bytes, device
        self._held: OrderedDict[Key, Loading] = OrderedDict()
        self._lock = threading.Lock()
        self._computing = threading.Lock()

    def begin(self, name: str, version: int) -> Loading:
        """The model, loaded or now being loaded. Raises `FileNotFoundError` when its bundle is gone."""
        key = (name, version)
        with self._lock:
            try:
                stamp = self._stamp(key)
            except FileNotFoundError:
                self._held.pop(key, None)
                raise
            held = self._held.get(key)
            if held is None or held.stamp != stamp or (held.engine.done() and held.engine.exception()):
                held = self._held[key] = Loading(stamp)
                # not a pool: its threads would keep the process from ending while a disk does not answer
                threading.Thread(target=self._load, args=(key, held), name="encode-load", daemon=True).start()
            self._held.move_to_end(key)
            return held

    def get(self, name: str, version: int) -> Engine:
        """The loaded model, however long it takes. Raises `FileNotFoundError` when its bundle is gone."""
        return self.begin(name, version).engine.result()

    def sweep(self) -> None:
        """Let go of models whose files are gone or are others now."""
        with self._lock:
            for key, held in list(self._held.items()):
                try:
                    current = self._stamp(key) == held.stamp
                except FileNotFoundError:
                    current = False
                if not current:
                    del self._held[key]

    def names(self) -> list[str]:
        """The loaded models, the one used last at the end."""
        with self._lock:
            return [f"{name}@{version}" for (name, version), held in self._held.items() if held.engine.done()]

    @contextmanager
    def computing(self) -> Iterator[None]:
        """One at a time, so that two never fight for the same cores."""
        with self._computing:
            if torch.get_num_threads() != self.threads:  # each thread of the process has a number of its own
                torch.set_num_threads(self.threads)
            yield

    def _stamp(self, key: Key) -> Stamp:
        found = (self.artifacts.model(*key) / WEIGHTS).stat()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _load(self, key: Key, loading: Loading) -> None:
        try:
            _read_ahead(self.artifacts.model(*key) / WEIGHTS)
            engine = Engine.load(self.artifacts.model(*key), self._device)
        except BaseException as error:  # whoever waits is told, whatever it is
            log.warning("model not loaded", model=key[0], version=key[1], error=repr(error))
            loading.engine.set_exception(error)
            return
        loading.engine.set_result(engine)
        self._evict()

    def _evict(self) -> None:
        """Let go of loaded models until the others fit, those not used for longest first; the one used last stays."""
        with self._lock:
            done = {key: held.engine for key, held in self._held.items() if held.engine.done()}
            sizes = {key: engine.result().size_bytes for key, engine in done.items() if not engine.exception()}
            for key in list(sizes)[:-1]:
                if len(sizes) <= self._most and sum(sizes.values()) <= self._most_bytes:
                    return
                del sizes[key], self._held[key]


def _read_ahead(path: Path) -> None:
    """Bring the file into memory. safetensors holds the interpreter's lock while a slow disk answers; this does not."""
    with path.open("rb", buffering=0) as file:
        while file.read(2**20):
            pass
