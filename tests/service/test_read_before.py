"""The second request is answered as the first one is, though its parameters are not read again: in every case."""

from typing import Any

import httpx2
import numpy as np
import pytest
from asking import npy, succeeded

HERE = "/v1/models/digits-36/encode"
NPY = {"Content-Type": "application/x-npy"}
Digits = tuple[np.ndarray, np.ndarray]

ASKED: list[tuple[str, dict[str, str]]] = [
    ("", {}),
    ("?format=npy", {}),
    ("?format=npz", {}),
    ("?format=json&sparse=true&topk=3", {}),
    ("?format=npy&dtype=float16&threshold=0.1", {}),
    ("?passes=2", {"Accept": "application/x-npy"}),
    ("?layer=0&format=arrow", {"Prefer": "wait=20"}),
    ("?format=safetensors", {"Idempotency-Key": "twice"}),
]
REFUSED: list[tuple[str, dict[str, str], int]] = [
    ("?format=tiff", {}, 406),
    ("?topk=0", {}, 422),
    ("?topk=37000", {}, 422),
    ("?passes=2&layer=5", {}, 422),
    ("?formt=npy", {}, 422),
    ("?stride=3", {}, 422),
    ("?format=npy&sparse=true", {}, 422),
    ("", {"Accept": "text/html"}, 406),
]


def plain(answer: httpx2.Response) -> tuple[int, bytes, dict[str, str]]:
    """An answer without what differs from one request to the next."""
    changing = {"date", "server-timing", "x-request-id", "idempotency-replayed"}
    return answer.status_code, answer.content, {k: v for k, v in answer.headers.items() if k not in changing}


@pytest.mark.parametrize(("query", "headers"), ASKED)
def test_what_is_in_order_is_answered_alike(
    http: httpx2.Client, trained: dict[str, Any], digits: Digits, query: str, headers: dict[str, str]
) -> None:
    body = npy(digits[0][:3])
    first, *again = (http.post(HERE + query, content=body, headers=NPY | headers) for _ in range(3))
    assert first.status_code == 200, first.text
    for answer in again:
        assert plain(answer) == plain(first)
        assert answer.headers["x-request-id"]
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("query", "headers", "status"), REFUSED)
def test_what_is_refused_is_refused_again(
    http: httpx2.Client, trained: dict[str, Any], digits: Digits, query: str, headers: dict[str, str], status: int
) -> None:
    body = npy(digits[0][:3])
    answers = [http.post(HERE + query, content=body, headers=NPY | headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status] * 2
    first, second = ({k: v for k, v in answer.json().items() if k != "request_id"} for answer in answers)
    assert first == second


def test_parameters_that_suit_one_model_are_checked_for_another(
    http: httpx2.Client, trained: dict[str, Any], few_digits: str, digits: Digits
) -> None:
    body: dict[str, Any] = {"recipe": "psd", "dataset": few_digits, "publish_as": "smaller"}
    body["preprocessing"] = {"patch_size": None, "patches_per_image": None}
    body["model"] = {"connection": {"units": 9}}
    succeeded(http, body | {"training": {"epochs": 1, "previews": 0}})
    images = npy(digits[0][:2])
    for query, pointer in (("?topk=20", "#/query/topk"), ("?passes=2&format=npy", "#/query/passes")):
        for _ in range(2):
            assert http.post(HERE + query, content=images, headers=NPY).status_code == 200
            refused = http.post(f"/v1/models/smaller/encode{query}", content=images, headers=NPY)
            assert refused.status_code == 422
            assert [entry["pointer"] for entry in refused.json()["errors"]] == [pointer]


def test_bodies_and_models_are_looked_at_every_time(
    http: httpx2.Client, trained: dict[str, Any], digits: Digits
) -> None:
    good = npy(digits[0][:2])
    assert http.post(f"{HERE}?format=npy", content=good).status_code == 200
    for url, body, status in (
        (HERE, b"", 400),
        (HERE, b"no image", 415),
        (HERE, good[:-1], 422),
        (HERE, npy(digits[0][:2, :5]), 422),
        ("/v1/models/nobody/encode", good, 404),
        (f"{HERE.replace('digits-36', 'digits-36@99')}", good, 404),
    ):
        answer = http.post(f"{url}?format=npy", content=body)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    assert http.get(f"{HERE}?format=npy").status_code == 405
    assert http.post(f"{HERE}?format=npy", content=good).status_code == 200
