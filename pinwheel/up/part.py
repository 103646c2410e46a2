"""One process that the supervisor keeps alive: started in a session of its own, logged to a bounded file."""

import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

FIRST_SECONDS, LONGEST_SECONDS, HEALTHY_SECONDS = 0.5, 15.0, 60.0
MAX_LOG_BYTES = 20 * 1024 * 1024


class Backoff:
    """How long to wait before the next start: 0.5 s, doubled up to 15 s, from the beginning after a life of 60 s."""

    def __init__(self) -> None:
        self.failures = 0

    def next(self, lived_seconds: float) -> float:
        if lived_seconds >= HEALTHY_SECONDS:
            self.failures = 0
        self.failures += 1
        return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(self.failures - 1, 10))


class Part:
    """`tend` starts the process, and starts it again some time after it died. Not thread-safe: one thread tends it."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, cwd: Path) -> None:
        self.name = name
        self.log = log
        self.backoff = Backoff()
        self._command = list(command)
        self._environment = dict(environment)
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._due = 0.0

    @property
    def pid(self) -> int | None:
        """The living process, or None."""
        alive = self._process is not None and self._process.poll() is None
        return self._process.pid if alive and self._process else None

    @property
    def exit_status(self) -> int | None:
        return self._process.poll() if self._process else None

    def start(self) -> None:
        with self.log.open("ab", buffering=0) as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=self._environment,
                start_new_session=True,
            )
        self._started, self._due = time.monotonic(), 0.0

    def tend(self) -> bool:
        """Look after the process. True if it was found dead just now."""
        if self._process is not None and self._process.poll() is None:
            return False
        now = time.monotonic()
        if self._due == 0.0:
            self._due = now + (self.backoff.next(now - self._started) if self._process else 0.0)
            return self._process is not None
        if now >= self._due:
            self.start()
        return False

    def signal(self, number: int) -> None:
        """To the process alone: what it started is its own to stop."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the process and its whole group at once."""
        # Once the process is reaped, its number may belong to a stranger.
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def wait(self, seconds: float) -> bool:
        """True once the process has ended, False after `seconds`."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_lines(self, count: int = 15) -> str:
        if not self.log.exists():
            return ""
        with self.log.open(encoding="utf-8", errors="replace") as file:
            return "".join(deque(file, maxlen=count)).rstrip()


def rotate(log: Path) -> None:
    """Put the last run's log beside: `api.log` becomes `api.log.1`."""
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))


def bound(log: Path, max_bytes: int = MAX_LOG_BYTES) -> None:
    """Start the file again once it is too long. The writer appends, so it goes on at the beginning."""
    if log.exists() and log.stat().st_size > max_bytes:
        shutil.copyfile(log, log.with_name(log.name + ".1"))
        os.truncate(log, 0)
