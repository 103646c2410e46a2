"""Messages that come again, that lead nowhere, and the id by which a request is found in every log."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import FAST, SMALL, npz, wait_for

from app.queue import JobQueue
from pinwheel.up import Service

Digits = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A broker that gives every message that was not acknowledged within 5 s to another worker; there are two."""
    environment = FAST | {"PINWHEEL_VISIBILITY_SECONDS": "5", "PINWHEEL_RESEND_SECONDS": "2"}
    with Service(tmp_path_factory.mktemp("hasty"), port=0, workers=2, environment=environment) as service:
        yield service


@pytest.fixture(scope="module")
def client(hasty: Service, digits: Digits) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=hasty.url, timeout=60, trust_env=False) as http:
        http.post("/v1/datasets?name=few", content=npz(images=digits[0][:500], labels=digits[1][:500]))
        yield http


def job(name: str, epochs: int) -> dict[str, Any]:
    training = SMALL["training"] | {"epochs": epochs}
    return {"type": "train", "recipe": "drsae", "dataset": "few", **SMALL, "training": training, "publish_as": name}


def events(client: httpx2.Client, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/v1/jobs/{job_id}/events?limit=1000&format=json").json()["data"]
    return found


def test_a_job_that_outlives_the_visibility_timeout_runs_once(client: httpx2.Client, hasty: Service) -> None:
    jobs = [client.post("/v1/jobs", json=job(f"long-{number}", 150)).json()["id"] for number in range(2)]
    queue = JobQueue(hasty.redis_url)
    for job_id in jobs:
        queue.send("train", job_id)  # and a second message for each
    queue.close()
    for number, job_id in enumerate(jobs):
        ended = wait_for(client, job_id, 180)
        assert (ended["status"], ended["attempt"]) == ("succeeded", 1)
        told = events(client, job_id)
        assert [event["data"]["status"] for event in told if event["type"] == "status"] == [
            "queued",
            "running",
            "succeeded",
        ]
        assert client.get(f"/v1/models/long-{number}").json()["versions"] == [1]
        seconds = [datetime.fromisoformat(ended[name]) for name in ("started_at", "finished_at")]
        assert (seconds[1] - seconds[0]).total_seconds() > 5, "it was too short to tell"


def test_a_message_without_a_job_is_dropped(client: httpx2.Client, hasty: Service) -> None:
    queue = JobQueue(hasty.redis_url)
    for kind in ("train", "encode"):
        queue.send(kind, "job_00000000000000000000000000")
    queue.close()
    assert wait_for(client, client.post("/v1/jobs", json=job("after", 1)).json()["id"])["status"] == "succeeded"
    logs = "".join((hasty.logs / f"{name}.log").read_text() for name in ("train-1", "train-2"))
    assert "message without a job" in logs
    assert "Traceback" not in logs


def test_a_request_is_found_in_the_logs_of_server_and_worker(client: httpx2.Client, hasty: Service) -> None:
    answer = client.post("/v1/jobs", json=job("traced", 1), headers={"X-Request-Id": "trace-me-17"})
    assert answer.headers["x-request-id"] == "trace-me-17"
    job_id = answer.json()["id"]
    wait_for(client, job_id)
    for names in (("api",), ("train-1", "train-2")):
        lines = [line for name in names for line in (hasty.logs / f"{name}.log").read_text().splitlines()]
        assert [line for line in lines if '"trace-me-17"' in line and job_id in line], names
