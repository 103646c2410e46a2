"""A published model outside the service: what docs/exports.md says, run as it stands, and what the route refuses."""

import re
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import wait_for
from onnx_cases import difference, session

from pinwheel.client import Client
from pinwheel.up import Service

PAGE = (Path(__file__).parents[2] / "docs" / "exports.md").read_text()


def refused(answer: httpx2.Response, status: int, code: str, *words: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    told = body["detail"] + str(body.get("errors"))
    assert all(word in told for word in words), (words, told)
    return body


def test_the_lines_of_the_page_give_the_features_of_the_service(
    service: Service,
    http: httpx2.Client,
    trained: dict[str, Any],
    digits: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    images = digits[0][500:540, ..., None]
    np.save("digits.npy", images)
    found: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    assert len(blocks) == 5
    for block in blocks:
        block = block.replace("http://127.0.0.1:8000", service.url).replace('"digits")', '"digits-36")')
        exec(block, found)  # noqa: S102
    expected = found["model"].encode(images)
    assert expected.any()
    for name in ("features", "features_of_torch", "features_of_onnx"):
        assert difference(np.asarray(found[name]), expected) < 1e-5, name
    assert found["dictionary"].shape == (784, 36)


def test_the_file_is_made_as_it_is_asked_for(service: Service, http: httpx2.Client, trained: dict[str, Any]) -> None:
    here = "/v1/models/digits-36@1/weights?format=onnx"
    answer = http.get(here)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/onnx"
    assert answer.headers["content-disposition"] == 'attachment; filename="digits-36-1.onnx"'
    assert "immutable" in answer.headers["cache-control"]
    assert http.get(here, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    by_accept = http.get("/v1/models/digits-36/weights", headers={"Accept": "application/onnx"})
    assert by_accept.content == answer.content
    other = http.get(here + "&topk=3&pixels=uint8&layer=0")
    assert other.headers["etag"] != answer.headers["etag"]
    runtime = session(other.content)
    assert [each.name for each in runtime.get_outputs()] == ["features", "topk_indices", "topk_values"]
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), dtype=np.uint8)
    features, indices, values = runtime.run(None, {"images": images})
    with Client(service.url) as client:
        model = client.model("digits-36")
        np.testing.assert_allclose(features, model.encode(images), atol=1e-5)
        kept = model.encode(images, topk=3)
    np.testing.assert_allclose(np.take_along_axis(kept, indices, 1), values, atol=1e-5)


def test_what_cannot_be_is_refused_with_the_value(http: httpx2.Client, trained: dict[str, Any]) -> None:
    here = "/v1/models/digits-36/weights"
    for query, words in {
        "format=onnx&topk=37": ("topk is 37", "36 features"),
        "format=onnx&topk=0": (),
        "format=onnx&topk=99999999999999999999": ("36 features",),
        "format=onnx&layer=1": ("0 to 0", "layer is 1"),
        "format=onnx&pixels=int8": (),
        "format=npz&topk=3": ("topk is 3", "'npz'", "format=onnx"),
        "pixels=uint8": ("pixels is uint8", "'safetensors'"),
    }.items():
        refused(http.get(f"{here}?{query}"), 422, "invalid_config", *words)
    refused(http.get(f"{here}?format=onxx"), 406, "not_acceptable", "safetensors, npz, onnx")


def test_a_solver_that_no_graph_runs_is_a_422_with_the_reason(http: httpx2.Client, few_digits: str) -> None:
    body = {
        "type": "train",
        "recipe": "sparse-coding",
        "dataset": few_digits,
        "publish_as": "by-active-set",
        "preprocessing": {"patch_size": 8, "patches_per_image": 1},
        "model": {
            "connection": {"units": 16},
            "encoder": {"solver": {"method": "active-set", "max_iterations": 20}},
        },
        "training": {"epochs": 1, "batch_size": 250, "previews": 0},
    }
    assert wait_for(http, http.post("/v1/jobs", json=body).json()["id"])["status"] == "succeeded"
    answer = http.get("/v1/models/by-active-set/weights?format=onnx")
    problem = refused(answer, 422, "invalid_config", "by-active-set@1", "'active-set'", "'fista'")
    assert problem["errors"][0]["pointer"] == "#/query/format"
