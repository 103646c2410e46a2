"""One supervisor for each data folder, and what a killed one left behind.

The supervisor holds a lock on `up.lock` for as long as it lives; the kernel frees it however the process ends. The file
also holds a random token that every process of this run has in its environment. A supervisor that was killed cannot
stop its processes: the next one on the same folder finds them by the token. A process id alone could have been reused.
"""

import fcntl
import json
import os
import secrets
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from pinwheel.up.problems import CannotStart

TOKEN_VARIABLE = "PINWHEEL_UP_TOKEN"  # noqa: S105
LEFTOVER_SECONDS = 5.0


class FolderLock:
    """Holds the folder from `take` to `release`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "up.lock"
        self.token = secrets.token_hex(16)
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock and end what a killed supervisor left. Raises `CannotStart` if a living one has the folder."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CannotStart(f"Cannot write in the data folder {self.path.parent}: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            pid = _read(self.path).get("pid", "unknown")
            raise CannotStart(
                f"The folder {self.path.parent} is in use by another `pinwheel up` (process {pid})."
            ) from None
        self._descriptor = descriptor
        end_processes(_read(self.path).get("token"), LEFTOVER_SECONDS)
        # Before the first process starts: there is no moment in which one could be missed.
        record = json.dumps({"pid": os.getpid(), "token": self.token}).encode()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, record, 0)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def end_processes(token: str | None, seconds: float) -> list[int]:
    """End every process that carries `token`, politely and after `seconds` by force. Returns their ids."""
    found = list(_carrying(token)) if token else []
    _signal(found, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    psutil.wait_procs(found, timeout=seconds)
    while token and (left := list(_carrying(token))) and time.monotonic() < deadline + 5:
        _signal(left, signal.SIGKILL)
        psutil.wait_procs(left, timeout=1)
    return [process.pid for process in found]


def _carrying(token: str) -> Iterable[psutil.Process]:
    for process in psutil.process_iter():
        try:
            carries = process.environ().get(TOKEN_VARIABLE) == token
            if carries and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or another user's


def _signal(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
