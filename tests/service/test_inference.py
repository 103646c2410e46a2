"""The Open Inference Protocol, judged by `tritonclient` as it is: http and aio against a running service."""

import asyncio
import base64
import gzip
import inspect
import io
import json
import zlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import numpy as np
import pytest
import tritonclient.http as sync_client
import tritonclient.http.aio as aio_client
from asking import npy
from PIL import Image
from references import drsae_features
from tritonclient.utils import InferenceServerException

from pinwheel.up import Service

MODEL = "digits-36"
INFER = f"/v2/models/{MODEL}/infer"


class Triton:
    """Both clients of `tritonclient`, called in one way."""

    def __init__(self, url: str, kind: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = (
            self._made(url, kind) if kind == "http" else self._loop.run_until_complete(self._later(url, kind))
        )

    async def _later(self, url: str, kind: str) -> Any:
        return self._made(url, kind)

    def _made(self, url: str, kind: str) -> Any:
        return (sync_client if kind == "http" else aio_client).InferenceServerClient(url)

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            result = getattr(self._client, name)(*given, **named)
            return self._loop.run_until_complete(result) if inspect.isawaitable(result) else result

        return call


@pytest.fixture(scope="module", params=["http", "aio"])
def triton(request: pytest.FixtureRequest, service: Service, trained: dict[str, Any]) -> Iterator[Triton]:
    client = Triton(service.url.removeprefix("http://"), request.param)
    yield client
    client.close()
    client._loop.close()


@pytest.fixture(scope="module")
def images(digits: Any) -> np.ndarray:
    return digits[0][:5]


@pytest.fixture(scope="module")
def reference(http: httpx2.Client, trained: dict[str, Any], images: np.ndarray) -> np.ndarray:
    return drsae_features(http, MODEL, images, passes=4)


def png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def tensor(images: np.ndarray, kind: str, binary: bool) -> sync_client.InferInput:
    if kind == "BYTES":
        files = [png(image) for image in images]
        values = np.array(files if binary else [base64.b64encode(file) for file in files], dtype=object)
        given = sync_client.InferInput("IMAGE", [len(images)], kind)
    else:
        values = images[..., None] if kind == "UINT8" else images[..., None].astype(np.float32) / np.float32(255)
        given = sync_client.InferInput("PIXELS", list(values.shape), kind)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("kind", ["UINT8", "FP32", "BYTES"])
def test_every_way_gives_the_features_of_the_reference(
    triton: Triton, images: np.ndarray, reference: np.ndarray, kind: str, binary: bool, packing: str | None
) -> None:
    packed = {"request_compression_algorithm": packing, "response_compression_algorithm": packing}
    given = [tensor(images, kind, binary)]
    unnamed = triton.infer(MODEL, given, request_id="mine", parameters={"topk": 3}, **packed)
    names = [sync_client.InferRequestedOutput(name, binary_data=binary) for name in ("TOPK_VALUES", "FEATURES")]
    named = triton.infer(MODEL, given, model_version="1", outputs=names, parameters={"topk": 3}, **packed)
    told = unnamed.get_response()
    assert (told["model_name"], told["model_version"], told["id"]) == (MODEL, "1", "mine")
    assert [output["name"] for output in told["outputs"]] == ["FEATURES", "TOPK_INDICES", "TOPK_VALUES"]
    assert [output["name"] for output in named.get_response()["outputs"]] == ["TOPK_VALUES", "FEATURES"]
    assert "id" not in named.get_response()
    for answer in (unnamed, named):
        found = answer.as_numpy("FEATURES")
        assert (found.dtype, found.shape) == (np.float32, (5, 36))
        np.testing.assert_allclose(found, reference, atol=1e-5, rtol=0)
    indices, values = unnamed.as_numpy("TOPK_INDICES"), unnamed.as_numpy("TOPK_VALUES")
    assert (indices.dtype, indices.shape) == (np.int64, (5, 3))
    np.testing.assert_array_equal(np.take_along_axis(unnamed.as_numpy("FEATURES"), indices, 1), values)
    np.testing.assert_array_equal(values, -np.sort(-np.abs(unnamed.as_numpy("FEATURES")), 1)[:, :3])
    np.testing.assert_array_equal(named.as_numpy("TOPK_VALUES"), values)
    assert ("data" in named.get_output("FEATURES")) is not binary


def test_the_server_and_its_models_are_described(triton: Triton) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
    for name, version in ((MODEL, ""), (MODEL, "1"), (f"{MODEL}@1", "")):
        assert triton.is_model_ready(name, version)
        told = triton.get_model_metadata(name, version)
        assert told["inputs"][0] == {"name": "PIXELS", "datatype": "FP32", "shape": [-1, 28, 28, 1]}
        assert told["outputs"][0] == {"name": "FEATURES", "datatype": "FP32", "shape": [-1, 36]}
        assert "1" in told["versions"]
        assert triton.get_model_config(name, version)["output"][0]["dims"] == [36]
    assert {"name": MODEL, "version": "1", "state": "READY", "reason": ""} in triton.get_model_repository_index()
    assert not triton.is_model_ready("nope")
    assert not triton.is_model_ready(MODEL, "99")


def test_statistics_count_images_and_requests(triton: Triton, images: np.ndarray) -> None:
    before = triton.get_inference_statistics(MODEL, "1")["model_stats"][0]
    triton.infer(MODEL, [tensor(images, "UINT8", True)])
    after = triton.get_inference_statistics(MODEL)["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 5
    assert after["inference_stats"]["success"]["count"] == before["inference_stats"]["success"]["count"] + 1
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert MODEL in [told["name"] for told in triton.get_inference_statistics()["model_stats"]]


PIXELS = np.zeros((1, 28, 28, 1), np.uint8)
WRONG_CALLS: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "model": ({"model_name": "nope"}, "404", ["nope"]),
    "version": ({"model_version": "99"}, "404", ["99"]),
    "version in words": ({"model_version": "new"}, "404", ["new"]),
    "output": ({"outputs": [sync_client.InferRequestedOutput("NOPE")]}, "400", ["NOPE", "FEATURES"]),
    "output twice": ({"outputs": [sync_client.InferRequestedOutput("FEATURES")] * 2}, "400", ["twice"]),
    "classes": ({"outputs": [sync_client.InferRequestedOutput("FEATURES", class_count=2)]}, "400", ["TOPK_INDICES"]),
    "sequence": ({"sequence_id": 4}, "400", ["sequence_id"]),
    "parameter": ({"parameters": {"topK": 4}}, "400", ["topK", "topk"]),
    "topk 0": ({"parameters": {"topk": 0}}, "400", ["0"]),
    "topk too large": ({"parameters": {"topk": 37}}, "422", ["37", "36"]),
    "layer": ({"parameters": {"layer": 3}}, "422", ["layer", "3"]),
    "passes": ({"parameters": {"passes": 1000}}, "422", ["1000", "200"]),
    "timeout": ({"timeout": 1}, "503", ["1 "]),
    "query": ({"query_params": {"x": 1}}, "422", ["'x'"]),
}


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_a_wrong_call_is_told_why_and_the_next_is_answered(triton: Triton, name: str) -> None:
    wrong, status, words = WRONG_CALLS[name]
    given = tensor(PIXELS[..., 0], "UINT8", True)
    with pytest.raises(InferenceServerException) as caught:
        triton.infer(**({"model_name": MODEL, "inputs": [given]} | wrong))
    assert caught.value.status() == status
    for word in words:
        assert word in caught.value.message()
    assert triton.infer(MODEL, [given]).as_numpy("FEATURES").shape == (1, 36)


@pytest.mark.parametrize("binary", [True, False])
def test_wrong_tensors_are_told_why(triton: Triton, binary: bool) -> None:
    def refused(name: str, datatype: str, values: np.ndarray, *words: str) -> None:
        given = sync_client.InferInput(name, list(values.shape), datatype)
        given.set_data_from_numpy(values, binary_data=binary)
        with pytest.raises(InferenceServerException) as caught:
            triton.infer(MODEL, [given])
        assert caught.value.status() in ("400", "415", "422")
        assert all(word in caught.value.message() for word in words), caught.value.message()

    refused("PIXELS", "UINT8", np.zeros((1, 30, 28, 1), np.uint8), "30", "28")
    refused("PIXELS", "UINT8", np.zeros((1, 28, 28), np.uint8), "[1, 28, 28]")
    refused("PIXELS", "UINT8", np.zeros((1, 28, 28, 3), np.uint8), "3")
    refused("PIXELS", "INT64", np.zeros((1, 28, 28, 1), np.int64), "INT64", "FP32")
    refused("PICTURE", "UINT8", PIXELS, "PICTURE", "IMAGE")
    refused("IMAGE", "BYTES", np.array([b"hello"], dtype=object))
    refused("IMAGE", "BYTES", np.array([[b"aGVs", b"aGVs"]], dtype=object), "[1, 2]")
    if binary:
        refused("PIXELS", "FP32", np.full((1, 28, 28, 1), np.nan, np.float32), "nan")
        refused("IMAGE", "BYTES", np.array([png(PIXELS[0, ..., 0])[:45]], dtype=object), "IMAGE[0]")


def asked(**changes: Any) -> dict[str, Any]:
    given = {"name": "PIXELS", "shape": [1, 28, 28, 1], "datatype": "UINT8", "data": [0] * 784}
    given |= {name: value for name, value in changes.items() if name in given or name == "parameters"}
    return {"inputs": [{name: value for name, value in given.items() if value is not None}]}


RAW = json.dumps(asked(data=None, parameters={"binary_data_size": 784})).encode()


def lying(size: Any) -> bytes:
    return json.dumps(asked(data=None, parameters={"binary_data_size": size})).encode()


def split_at(text: bytes, length: Any = None) -> dict[str, str]:
    return {"Inference-Header-Content-Length": str(len(text) if length is None else length)}


BAD_BODIES: dict[str, tuple[bytes, dict[str, str], int]] = {
    "empty": (b"", {}, 400),
    "no JSON": (b'{"inputs": [', {}, 400),
    "no object": (b"[1]", {}, 400),
    "deep": (b"[" * 100_000, {}, 400),
    "NaN": (json.dumps(asked(data=[float("nan")] * 784)).encode(), {}, 400),
    "infinite": (json.dumps(asked(datatype="FP32", data=[0] * 784)).replace("[0,", "[1e999,").encode(), {}, 400),
    "too large for FP32": (json.dumps(asked(datatype="FP32", data=[1e300] * 784)).encode(), {}, 422),
    "no bytes": (json.dumps(asked(data=[256] * 784)).encode(), {}, 422),
    "fractions": (json.dumps(asked(data=[0.5] * 784)).encode(), {}, 400),
    "huge whole numbers": (json.dumps(asked(data=[10**400] * 784)).encode(), {}, 422),
    "text": (json.dumps(asked(data=["1"] * 784)).encode(), {}, 400),
    "booleans": (json.dumps(asked(data=[True] * 784)).encode(), {}, 400),
    "too few": (json.dumps(asked(data=[0] * 783)).encode(), {}, 400),
    "ragged": (json.dumps(asked(data=[[[[0]] * 28] * 27 + [[[0]] * 27]])).encode(), {}, 400),
    "no data": (json.dumps(asked(data=None)).encode(), {}, 400),
    "huge shape": (json.dumps(asked(shape=[2**39, 28, 28, 1])).encode(), {}, 413),
    "negative shape": (json.dumps(asked(shape=[-1, 28, 28, 1])).encode(), {}, 400),
    "no image": (json.dumps(asked(shape=[0, 28, 28, 1], data=[])).encode(), {}, 400),
    "fractional shape": (json.dumps(asked(shape=[1.0, 28, 28, 1])).encode(), {}, 400),
    "shared memory": (json.dumps(asked(data=None, parameters={"shared_memory_region": "x"})).encode(), {}, 400),
    "no inputs": (b'{"inputs": []}', {}, 400),
    "two inputs": (json.dumps({"inputs": asked()["inputs"] * 2}).encode(), {}, 400),
    "unknown field": (json.dumps(asked() | {"output": []}).encode(), {}, 400),
    "id of a number": (json.dumps(asked() | {"id": 7}).encode(), {}, 400),
    "raw without a header": (RAW + bytes(784), {}, 400),
    "short raw": (RAW + bytes(783), split_at(RAW), 400),
    "long raw": (RAW + bytes(785), split_at(RAW), 400),
    "raw nobody named": (json.dumps(asked()).encode() + b"x", split_at(json.dumps(asked()).encode()), 400),
    "a size that lies": (lying(10**15) + bytes(784), split_at(lying(10**15)), 400),
    "a negative size": (lying(-1), split_at(lying(-1)), 400),
    "a header beyond the body": (RAW, split_at(RAW, 10**9), 400),
    "a negative header": (RAW, split_at(RAW, -4), 400),
    "a header of words": (RAW, split_at(RAW, "ten"), 400),
    "no gzip": (RAW, {"Content-Encoding": "gzip"}, 400),
    "cut gzip": (gzip.compress(RAW)[:-9], {"Content-Encoding": "gzip"}, 400),
    "gzip that goes on": (gzip.compress(RAW) + b"more", {"Content-Encoding": "gzip"}, 400),
    "no deflate": (b"\x00\x01\x02", {"Content-Encoding": "deflate"}, 400),
    "another encoding": (RAW, {"Content-Encoding": "br"}, 415),
    "a form": (RAW, {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "a bomb": (zlib.compress(bytes(200 * 2**20), 9), {"Content-Encoding": "deflate"}, 413),
    "JSON above its limit": (b" " * (5 * 2**20), {}, 413),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_malformed_body_is_refused_and_the_next_request_answered(
    http: httpx2.Client, trained: dict[str, Any], name: str
) -> None:
    body, headers, status = BAD_BODIES[name]
    answer = http.post(INFER, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert isinstance(told["error"], str)
    assert told["error"] == told["detail"]
    assert told["request_id"] == answer.headers["x-request-id"]
    assert http.post(INFER, json=asked()).status_code == 200


def bytes_tensor(*raw: bytes, shape: int = 1) -> tuple[bytes, dict[str, str]]:
    whole = b"".join(raw)
    given = {"name": "IMAGE", "shape": [shape], "datatype": "BYTES", "parameters": {"binary_data_size": len(whole)}}
    text = json.dumps({"inputs": [given]}).encode()
    return text + whole, split_at(text)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        bytes_tensor((2**32 - 1).to_bytes(4, "little"), b"abc"),
        bytes_tensor(b"\x01\x00"),
        bytes_tensor(bytes(4)),
        bytes_tensor(bytes(400_000)),
        bytes_tensor(b"", shape=2),
    ],
)
def test_elements_of_bytes_with_lying_lengths_are_refused(
    http: httpx2.Client, trained: dict[str, Any], body: bytes, headers: dict[str, str]
) -> None:
    answer = http.post(INFER, content=body, headers=headers)
    assert answer.status_code in (400, 415), answer.text
    assert isinstance(answer.json()["error"], str)


def test_nested_data_and_data_urls_are_read(http: httpx2.Client, trained: dict[str, Any], images: np.ndarray) -> None:
    flat = http.post(INFER, json=asked(data=images[0].ravel().tolist())).json()["outputs"][0]["data"]
    nested = http.post(INFER, json=asked(data=images[:1, ..., None].tolist())).json()["outputs"][0]["data"]
    assert nested == flat
    encoded = http.post(f"/v1/models/{MODEL}/encode", content=npy(images[:1])).json()["data"][0]
    np.testing.assert_allclose(flat, encoded, atol=1e-6)


def test_what_the_protocol_has_and_this_server_has_not_is_a_404_with_text(http: httpx2.Client) -> None:
    for method, path in (
        ("POST", "/v2/repository/models/x/load"),
        ("GET", "/v2/trace/setting"),
        ("GET", "/v2/logging"),
    ):
        answer = http.request(method, path)
        assert answer.status_code == 404
        assert isinstance(answer.json()["error"], str)


def test_an_idempotency_key_replays_raw_answers_with_their_header(http: httpx2.Client, trained: dict[str, Any]) -> None:
    headers = {**split_at(RAW), "Idempotency-Key": uuid4().hex, "Accept-Encoding": "gzip"}
    body = json.dumps(json.loads(RAW) | {"parameters": {"binary_data_output": True, "topk": 36}}).encode()
    headers |= split_at(body)
    first, again = (http.post(INFER, content=body + bytes(784), headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.headers["idempotency-replayed"] == "true"
    for name in ("inference-header-content-length", "content-type", "x-model"):
        assert again.headers[name] == first.headers[name]
    assert again.content == first.content
