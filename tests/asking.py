"""What tests send to a service and how they wait for it."""

import io
import time
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np

# Short leases: a lost worker is noticed within seconds.
FAST = {
    "PINWHEEL_LEASE_SECONDS": "3",
    "PINWHEEL_REAP_SECONDS": "0.3",
    "PINWHEEL_RESEND_SECONDS": "5",
    "PINWHEEL_CHECKPOINT_SECONDS": "0",
    "PINWHEEL_GRACE_SECONDS": "4",
    "PINWHEEL_RESULT_SHARD_BYTES": str(256 * 1024),
    "PINWHEEL_MAX_DATASET_BYTES": str(256 * 1024 * 1024),
}

# A training of a second or two.
SMALL = {
    "model": {"connection": {"units": 36}, "encoder": {"passes": 4}},
    "training": {"epochs": 4, "batch_size": 50, "previews": 6, "learning_rate": 0.01},
}

# 1024 filters of 16 × 16 on digits, with hardly any work for each picture of them.
THOUSAND = {
    "recipe": "psd",
    "preprocessing": {"patch_size": 16, "patches_per_image": 2},
    "model": {"connection": {"units": 1024}, "encoder": {"solver": {"max_iterations": 1}}},
}


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def wait_for(http: httpx2.Client, job_id: str, seconds: float = 90) -> dict[str, Any]:
    """The job once it has ended, by following its events."""
    deadline = time.monotonic() + seconds
    after = 0
    while time.monotonic() < deadline:
        page = http.get(f"/v1/jobs/{job_id}/events?after={after}&limit=1000&wait=5&format=json").json()
        after = page["last_id"] or after
        if any(event["type"] == "done" for event in page["data"]):
            job: dict[str, Any] = http.get(f"/v1/jobs/{job_id}").json()
            return job
    raise AssertionError(f"{job_id} did not end within {seconds} s: {http.get(f'/v1/jobs/{job_id}').text}")


def succeeded(http: httpx2.Client, body: dict[str, Any]) -> dict[str, Any]:
    """The training that was asked for, once it has ended as it should."""
    answer = http.post("/v1/jobs", json={"type": "train", **body})
    assert answer.status_code == 202, answer.text
    job = wait_for(http, answer.json()["id"])
    assert job["status"] == "succeeded", job
    return job


def until(what: Callable[[], Any], seconds: float = 60) -> Any:
    """What `what` gives, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not happen within {seconds} s")
        time.sleep(0.02)
    return found
