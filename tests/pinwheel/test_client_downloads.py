"""A download over a connection that breaks again and again is the whole file in the end."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from pinwheel.client import downloads
from pinwheel.client.connection import Connection
from pinwheel.errors import Unavailable

CONTENT = bytes(range(256)) * 4000


class Breaking(BaseHTTPRequestHandler):
    """Sends at most 300 000 bytes and hangs up. After `changes_at` requests the file is another; `busy` times it
    has no time."""

    requests: ClassVar[list[str | None]] = []
    changes_at: ClassVar[int] = 10**6
    busy: ClassVar[int] = 0

    def do_GET(self) -> None:
        if Breaking.busy:
            Breaking.busy -= 1
            self.send_error(503)
            return
        ranged = self.headers.get("Range")
        self.requests.append(ranged)
        content = CONTENT if len(self.requests) <= self.changes_at else CONTENT[::-1]
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        start = int(ranged[6:-1]) if ranged and self.headers.get("If-Range") == tag else 0
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + 300_000])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    monkeypatch.setattr(downloads, "backoff", lambda _: 0.01)
    Breaking.requests, Breaking.changes_at, Breaking.busy = [], 10**6, 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Breaking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = Connection(f"http://127.0.0.1:{server.server_port}", None, 10, 3)
    yield connection
    connection.close()
    server.shutdown()
    server.server_close()


def test_it_goes_on_where_it_stopped(connection: Connection, tmp_path: Path) -> None:
    connection.run(downloads.fetch(connection, "/", {}, tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert Breaking.requests[0] is None
    assert len(Breaking.requests) == 4
    assert Breaking.requests[-1] == "bytes=900000-"


def test_of_a_file_that_changed_the_new_one_is_taken_whole(connection: Connection, tmp_path: Path) -> None:
    Breaking.changes_at = 2
    connection.run(downloads.fetch(connection, "/", {}, tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1]


def test_a_server_that_is_busy_is_asked_again(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "waiting", lambda *_: 0.01)
    Breaking.busy = 3
    assert connection.run(downloads.saved(connection, "/", {}, tmp_path / "file")).read_bytes() == CONTENT
    Breaking.busy = 100
    with pytest.raises(Unavailable):
        connection.run(downloads.saved(connection, "/", {}, tmp_path / "other"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_server_that_stays_away_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "backoff", lambda _: 0.0)
    connection = Connection("http://127.0.0.1:9", None, 1, 0)
    with pytest.raises(ConnectionError):
        connection.run(downloads.fetch(connection, "/", {}, tmp_path / "file"))
