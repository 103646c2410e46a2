"""Models kept warm: the few used last, loaded once however many ask for them."""

import threading
from collections import OrderedDict

from pinwheel.store.artifacts import Artifacts
from worker.encoding.engine import Engine

Key = tuple[str, int]


class EngineCache:
    """At most `size` loaded models. `lock` is held while one computes, so that two never fight for the same cores."""

    def __init__(self, artifacts: Artifacts, size: int = 8) -> None:
        self.artifacts = artifacts
        self.size = size
        self.lock = threading.Lock()
        self._engines: OrderedDict[Key, Engine] = OrderedDict()
        self._loading = threading.Lock()

    def get(self, name: str, version: int) -> Engine:
        """The loaded model. Raises `FileNotFoundError` when its bundle is gone."""
        with self._loading:
            key = (name, version)
            if key not in self._engines:
                self._engines[key] = Engine.load(self.artifacts.model(name, version))
                if len(self._engines) > self.size:
                    self._engines.popitem(last=False)
            self._engines.move_to_end(key)
            return self._engines[key]
