"""A data folder that is full or cannot be written to: refusals, no loss, and everything goes on afterwards."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import FAST, SMALL, npy, npz, until, wait_for
from safetensors.numpy import load

from pinwheel.up import Service

Digits = tuple[np.ndarray, np.ndarray]
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 256 MB of its own."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a file system of its own cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def cramped(small_disk: Path) -> Iterator[Service]:
    environment = FAST | {"PINWHEEL_MIN_FREE_BYTES": str(4 * MEBIBYTE)}
    with Service(small_disk / "data", port=0, environment=environment) as service:
        yield service


@pytest.fixture(scope="module")
def client(cramped: Service, digits: Digits) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=cramped.url, timeout=60, trust_env=False) as http:
        http.post("/v1/datasets?name=few", content=npz(images=digits[0][:500], labels=digits[1][:500]))
        body = job("before")
        assert wait_for(http, http.post("/v1/jobs", json=body).json()["id"])["status"] == "succeeded"
        yield http


def job(name: str, epochs: int = 4) -> dict[str, Any]:
    training = SMALL["training"] | {"epochs": epochs}
    return {"type": "train", "recipe": "drsae", "dataset": "few", **SMALL, "training": training, "publish_as": name}


def fill(folder: Path, left: int = 0) -> Path:
    """Takes all but `left` bytes of the file system, while others take some as well."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize > left:
            file.write(b"\0" * 65536)
    return path


def asked(client: httpx2.Client, method: str, path: str, **more: Any) -> httpx2.Response:
    """Never a failure of the server, nor an answer without a reason."""
    answer = client.request(method, path, **more)
    assert answer.status_code != 500, answer.text
    if answer.status_code >= 400:
        assert {"code", "detail", "request_id"} <= set(answer.json())
    return answer


def test_a_folder_that_is_nearly_full_takes_nothing_new_and_what_is_there_goes_on(
    client: httpx2.Client, cramped: Service, small_disk: Path, digits: Digits
) -> None:
    ballast = fill(small_disk, 3 * MEBIBYTE)
    until(lambda: client.get("/readyz").status_code == 503)
    assert "bytes are free" in client.get("/readyz").json()["checks"]["artifacts"]
    until(lambda: client.post("/v1/jobs", json=job("refused")).status_code == 503)
    for path, more in (
        ("/v1/jobs", {"json": job("refused")}),
        ("/v1/datasets", {"content": npz(images=digits[0][:9])}),
    ):
        answer = asked(client, "POST", path, **more)
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert asked(client, "POST", "/v1/models/before/encode", content=npy(digits[0][:2])).status_code == 200
    assert asked(client, "GET", "/v1/models/before/filters").status_code == 200
    assert not list((cramped.data_dir / "staging").iterdir())
    ballast.unlink()
    until(lambda: client.get("/readyz").status_code == 200)


@contextlib.contextmanager
def nothing_can_be_written(data: Path, how: str) -> Iterator[None]:
    if how == "full":
        ballast = fill(data)
        yield
        ballast.unlink()
        return
    folders = [data / name for name in ("staging", "jobs", "datasets", "models")]
    for folder in folders:
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    yield
    for folder in folders:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_nothing_that_was_accepted_is_lost_when_nothing_can_be_written(
    client: httpx2.Client, cramped: Service, digits: Digits, how: str
) -> None:
    names = [f"{how}-{number}" for number in range(2)]
    accepted = [client.post("/v1/jobs", json=job(name, 40)).json()["id"] for name in names]
    until(lambda: client.get(f"/v1/jobs/{accepted[0]}").json()["progress"]["step"] > 20)
    uploads, beside = [], []
    with nothing_can_be_written(cramped.data_dir, how):
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            uploads.append(asked(client, "POST", "/v1/datasets", content=npz(images=digits[0][:50])))
            beside.append(asked(client, "POST", "/v1/jobs", json=job("beside")))
            asked(client, "GET", "/v1/jobs")
            asked(client, "POST", "/v1/models/before/encode", content=npy(digits[0][:2]))
    answers = {answer.status_code: answer.text for answer in (*uploads, *beside)}
    assert 503 in answers.keys() <= {200, 201, 202, 503}, answers
    for answer in beside:  # those of the moment before it was known
        if answer.status_code == 202:
            until(lambda path=answer.headers["location"]: client.post(f"{path}/cancel").status_code == 202)
    until(lambda: client.get("/readyz").status_code == 200)
    for name, job_id in zip(names, accepted, strict=True):
        ended = wait_for(client, job_id)
        assert ended["status"] == "succeeded", ended
        told = client.get(f"/v1/jobs/{job_id}/events?limit=1000&format=json").json()["data"]
        assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
        assert load(client.get(f"/v1/models/{name}/weights").content)["classifier"].shape == (10, 36)
    assert client.post("/v1/models/before/encode", content=npy(digits[0][:2])).status_code == 200
