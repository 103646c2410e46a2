"""What is refused when many ask at once, or when there is no room."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import numpy as np
import pytest
import redis
from asking import FAST, SMALL, npy, npz, until, wait_for

from pinwheel.access import Scope, new_key
from pinwheel.up import Service

Digits = tuple[np.ndarray, np.ndarray]
MEBIBYTE = 1024 * 1024
LIMITS = {
    "PINWHEEL_MAX_CONCURRENT_ENCODES": "4",
    "PINWHEEL_MAX_CONCURRENT_ENCODE_BYTES": str(2 * MEBIBYTE),
    "PINWHEEL_MAX_CONCURRENT_UPLOADS": "2",
    "PINWHEEL_MAX_REQUESTS_PER_MINUTE": "600",
    "PINWHEEL_STORE_BYTES": str(32 * MEBIBYTE),
}


@pytest.fixture(scope="module")
def secret() -> tuple[str, str]:
    """A key, and the entry of the server for it."""
    found, key = new_key("tester", Scope.ADMIN)
    return found, str(key)


@pytest.fixture(scope="module")
def hasty() -> tuple[str, str]:
    """One of somebody who asks too often."""
    found, key = new_key("hasty", Scope.READ)
    return found, str(key)


@pytest.fixture(scope="module")
def tight(
    tmp_path_factory: pytest.TempPathFactory, secret: tuple[str, str], hasty: tuple[str, str]
) -> Iterator[Service]:
    environment = FAST | LIMITS | {"PINWHEEL_API_KEYS": f"{secret[1]},{hasty[1]}"}
    with Service(tmp_path_factory.mktemp("tight"), port=0, environment=environment) as service:
        yield service


@pytest.fixture(scope="module")
def client(tight: Service, secret: tuple[str, str], digits: Digits) -> Iterator[httpx2.Client]:
    headers = {"X-API-Key": secret[0]}
    with httpx2.Client(base_url=tight.url, headers=headers, timeout=60, trust_env=False) as http:
        http.post("/v1/datasets?name=few", content=npz(images=digits[0][:200], labels=digits[1][:200]))
        body = {"type": "train", "recipe": "drsae", "dataset": "few", **SMALL, "publish_as": "tiny"}
        assert wait_for(http, http.post("/v1/jobs", json=body).json()["id"])["status"] == "succeeded"
        yield http


def slow(body: bytes, hold: threading.Event) -> Iterator[bytes]:
    """All but the last byte, and that one when it is let go."""
    yield body[:-1]
    hold.wait(30)
    yield body[-1:]


def refused(answer: httpx2.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert int(answer.headers["retry-after"]) > 0
    return str(answer.json()["detail"])


def test_more_encodes_at_once_than_there_is_place_for_are_refused(client: httpx2.Client, digits: Digits) -> None:
    body, hold = npy(digits[0][:3]), threading.Event()
    here = "/v1/models/tiny/encode?format=npy"
    with ThreadPoolExecutor(4) as pool:
        held = [pool.submit(client.post, here, content=slow(body, hold)) for _ in range(4)]
        until(lambda: client.post(here, content=body).status_code == 429)
        assert "4 encode requests" in refused(client.post(here, content=body), 429, "too_many_requests")
        assert client.get("/v1/models/tiny").status_code == 200
        hold.set()
        assert [each.result().status_code for each in held] == [200] * 4
    assert client.post(here, content=body).status_code == 200


def test_more_bytes_at_once_than_there_is_place_for_are_refused(client: httpx2.Client, digits: Digits) -> None:
    body, hold = npy(digits[0][:2000]), threading.Event()
    here = "/v1/models/tiny/encode?format=npy"
    assert MEBIBYTE < len(body) < 2 * MEBIBYTE
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(client.post, here, content=slow(body, hold))
        until(lambda: client.post(here, content=body).status_code == 429)
        assert str(2 * MEBIBYTE) in refused(client.post(here, content=body), 429, "too_many_requests")
        hold.set()
        assert held.result().status_code == 200
    assert client.post(here, content=body).status_code == 200


def test_more_uploads_at_once_than_there_is_place_for_are_refused(client: httpx2.Client, digits: Digits) -> None:
    body, hold = npz(images=digits[0][:9]), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(client.post, "/v1/datasets", content=slow(body, hold)) for _ in range(2)]
        until(lambda: client.post("/v1/datasets", content=body).status_code == 429)
        hold.set()
        assert {each.result().status_code for each in held} <= {200, 201}
    assert client.post("/v1/datasets", content=body).status_code in (200, 201)


def test_a_key_that_asks_too_often_waits_and_no_other_does(
    client: httpx2.Client, tight: Service, hasty: tuple[str, str]
) -> None:
    headers = {"X-API-Key": hasty[0]}
    with httpx2.Client(base_url=tight.url, headers=headers, timeout=60, trust_env=False) as http:
        told = Counter(http.get("/v1/info").status_code for _ in range(600))
        assert told == {200: 600}
        until(lambda: http.get("/v1/info").status_code == 429)
        detail = refused(http.get("/v1/info"), 429, "too_many_requests")
        assert "'hasty'" in detail
        assert "600" in detail
        assert http.get("/readyz").status_code == 200
        until(lambda: http.get("/v1/info").status_code == 200, 5)
    assert client.get("/v1/info").status_code == 200


def test_a_store_that_is_nearly_full_takes_nothing_new_and_finishes_what_runs(
    client: httpx2.Client, tight: Service, digits: Digits
) -> None:
    body: dict[str, Any] = {"type": "train", "recipe": "drsae", "dataset": "few", **SMALL, "publish_as": "goes-on"}
    running = client.post("/v1/jobs", json=body | {"training": SMALL["training"] | {"epochs": 100}}).json()["id"]
    with redis.Redis.from_url(tight.redis_url) as store:
        ballast = 0
        while store.info("memory")["used_memory"] < 0.92 * 32 * MEBIBYTE:
            store.set(f"ballast:{ballast}", b"x" * 500_000)
            ballast += 1
        until(lambda: client.get("/readyz").status_code == 503, 5)
        assert "bytes are used" in client.get("/readyz").json()["checks"]["store"]
        until(lambda: client.post("/v1/jobs", json=body).status_code == 503, 5)
        assert "store is nearly full" in refused(client.post("/v1/jobs", json=body), 503, "store_unavailable")
        refused(client.post("/v1/datasets", content=npz(images=digits[0][:9])), 503, "store_unavailable")
        refused(client.post("/v1/models/tiny/encode", content=npy(digits[0][:1])), 503, "store_unavailable")
        assert client.get("/v1/jobs").status_code == 200
        assert wait_for(client, running)["status"] == "succeeded"
        store.delete(*(f"ballast:{number}" for number in range(ballast)))
    until(lambda: client.post("/v1/models/tiny/encode", content=npy(digits[0][:1])).status_code == 200, 5)
    assert client.get("/readyz").status_code == 200


def test_metrics_tell_the_memory_of_the_store(client: httpx2.Client) -> None:
    lines = dict(line.split() for line in client.get("/metrics").text.splitlines() if line.startswith("pinwheel_store"))
    assert 0 < float(lines["pinwheel_store_used_bytes"]) < float(lines["pinwheel_store_most_bytes"]) == 32 * MEBIBYTE
