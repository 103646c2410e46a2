"""A worker that is cut off from the store, and clocks that jump: one holder of a job, one end, nothing lost."""

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
import pytest
from asking import FAST, SMALL, npz, until, wait_for
from safetensors.numpy import load

from pinwheel.up import Service
from pinwheel.up.part import Part
from pinwheel.up.valkey import Valkey

Digits = tuple[np.ndarray, np.ndarray]
ROOT = Path(__file__).parents[2]
FAKETIME = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), *Path("/usr/lib").glob("faketime/libfaketime.so.1")]
HOUR = 3600


class Line:
    """A Unix socket that leads to another one until it is cut: then nothing passes, and nobody is told."""

    def __init__(self, folder: Path, target: str) -> None:
        self.path, self.target = folder / "line.sock", target
        self.cut = threading.Event()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.path))
        self.server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self.target)
                threading.Thread(target=self._pass, args=(near, far), daemon=True).start()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        with near, far, contextlib.suppress(OSError):
            while True:
                ready, _, _ = select.select([near, far], [], [], 0.1)
                if self.cut.is_set():
                    time.sleep(0.05)
                    continue
                for one in ready:
                    said = one.recv(65536)
                    if not said:
                        return
                    (far if one is near else near).sendall(said)

    def close(self) -> None:
        self.server.close()


def submit(client: httpx2.Client, name: str, epochs: int = 40) -> str:
    training = SMALL["training"] | {"epochs": epochs}
    body = {"type": "train", "recipe": "drsae", "dataset": "few", **SMALL, "training": training, "publish_as": name}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def trainers(worker: psutil.Process) -> list[psutil.Process]:
    return [child for child in worker.children(recursive=True) if "worker.trainer" in child.cmdline()]


def check_story(client: httpx2.Client, job_id: str, name: str, like: str) -> dict[str, Any]:
    """The job ended once, well, without gaps, and with the weights of another."""
    job = wait_for(client, job_id)
    assert job["status"] == "succeeded", job
    events = client.get(f"/v1/jobs/{job_id}/events?limit=1000&format=json").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events].count("done") == 1
    assert client.get(f"/v1/models/{name}").json()["versions"] == [1]
    ours, theirs = (load(client.get(f"/v1/models/{each}/weights").content) for each in (name, like))
    assert all(np.array_equal(ours[tensor], theirs[tensor]) for tensor in theirs)
    return job


@contextlib.contextmanager
def worker_behind(line: Line, service: Service) -> Iterator[psutil.Process]:
    """A training worker that knows the store by the line alone."""
    environment = os.environ | FAST | {"PINWHEEL_REDIS_URL": f"unix://{line.path}"}
    environment |= {"PINWHEEL_DATA_DIR": str(service.data_dir), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "celery", "-A", "worker.celery_app", "worker", "-Q", "train", "-n", "far@here"]
    with (service.logs / "far.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-P", "threads", "-c", "1", "--without-gossip", "--without-mingle"],
            **{"cwd": ROOT, "env": environment, "stdout": log, "stderr": log, "start_new_session": True},
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        for child in [*psutil.Process(process.pid).children(recursive=True)]:
            child.kill()
        process.kill()
        process.wait()


def test_a_worker_that_is_cut_off_gives_up_its_job_and_writes_nothing_more(tmp_path: Path, digits: Digits) -> None:
    with (
        Service(tmp_path / "data", port=0, environment=FAST) as service,
        httpx2.Client(base_url=service.url, timeout=60, trust_env=False) as client,
    ):
        client.post("/v1/datasets?name=few", content=npz(images=digits[0][:500], labels=digits[1][:500]))
        wait_for(client, submit(client, "calm"))
        line = Line(tmp_path, service.redis_url.removeprefix("unix://"))
        near = psutil.Process(service.pids["train-1"])
        with worker_behind(line, service) as far:
            until(lambda: len(client.get("/v1/workers").json()["data"]) == 3)
            near.suspend()  # so that the far one takes it
            job_id = submit(client, "cut-off")
            until(lambda: client.get(f"/v1/jobs/{job_id}").json()["progress"]["step"] > 20)
            assert client.get(f"/v1/jobs/{job_id}").json()["worker"] == "far@here"
            (trainer,) = trainers(far)
            trainer.suspend()  # or it could be done before anybody notices
            line.cut.set()
            near.resume()
            until(lambda: client.get(f"/v1/jobs/{job_id}").json()["attempt"] == 2, 20)
            until(lambda: not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE, 30)
            line.cut.clear()
            job = check_story(client, job_id, "cut-off", "calm")
            assert job["attempt"] == 2
            near.suspend()  # the line holds again, and so does its worker
            again = submit(client, "again")
            check_story(client, again, "again", "calm")
            near.resume()
        line.close()


@contextlib.contextmanager
def killed_at_the_end(part: Part) -> Iterator[None]:
    try:
        yield
    finally:
        part.kill()


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed")
@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "backward"])
def test_a_clock_of_the_store_that_jumps_loses_nothing(tmp_path: Path, digits: Digits, jump: int) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    faked = {
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    valkey = Valkey(tmp_path / "store")
    store = Part("store", valkey.prepare(), os.environ | faked, tmp_path / "store.log", tmp_path)
    store.start()
    valkey.wait(lambda: None if store.pid else store.last_lines())
    with (
        killed_at_the_end(store),
        Service(tmp_path / "data", port=0, redis_url=valkey.url, environment=FAST) as service,
        httpx2.Client(base_url=service.url, timeout=60, trust_env=False) as client,
    ):
        client.post("/v1/datasets?name=few", content=npz(images=digits[0][:500], labels=digits[1][:500]))
        wait_for(client, submit(client, "calm"))
        before = client.get("/v1/jobs").json()["data"][0]["created_at"]
        jobs = [submit(client, f"jumped-{number}") for number in range(2)]
        until(lambda: client.get(f"/v1/jobs/{jobs[0]}").json()["progress"]["step"] > 20)
        clock.write_text(f"{jump:+d}")
        service.kill("train-1")
        for number, job_id in enumerate(jobs):
            job = check_story(client, job_id, f"jumped-{number}", "calm")
            assert job["attempt"] <= 3
        new = client.get(f"/v1/jobs/{submit(client, 'afterwards')}").json()
        assert (new["created_at"] > before) == (jump > 0), "the clock did jump"
        check_story(client, new["id"], "afterwards", "calm")
        encoded = client.post("/v1/models/calm/encode", content=npz(images=digits[0][:2]))
        assert encoded.status_code == 200, encoded.text
        assert client.get("/readyz").status_code == 200
