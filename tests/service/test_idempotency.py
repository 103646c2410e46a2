"""`Idempotency-Key`: the same POST twice does its work once."""

import threading
from uuid import uuid4

import httpx2
import numpy as np
from asking import SMALL, npy, wait_for


def job_body(dataset: str, **more: object) -> dict[str, object]:
    return {"type": "train", "recipe": "drsae", "dataset": dataset, **SMALL, "publish_as": "once", **more}


def test_the_second_request_gets_the_first_answer(http: httpx2.Client, few_digits: str) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    first = http.post("/v1/jobs", json=job_body(few_digits), headers=headers)
    again = http.post("/v1/jobs", json=job_body(few_digits), headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == first.json()
    http.post(f"/v1/jobs/{first.json()['id']}/cancel")
    wait_for(http, first.json()["id"])


def test_another_body_under_the_same_key_is_refused(http: httpx2.Client, few_digits: str) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    first = http.post("/v1/jobs", json=job_body(few_digits), headers=headers)
    other = http.post("/v1/jobs", json=job_body(few_digits, name="other"), headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    elsewhere = http.post("/v1/jobs?dry_run=true", json=job_body(few_digits), headers=headers)
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (422, "idempotency_mismatch")
    http.post(f"/v1/jobs/{first.json()['id']}/cancel")
    wait_for(http, first.json()["id"])


def test_a_refused_request_does_not_use_up_its_key(http: httpx2.Client, few_digits: str) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    assert http.post("/v1/jobs", json=job_body(few_digits, recipe="nope"), headers=headers).status_code == 422
    mended = http.post("/v1/jobs?dry_run=true", json=job_body(few_digits), headers=headers)
    assert mended.status_code == 200


def test_requests_at_the_same_time_do_the_work_once(http: httpx2.Client) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    images = np.random.default_rng(0).integers(0, 255, (3000, 28, 28), dtype=np.uint8)
    body = npy(images)
    answers: list[httpx2.Response] = []

    def upload() -> None:
        with httpx2.Client(base_url=http.base_url, timeout=60, trust_env=False) as client:
            answers.append(client.post("/v1/datasets?name=concurrent", content=body, headers=headers))

    threads = [threading.Thread(target=upload) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}
    assert 201 in statuses
    assert all(answer.json()["code"] == "idempotency_in_progress" for answer in answers if answer.status_code == 409)
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1


def test_a_key_of_absurd_length_is_refused(http: httpx2.Client, few_digits: str) -> None:
    answer = http.post("/v1/jobs", json=job_body(few_digits), headers={"Idempotency-Key": "k" * 300})
    assert answer.status_code == 400
    assert "300" in answer.json()["detail"]
