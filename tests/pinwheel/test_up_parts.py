"""What the supervisor is made of, each alone: waiting times, processes, logs, the lock, the address, the store."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from pinwheel.up.address import as_url, check_exposure, free_port
from pinwheel.up.folder import TOKEN_VARIABLE, FolderLock, end_processes
from pinwheel.up.part import Backoff, Part, bound, rotate
from pinwheel.up.problems import CannotStart
from pinwheel.up.valkey import MAX_SOCKET_PATH_BYTES, Valkey

ROOT = Path(__file__).parents[2]


def wait_until(true: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.02)


def python_part(folder: Path, code: str, **environment: str) -> Part:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return Part("dummy", command, os.environ | environment, folder / "dummy.log", folder)


# Waiting times


def test_waiting_doubles_from_half_a_second_to_fifteen() -> None:
    backoff = Backoff()
    assert [backoff.next(1) for _ in range(8)] == [0.5, 1, 2, 4, 8, 15, 15, 15]


def test_a_minute_of_life_is_forgiveness() -> None:
    backoff = Backoff()
    assert [backoff.next(lived) for lived in (1, 1, 59, 60, 1)] == [0.5, 1, 2, 0.5, 1]


# Processes and logs


def test_a_part_that_dies_is_started_again_after_its_wait(tmp_path: Path) -> None:
    part = python_part(tmp_path, "print('hello', flush=True); raise SystemExit(7)")
    part.start()
    wait_until(lambda: part.pid is None)
    assert part.tend() is True
    died = time.monotonic()
    assert part.tend() is False
    wait_until(lambda: part.tend() or part.log.read_text().count("hello") == 2)
    assert time.monotonic() - died >= 0.5
    assert part.wait(5)
    assert part.exit_status == 7
    assert part.last_lines() == "hello\nhello"


def test_killing_a_part_takes_its_children_along(tmp_path: Path) -> None:
    part = python_part(
        tmp_path,
        """
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(child.pid, flush=True)
        time.sleep(60)
        """,
    )
    part.start()
    wait_until(lambda: part.log.read_text().endswith("\n"))
    child = psutil.Process(int(part.log.read_text()))
    assert os.getpgid(part.pid or 0) == part.pid != os.getpgid(0)
    part.kill()
    assert part.pid is None
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_log_is_put_beside_at_start_and_cut_when_it_is_long(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    rotate(log)
    log.write_text("first run")
    rotate(log)
    assert not log.exists()
    with log.open("a") as writer:
        writer.write("x" * 1000)
        writer.flush()
        bound(log, 1000)
        assert log.stat().st_size == 1000
        bound(log, 999)
        writer.write("more")
    assert log.read_text() == "more"
    assert (tmp_path / "api.log.1").read_text() == "x" * 1000


# The folder's lock


def test_one_supervisor_holds_a_folder_and_the_next_is_told_which(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.take()
    with pytest.raises(CannotStart, match=f"{tmp_path}.*process {os.getpid()}"):
        FolderLock(tmp_path).take()
    lock.release()
    other = FolderLock(tmp_path)
    other.take()
    other.release()


def test_a_broken_lock_file_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "up.lock").write_text("[1")
    lock = FolderLock(tmp_path)
    lock.take()
    lock.release()


def test_what_a_killed_supervisor_left_is_ended_by_the_next(tmp_path: Path) -> None:
    script = f"""
        import os, signal, sys
        from pathlib import Path
        from pinwheel.up.folder import TOKEN_VARIABLE, FolderLock
        from pinwheel.up.part import Part
        folder = Path({str(tmp_path)!r})
        lock = FolderLock(folder)
        lock.take()
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)"
        for name in "ab":
            command = [sys.executable, "-c", code if name == "a" else "import time; time.sleep(120)"]
            part = Part(name, command, {{**os.environ, TOKEN_VARIABLE: lock.token}}, folder / name, folder)
            part.start()
            print(part.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    left = [int(pid) for pid in ran.stdout.split()]
    assert all(psutil.pid_exists(pid) for pid in left)
    lock = FolderLock(tmp_path)
    lock.take()
    lock.release()
    assert not any(_lives(pid) for pid in left)


def test_processes_of_another_run_are_left_alone(tmp_path: Path) -> None:
    stranger = python_part(tmp_path, "import time; time.sleep(60)", **{TOKEN_VARIABLE: "another"})
    stranger.start()
    try:
        assert end_processes("this run", 1) == []
        assert end_processes(None, 1) == []
        assert stranger.pid is not None
    finally:
        stranger.kill()


def _lives(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


# The address


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_addresses_of_this_machine_may_be_used(host: str) -> None:
    check_exposure(host, allowed=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])  # noqa: S104
def test_addresses_that_others_reach_need_insecure(host: str) -> None:
    check_exposure(host, allowed=True)
    with pytest.raises(CannotStart, match="--insecure") as refused:
        check_exposure(host, allowed=False)
    assert refused.value.exit_code == 2


def test_a_taken_port_is_refused_and_zero_finds_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"Port {port} on 127.0.0.1 is taken"):
            free_port("127.0.0.1", port)
        assert free_port("127.0.0.1", 0) not in (0, port)
    assert free_port("127.0.0.1", port) == port


