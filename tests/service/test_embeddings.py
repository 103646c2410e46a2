"""`POST /v1/embeddings`, judged by the `openai` package as it is."""

import asyncio
import base64
import io
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import numpy as np
import openai
import pytest
from PIL import Image
from references import drsae_features

from pinwheel.up import Service

MODEL = "digits-36"


def data_url(image: np.ndarray, kind: str = "png") -> str:
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"


@pytest.fixture(scope="module")
def client(service: Service, trained: dict[str, Any]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def images(digits: Any) -> np.ndarray:
    return digits[0][:5]


@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_embeddings_are_the_features_of_the_reference(
    client: openai.OpenAI, http: httpx2.Client, images: np.ndarray, encoding: Any
) -> None:
    urls: list[Any] = [data_url(image) for image in images]
    urls[1] = {"image": urls[1]}
    urls[2] = {"image": urls[2].partition(",")[2]}
    answer = client.embeddings.create(model=MODEL, input=urls, dimensions=36, user="me", **encoding)
    assert answer.model == f"{MODEL}@1"
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (5, 5)
    assert [item.index for item in answer.data] == [0, 1, 2, 3, 4]
    rows = [item.embedding for item in answer.data]
    if encoding.get("encoding_format") == "base64":  # asked for by name it is handed on as it came
        rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]  # type: ignore[arg-type]
    np.testing.assert_allclose(rows, drsae_features(http, MODEL, images, passes=4), atol=1e-5, rtol=0)


def test_one_image_alone_and_the_asynchronous_client(service: Service, client: openai.OpenAI, images: Any) -> None:
    one = client.embeddings.create(model=f"{MODEL}@1", input=data_url(images[0])).data

    async def ask() -> Any:
        async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as made:
            return await made.embeddings.create(model=MODEL, input=[data_url(images[0])])

    assert len(one) == 1
    np.testing.assert_allclose(asyncio.run(ask()).data[0].embedding, one[0].embedding, atol=1e-6)
    more = client.embeddings.create(model=MODEL, input=data_url(images[0]), extra_body={"passes": 1, "layer": 0})
    assert more.data[0].embedding != one[0].embedding


PICTURE = data_url(np.zeros((28, 28), np.uint8))
WRONG: dict[str, tuple[dict[str, Any], type[openai.APIStatusError], str | None, list[str]]] = {
    "model": ({"model": "nope"}, openai.NotFoundError, None, ["nope"]),
    "text": ({"input": "hello"}, openai.BadRequestError, None, ["input[0]", "hello", "images"]),
    "address": ({"input": "https://example.org/x.png"}, openai.BadRequestError, None, ["https"]),
    "tokens": ({"input": [1, 2, 3]}, openai.BadRequestError, None, ["input[0]"]),
    "nothing": ({"input": []}, openai.BadRequestError, None, ["empty"]),
    "another key": ({"input": {"picture": PICTURE}}, openai.BadRequestError, None, ["picture"]),
    "no base64": ({"input": "data:image/png;base64,@@"}, openai.BadRequestError, None, ["base64"]),
    "no image": ({"input": {"image": "aGVsbG8="}}, openai.APIStatusError, None, ["hello", "PNG"]),
    "damaged": ({"input": PICTURE[:90] + "AA=="}, openai.APIStatusError, None, ["input[0]"]),
    "size": ({"input": data_url(np.zeros((9, 7), np.uint8))}, openai.UnprocessableEntityError, None, ["9", "28"]),
    "dimensions": ({"dimensions": 12}, openai.UnprocessableEntityError, "dimensions", ["12", "36"]),
    "encoding": ({"encoding_format": "int8"}, openai.UnprocessableEntityError, "encoding_format", ["int8"]),
    "field": ({"extra_body": {"modle": 1}}, openai.UnprocessableEntityError, "modle", ["model"]),
    "layer": ({"extra_body": {"layer": 4}}, openai.UnprocessableEntityError, "layer", ["4"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_raises_the_typed_exception_and_the_next_is_answered(client: openai.OpenAI, name: str) -> None:
    changes, kind, param, words = WRONG[name]
    with pytest.raises(kind) as caught:
        client.embeddings.create(**({"model": MODEL, "input": PICTURE} | changes))
    error = caught.value
    assert 400 <= error.status_code < 500
    assert (error.type, error.param) == ("invalid_request_error", param)
    assert error.code
    assert error.request_id
    assert isinstance(error.body, dict)
    for word in words:
        assert word in error.body["message"]
    assert client.embeddings.create(model=MODEL, input=PICTURE).data


def test_bodies_that_are_no_json_are_refused_in_openais_shape(http: httpx2.Client, trained: dict[str, Any]) -> None:
    json_type = {"Content-Type": "application/json"}
    for body, headers, status in (
        (b"", json_type, 400),
        (b'{"model": ', json_type, 400),
        (b"[1]", json_type, 422),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b" " * (5 * 2**20), json_type, 413),
    ):
        answer = http.post("/v1/embeddings", content=body, headers=headers)
        assert answer.status_code == status, answer.text
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert http.get("/v1/embeddings").status_code == 405


def test_an_idempotency_key_replays_the_answer(http: httpx2.Client, trained: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    body = {"model": MODEL, "input": PICTURE}
    first, again = (http.post("/v1/embeddings", json=body, headers=headers) for _ in range(2))
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()


def test_the_list_of_models_stays_our_own(client: openai.OpenAI) -> None:
    listed = list(client.models.list())
    named = {model.name: model for model in listed}  # type: ignore[attr-defined]
    assert named[MODEL].object == "model"
    assert client.models.retrieve(MODEL).name == MODEL  # type: ignore[attr-defined]
    first = client.models.list(extra_query={"limit": 1})
    assert len(list(first)) == 1  # its pages have no next one
    assert (named[MODEL].id, named[MODEL].owned_by) == (None, None)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nope")
    with pytest.raises(openai.NotFoundError):
        client.models.delete(f"{MODEL}@77")
