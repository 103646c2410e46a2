"""Real things for tests: an embedded store, and a whole service with its API process and Celery workers."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import FAST, SMALL, npz, succeeded

from pinwheel.builtin import BUILTIN
from pinwheel.settings import Settings
from pinwheel.store.connection import connect
from pinwheel.store.jobs import JobStore
from pinwheel.up import Service
from pinwheel.up.store_alone import store_of


@pytest.fixture(scope="session", autouse=True)
def one_thread_each() -> None:
    """Trainers of several tests are at work side by side."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def store_url() -> Iterator[str]:
    """An embedded store of its own, or the server named by PINWHEEL_TEST_REDIS_URL, which is emptied (then `-n 0`)."""
    if url := os.environ.get("PINWHEEL_TEST_REDIS_URL"):
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="pw-store-") as folder, store_of(Path(folder)) as url:
        yield url


@pytest.fixture
def store(store_url: str) -> Iterator[JobStore]:
    """An empty job store with a lease of a tenth of a second."""
    client = connect(store_url)
    client.flushall()
    yield JobStore(client, Settings(lease_seconds=0.1, resend_seconds=0.05, max_queued_jobs=50))
    client.close()


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """The whole service, shared by every test that only talks to it."""
    with (
        tempfile.TemporaryDirectory(prefix="pw-") as folder,
        Service(Path(folder), port=0, environment=FAST) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def http(service: Service) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The built-in digits: images (20000, 28, 28) uint8 and labels."""
    with np.load(BUILTIN["digits"]) as archive:
        return archive["images"], archive["labels"]


@pytest.fixture(scope="session")
def few_digits(http: httpx2.Client, digits: tuple[np.ndarray, np.ndarray]) -> str:
    """Id of a data set of 500 digits."""
    answer = http.post("/v1/datasets?name=few-digits", content=npz(images=digits[0][:500], labels=digits[1][:500]))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture(scope="session")
def trained(http: httpx2.Client, few_digits: str) -> dict[str, Any]:
    """A small training that has succeeded."""
    body = {"recipe": "drsae", "dataset": few_digits, "publish_as": "digits-36", **SMALL}
    return succeeded(http, body | {"validation": {"split": 0.2}})
