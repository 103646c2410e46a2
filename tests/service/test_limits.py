"""What is refused when many ask at once, or when there is no room."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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


class Held:
    """A body of which the last byte waits: `sent` once all others are on their way."""

    def __init__(self, body: bytes, hold: threading.Event) -> None:
        self.body, self.hold, self.sent = body, hold, threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        yield self.body[:-1]
        self.sent.set()
        self.hold.wait(60)
        yield self.body[-1:]


@contextlib.contextmanager
def held(client: httpx2.Client, path: str, body: bytes, count: int) -> Iterator[list[Future[httpx2.Response]]]:
    """So many requests that have begun, and end with the block."""
    hold = threading.Event()
    bodies = [Held(body, hold) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        try:
            found = [pool.submit(client.post, path, content=iter(each)) for each in bodies]
            assert all(each.sent.wait(30) for each in bodies)
            time.sleep(0.5)  # the server has seen them
            yield found
        finally:
            hold.set()


def refused(answer: httpx2.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert int(answer.headers["retry-after"]) > 0
    return str(answer.json()["detail"])


def test_more_encodes_at_once_than_there_is_place_for_are_refused(client: httpx2.Client, digits: Digits) -> None:
    body, here = npy(digits[0][:3]), "/v1/models/tiny/encode?format=npy"
    with held(client, here, body, 4) as under_way:
        assert "4 encode requests" in refused(client.post(here, content=body), 429, "too_many_requests")
        assert client.get("/v1/models/tiny").status_code == 200
    assert [each.result().status_code for each in under_way] == [200] * 4
    assert client.post(here, content=body).status_code == 200


def test_more_bytes_at_once_than_there_is_place_for_are_refused(client: httpx2.Client, digits: Digits) -> None:
    body, here = npy(digits[0][:2000]), "/v1/models/tiny/encode?format=npy"
    assert MEBIBYTE < len(body) < 2 * MEBIBYTE
    with held(client, here, body, 1) as under_way:
        assert str(2 * MEBIBYTE) in refused(client.post(here, content=body), 429, "too_many_requests")
    assert under_way[0].result().status_code == 200
    assert client.post(here, content=body).status_code == 200


def test_more_uploads_at_once_than_there_is_place_for_are_refused(client: httpx2.Client, digits: Digits) -> None:
    body = npz(images=digits[0][:9])
    with held(client, "/v1/datasets", body, 2) as under_way:
        assert "2 uploads" in refused(client.post("/v1/datasets", content=body), 429, "too_many_requests")
    assert {each.result().status_code for each in under_way} <= {200, 201}
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
