"""Whether there is room for something new: memory in the store, space in the data folder.

What runs needs some of both to end well, so new things are refused before there is none.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import structlog

from pinwheel.errors import StoreUnavailable
from pinwheel.settings import Settings
from pinwheel.store.artifacts import Artifacts
from pinwheel.store.connection import UNREACHABLE, Client

log = structlog.get_logger()

OK = "ok"
MOST_USED = 0.9  # of the store's memory
EVERY_SECONDS = 2.0
RETRY_AFTER_SECONDS = 30


@dataclass(frozen=True)
class StoreMemory:
    """`most_bytes`: what the server may take, or where it has no limit the memory of its machine."""

    used_bytes: int
    most_bytes: int
    policy: str

    @classmethod
    def of(cls, client: Client) -> "StoreMemory":
        found: dict[str, Any] = client.info("memory")
        most = int(found.get("maxmemory") or found.get("total_system_memory") or 0)
        return cls(int(found["used_memory"]), most, str(found.get("maxmemory_policy", "noeviction")))

    @property
    def state(self) -> str:
        """`ok`, or what is wrong."""
        if self.policy != "noeviction":
            return f"its maxmemory-policy is {self.policy}, which drops jobs when it is full; set noeviction"
        if self.most_bytes and self.used_bytes > MOST_USED * self.most_bytes:
            return f"{self.used_bytes} of {self.most_bytes} bytes are used; delete jobs, or give it more memory"
        return OK


class Capacity:
    def __init__(self, client: Client, artifacts: Artifacts, settings: Settings) -> None:
        self._client, self._artifacts = client, artifacts
        self._least_free = settings.min_free_bytes
        self._store = self._folder = OK

    async def run(self) -> None:
        """Look every two seconds, so that `check` asks nobody."""
        while True:
            with contextlib.suppress(*UNREACHABLE):  # every request finds that out for itself
                await anyio.to_thread.run_sync(self.look)
            await asyncio.sleep(EVERY_SECONDS)

    def look(self) -> tuple[str, str]:
        """The state of store and folder now, each `ok` or what is wrong. Raises what the store's client raises."""
        found = self.folder(), StoreMemory.of(self._client).state
        if found != (self._folder, self._store):
            log.warning("room for new things", folder=found[0], store=found[1])
        self._folder, self._store = found
        return self._store, self._folder

    def folder(self) -> str:
        """The state of the data folder."""
        return self._artifacts.room(self._least_free) or OK

    def check(self, *, folder: bool) -> None:
        """Refuse something new that takes memory of the store, and space in the `folder`."""
        for name, state in (("store", self._store), *((("data folder", self._folder),) if folder else ())):
            if state != OK:
                detail = f"There is no room for anything new, the {name} is nearly full: {state}."
                raise StoreUnavailable(detail, retry_after_seconds=RETRY_AFTER_SECONDS)