def test_an_address_of_nobody_is_refused() -> None:
    with pytest.raises(CannotStart, match=r"203\.0\.113\.1"):
        free_port("203.0.113.1", 0)
    with pytest.raises(CannotStart, match="no address"):
        free_port("no such host", 0)


def test_the_printed_address_can_be_opened() -> None:
    assert as_url("0.0.0.0", 80) == "http://127.0.0.1:80"  # noqa: S104
    assert as_url("::1", 80) == "http://[::1]:80"


# The embedded store


@contextlib.contextmanager
def running(valkey: Valkey, log: Path, end: int = signal.SIGTERM) -> Iterator[redis.Redis]:
    part = Part("store", valkey.prepare(), os.environ, log, log.parent)
    part.start()
    try:
        valkey.wait(lambda: None if part.pid else part.last_lines())
        with contextlib.closing(redis.Redis.from_url(valkey.url)) as client:
            yield client
    finally:
        part.signal(end)
        ended = part.wait(5)
        part.kill()
        assert ended, part.last_lines()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_store_keeps_what_it_was_given_however_it_ends(tmp_path: Path, end: int) -> None:
    for count in (1, 2, 3):
        with running(Valkey(tmp_path / "store"), tmp_path / "log", end) as client:
            assert client.incr("starts") == count
            assert client.xadd("stream", {"count": count})
            assert client.xlen("stream") == count


def test_the_store_is_private_bounded_by_nothing_and_on_no_port(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path / "store", 64 * 1024 * 1024)
    with running(valkey, tmp_path / "log") as client:
        assert valkey.socket.parent == tmp_path / "store"
        assert (tmp_path / "store").stat().st_mode & 0o077 == 0
        assert valkey.socket.stat().st_mode & 0o077 == 0
        wanted = {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory": str(64 * 1024 * 1024),
            "maxmemory-policy": "noeviction",
        }
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


@pytest.mark.parametrize("name", ["d" * 120, 'a "folder" with 100% näme'])
def test_a_folder_whose_name_no_socket_can_have_gets_a_socket_elsewhere(tmp_path: Path, name: str) -> None:
    valkey = Valkey(tmp_path / name)
    assert len(os.fsencode(valkey.socket)) <= MAX_SOCKET_PATH_BYTES
    with running(valkey, tmp_path / "log") as client:
        client.set("key", "value")
        assert valkey.socket.parent.stat().st_mode & 0o077 == 0
    with running(Valkey(tmp_path / name), tmp_path / "log") as client:
        assert client.get("key") == b"value"
    assert (tmp_path / name / "appendonlydir").is_dir()
    valkey.clear()
    assert not valkey.socket.parent.exists()


def test_a_store_that_cannot_start_says_why(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path / "store")
    with running(valkey, tmp_path / "log") as client:
        client.set("key", "value")
    manifest = tmp_path / "store" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("broken")
    with pytest.raises(CannotStart, match="manifest"), running(valkey, tmp_path / "log"):
        pass
