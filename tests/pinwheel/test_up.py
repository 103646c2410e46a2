"""`pinwheel up` as a whole: the real store, server and workers."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from pinwheel.client import Client
from pinwheel.up import CannotStart, Service
from pinwheel.up.folder import TOKEN_VARIABLE

ROOT = Path(__file__).parents[2]
PARTS = ["store", "api", "train-1", "encode-1"]
QUIET = {"PINWHEEL_THREADS": "1", "OMP_NUM_THREADS": "1"}


def wait_until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.05)


def processes_of(folder: Path) -> list[int]:
    """Every living process that works in `folder`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            if environment.get("PINWHEEL_DATA_DIR") == str(folder) and TOKEN_VARIABLE in environment:
                found.append(process.pid)
    return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("up"), port=0, environment=QUIET) as running:
        yield running


def test_every_part_runs_in_a_session_of_its_own_and_writes_a_log(service: Service) -> None:
    assert list(service.pids) == PARTS
    pids = [pid for pid in service.pids.values() if pid]
    assert len({os.getsid(pid) for pid in pids} - {os.getsid(0)}) == 4
    assert sorted(path.name for path in service.logs.glob("*.log")) == sorted(f"{name}.log" for name in PARTS)
    assert all(path.stat().st_size for path in service.logs.glob("*.log"))


def test_the_client_finds_it_healthy_and_ready(service: Service) -> None:
    with Client(service.url) as client:
        assert client.ready()
        assert client.health()["status"]
        assert client.info()["name"] == "pinwheel"
        assert "drsae" in [recipe["name"] for recipe in client.recipes()]


def test_a_second_one_on_the_same_folder_is_refused(service: Service) -> None:
    with pytest.raises(CannotStart, match=f"{service.data_dir}.*process {os.getpid()}"):
        Service(service.data_dir, port=0).start()
    assert service.ready()


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_killed_comes_back_and_nothing_is_lost(service: Service, name: str) -> None:
    with contextlib.closing(redis.Redis.from_url(service.redis_url)) as client:
        client.set("told before", name)
        before = service.kill(name)
        wait_until(lambda: service.pids[name] not in (None, before))
        wait_until(service.ready)
        assert client.get("told before") == name.encode()


def test_an_unknown_part_cannot_be_killed(service: Service) -> None:
    with pytest.raises(ValueError, match=r"store, api, train-1, encode-1"):
        service.kill("gpu")


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Starts `pinwheel up` on one folder and waits until it says that it is ready."""
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        up = [sys.executable, "-m", "pinwheel.cli", "up", "--port", "0", "--data", str(tmp_path / "data")]
        process = subprocess.Popen(up, cwd=ROOT, env=os.environ | QUIET, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout
        for line in process.stdout:
            if "ready" in line:
                return process
        raise AssertionError("it ended before it was ready")

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(15)
        assert process.stdout
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_within_ten_seconds(
    command: Callable[[], "subprocess.Popen[str]"], tmp_path: Path, number: int
) -> None:
    process = command()
    assert process.stdout
    address = next(match for line in process.stdout if (match := re.search(r"http://127\.0\.0\.1:\d+", line)))
    with Client(address.group()) as client:
        assert client.ready()
    assert len(processes_of(tmp_path / "data")) >= 4
    begin = time.monotonic()
    process.send_signal(number)
    assert process.wait(15) == 0
    assert time.monotonic() - begin < 10
    assert processes_of(tmp_path / "data") == []


def test_after_a_kill_everything_else_ends_by_itself(
    command: Callable[[], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    process = command()
    process.kill()
    process.wait()
    assert len(processes_of(tmp_path / "data")) >= 4
    wait_until(lambda: processes_of(tmp_path / "data") == [], 15)


def test_after_a_kill_the_next_one_cleans_up_and_starts(
    command: Callable[[], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    first = command()
    first.kill()
    first.wait()
    left = processes_of(tmp_path / "data")
    assert len(left) >= 4
    second = command()
    assert not set(left) & set(processes_of(tmp_path / "data"))
    second.send_signal(signal.SIGTERM)
    assert second.wait(15) == 0
    assert processes_of(tmp_path / "data") == []


def test_a_store_of_ones_own_is_used_and_left_running(service: Service, tmp_path: Path) -> None:
    with Service(tmp_path, port=0, redis_url=service.redis_url, environment=QUIET) as guest:
        assert list(guest.pids) == PARTS[1:]
        assert not (tmp_path / "store").exists()
    assert service.ready()
