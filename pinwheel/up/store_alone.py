"""The store of a data folder without the rest of the service, for what is done to the store itself."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pinwheel.store.connection import UNREACHABLE, connect
from pinwheel.up.folder import FolderLock
from pinwheel.up.part import Part
from pinwheel.up.valkey import Valkey

STOP_SECONDS = 30.0


@contextmanager
def store_of(data_dir: Path) -> Iterator[str]:
    """The address of the embedded store: of the one that runs, else of one that runs until the end of the block.

    Raises `CannotStart` where none runs and none can be started.
    """
    data_dir = data_dir.resolve()
    valkey = Valkey(data_dir / "store")
    if _answers(valkey):
        yield valkey.url
        return
    lock = FolderLock(data_dir)
    lock.take()
    part = Part("store", valkey.prepare(), dict(os.environ), data_dir / "store" / "alone.log", data_dir)
    try:
        part.start()
        valkey.wait(lambda: None if part.pid else part.last_lines())
        yield valkey.url
    finally:
        part.signal(signal.SIGTERM)
        if not part.wait(STOP_SECONDS):
            part.kill()
        valkey.clear()
        lock.release()


def _answers(valkey: Valkey) -> bool:
    if not valkey.socket.exists():
        return False
    with closing(connect(valkey.url)) as client:
        try:
            return bool(client.ping())
        except UNREACHABLE:
            return False
