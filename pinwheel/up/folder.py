"""One supervisor for each data folder, and what a killed one left behind.

The supervisor holds a lock on `up.lock` for as long as it lives; the kernel frees it however the process ends. The file
also holds a random token that every process of this run has in its environment. A supervisor that was killed cannot
stop its processes: a guard that waits for its end does, and if the guard is gone too, the next supervisor on the same
folder. Both find them by the token, because a process id alone could have been reused.
"""

import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

import pinwheel
from pinwheel.up.problems import CannotStart

# Where app, pinwheel and worker lie: from another folder, `python -m` would find somebody else's `app`.
PACKAGES = Path(pinwheel.__file__).parent.parent
TOKEN_VARIABLE = "PINWHEEL_UP_TOKEN"  # noqa: S105
LEFTOVER_SECONDS = 5.0
# Bare Python until the supervisor's end of the pipe closes; a supervisor that stopped properly says so before.
GUARD = """
import sys
if not sys.stdin.read():
    from pinwheel.up.folder import LEFTOVER_SECONDS, end_processes
    end_processes(sys.argv[1], LEFTOVER_SECONDS)
"""


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


class Guard:
    """A process that ends everything with `token` if this process ends without `dismiss`."""

    def __init__(self, token: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", GUARD, token], stdin=subprocess.PIPE, cwd=PACKAGES, start_new_session=True
        )

    def dismiss(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # somebody killed it
            self._process.communicate(b"done")


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
