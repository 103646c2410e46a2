"""A training from submission to features, through a real server and real workers."""

import io
import json
import time
from typing import Any

import httpx2
import numpy as np
import pytest
import scipy.sparse
from asking import SMALL, npy, wait_for
from PIL import Image
from safetensors.numpy import load

Digits = tuple[np.ndarray, np.ndarray]


def test_a_job_is_accepted_with_its_full_spec(http: httpx2.Client, few_digits: str) -> None:
    body = {"type": "train", "recipe": "drsae", "dataset": "few-digits", "metadata": {"note": "any"}, "name": "first"}
    answer = http.post("/v1/jobs", json=body | {"training": {"epochs": 1}})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["dataset"] == few_digits
    assert (job["name"], job["metadata"], job["status"], job["terminal"]) == ("first", {"note": "any"}, "queued", False)
    assert job["spec"]["model"]["encoder"]["passes"] == 11
    assert job["spec"]["training"]["epochs"] == 1
    assert job["progress"]["total_steps"] == 5
    http.post(f"/v1/jobs/{job['id']}/cancel")
    wait_for(http, job["id"])


def test_a_training_ends_with_metrics_that_make_sense(trained: dict[str, Any]) -> None:
    metrics = trained["metrics"]
    assert trained["progress"]["fraction"] == 1.0
    assert trained["progress"]["step"] == trained["progress"]["total_steps"] == 32
    assert 0 < metrics["unexplained_variance"] < 1
    assert 0 < metrics["l0"] <= 36
    assert 0 <= metrics["classification_error"] < 0.9
    terms = metrics["reconstruction"] + metrics["sparsity"] + metrics["classification"]
    assert terms == pytest.approx(metrics["loss"], rel=1e-4)


def test_the_log_tells_the_whole_story_without_gaps(http: httpx2.Client, trained: dict[str, Any]) -> None:
    events = http.get(f"/v1/jobs/{trained['id']}/events?limit=1000&format=json").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    kinds = [event["type"] for event in events]
    assert kinds[0] == "status"
    assert kinds[-1] == "done"
    assert kinds.count("done") == 1
    assert {"status", "metrics", "preview", "checkpoint"} <= set(kinds)
    steps = [event["data"]["step"] for event in events if event["type"] == "metrics"]
    assert steps == sorted(set(steps))
    assert steps[-1] == 32


def test_metrics_come_as_columns_and_can_be_thinned(http: httpx2.Client, trained: dict[str, Any]) -> None:
    history = http.get(f"/v1/jobs/{trained['id']}/metrics").json()
    columns = history["columns"]
    assert len(columns["step"]) == len(columns["loss"]) == history["points"]
    thinned = http.get(f"/v1/jobs/{trained['id']}/metrics?max_points=3").json()
    assert thinned["points"] == 3
    assert thinned["columns"]["step"][-1] == 32
    late = http.get(f"/v1/jobs/{trained['id']}/metrics?from_step=20").json()
    assert min(late["columns"]["step"]) >= 20


def test_filters_can_be_seen_at_a_step(http: httpx2.Client, trained: dict[str, Any]) -> None:
    here = f"/v1/jobs/{trained['id']}/filters"
    newest, first = http.get(here), http.get(f"{here}?step=0")
    assert (newest.headers["x-step"], first.headers["x-step"]) == ("32", "0")
    assert newest.content != first.content
    between = http.get(f"{here}?step=17")
    assert 0 < int(between.headers["x-step"]) <= 17
    picture = Image.open(io.BytesIO(newest.content))
    assert picture.info["step"] == "32"
    assert picture.info["job"] == trained["id"]
    numbers = np.load(io.BytesIO(http.get(f"{here}?format=npy").content))
    assert numbers.shape == (36, 28, 28, 1)
    assert numbers.dtype == np.float32
    again = http.get(here, headers={"If-None-Match": newest.headers["etag"]})
    assert again.status_code == 304


def test_the_model_is_published_with_weights_and_filters(http: httpx2.Client, trained: dict[str, Any]) -> None:
    assert trained["model"] == "digits-36@1"
    model = http.get("/v1/models/digits-36").json()
    assert (model["name"], model["version"], model["units"], model["classes"]) == ("digits-36", 1, 36, 10)
    assert model["metrics"] == trained["metrics"]
    weights = load(http.get("/v1/models/digits-36/weights").content)
    assert weights["layers.0.dictionary"].shape == (784, 36)
    assert weights["layers.0.encoder"].shape == (36, 784)
    assert weights["layers.0.explaining_away"].shape == (36, 36)
    assert weights["layers.0.bias"].shape == (36,)
    assert weights["classifier"].shape == (10, 36)
    assert np.linalg.norm(weights["layers.0.dictionary"], axis=0).max() <= 1 + 1e-5
    archive = np.load(io.BytesIO(http.get("/v1/models/digits-36@1/weights?format=npz").content))
    assert np.array_equal(archive["classifier"], weights["classifier"])
    picture = http.get("/v1/models/digits-36@1/filters?order=usage&cols=6")
    assert picture.headers["content-type"] == "image/png"
    assert "immutable" in picture.headers["cache-control"]
    assert Image.open(io.BytesIO(picture.content)).info["model"] == "digits-36"
    statistics = http.get("/v1/models/digits-36/filters?format=json").json()
    assert len(statistics["units"]) == 36
    assert {"norm", "usage", "orientation_deg", "frequency"} <= set(statistics["units"][0])


def test_the_units_of_the_model_are_told_apart(http: httpx2.Client, trained: dict[str, Any]) -> None:
    found = http.get("/v1/models/digits-36/maps/units?format=json").json()
    metrics, counts = trained["metrics"], found["counts"]
    assert (counts["part"], counts["categorical"]) == (metrics["part_units"], metrics["categorical_units"])
    assert (sum(counts.values()), counts["dead"]) == (36, metrics["dead_units"])
    assert found["passes"] == [1, 2, 3, 4]
    weights = load(http.get("/v1/models/digits-36/weights").content)
    matrix = weights["layers.0.explaining_away"]
    strongest = found["units"][5]["incoming"][0]
    assert strongest["weight"] == pytest.approx(float(matrix[5, strongest["unit"]]), rel=1e-5)
    for example in found["examples"]:
        assert example["squared_error"][-1] < example["squared_norm"]
        assert np.sum(example["probabilities"], axis=1) == pytest.approx(1)
    for query in ("", "?unit=35"):
        answer = http.get(f"/v1/models/digits-36/maps/units{query}")
        assert Image.open(io.BytesIO(answer.content)).width > 1000
    assert http.get("/v1/models/digits-36/maps/units?unit=36").status_code == 422


def test_the_weights_encode_as_the_service_does(http: httpx2.Client, trained: dict[str, Any], digits: Digits) -> None:
    """A reference in float64 from the published tensors alone."""
    weights = {
        name: value.astype(np.float64) for name, value in load(http.get("/v1/models/digits-36/weights").content).items()
    }
    x = digits[0][:20].reshape(20, -1) / 255.0
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    drive = x @ weights["layers.0.encoder"].T - weights["layers.0.bias"]
    code = np.zeros_like(drive)
    for _ in range(4):
        code = np.maximum(0, drive + code @ weights["layers.0.explaining_away"].T)
    answer = http.post("/v1/models/digits-36/encode?format=npy", content=npy(digits[0][:20]))
    found = np.load(io.BytesIO(answer.content))
    assert found.shape == (20, 36)
    assert np.abs(found - code).max() < 1e-5


def test_every_input_format_gives_the_same_features(
    http: httpx2.Client, trained: dict[str, Any], digits: Digits
) -> None:
    image = digits[0][0]
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    png = out.getvalue()
    here = "/v1/models/digits-36/encode?format=npy"
    answers = {
        "png body": http.post(here, content=png, headers={"Content-Type": "image/png"}),
        "no content type": http.post(here, content=png),
        "npy": http.post(here, content=npy(image[None])),
        "npy with a channel": http.post(here, content=npy(image[None, :, :, None])),
        "npz": http.post(here, content=_npz(images=image[None])),
        "floats": http.post(here, content=npy((image[None] / 255).astype(np.float32))),
        "multipart": http.post(here, files={"image": ("a.png", png, "image/png")}),
        "json array": http.post(here, json={"inputs": [{"array": (image / 255).tolist()}]}),
        "json data url": http.post(here, json={"inputs": [_data_url(png)]}),
    }
    features = {}
    for name, answer in answers.items():
        assert answer.status_code == 200, (name, answer.text)
        features[name] = np.load(io.BytesIO(answer.content))
        assert features[name].shape == (1, 36), name
    for name, found in features.items():
        assert np.abs(found - features["npy"]).max() < 1e-5, name


def _npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def _data_url(png: bytes) -> str:
    import base64

    return "data:image/png;base64," + base64.b64encode(png).decode()


def test_every_output_format_gives_the_same_features(
    http: httpx2.Client, trained: dict[str, Any], digits: Digits
) -> None:
    body = npy(digits[0][:7])

    def ask(query: str) -> httpx2.Response:
        answer = http.post(f"/v1/models/digits-36/encode?{query}", content=body)
        assert answer.status_code == 200, answer.text
        return answer

    dense = np.load(io.BytesIO(ask("format=npy").content))
    sparse = scipy.sparse.load_npz(io.BytesIO(ask("format=npz").content))
    assert np.array_equal(sparse.toarray(), dense)
    assert np.array_equal(np.load(io.BytesIO(ask("format=npz&sparse=false").content))["features"], dense)
    shown = ask("format=json").json()
    assert (shown["object"], shown["model"], shown["version"]) == ("features", "digits-36", 1)
    assert (shown["shape"], shown["dtype"], shown["format"]) == ([7, 36], "float32", "dense")
    assert np.allclose(shown["data"], dense, atol=1e-6)
    rows = ask("format=json&sparse=true").json()
    matrix = scipy.sparse.csr_matrix((rows["values"], rows["indices"], rows["indptr"]), rows["shape"])
    assert np.allclose(matrix.toarray(), dense, atol=1e-6)
    answer = ask("format=npy&dtype=float16")
    assert np.load(io.BytesIO(answer.content)).dtype == np.float16
    assert answer.headers["x-model"] == "digits-36@1"
    assert "compute;dur=" in answer.headers["server-timing"]


def test_topk_and_threshold_keep_the_largest(http: httpx2.Client, trained: dict[str, Any], digits: Digits) -> None:
    body = npy(digits[0][:5])
    here = "/v1/models/digits-36/encode?format=npy"
    dense = np.load(io.BytesIO(http.post(here, content=body).content))
    top = np.load(io.BytesIO(http.post(f"{here}&topk=3", content=body).content))
    assert ((top != 0).sum(axis=1) <= 3).all()
    assert np.allclose(top.max(axis=1), dense.max(axis=1))
    cut = float(np.median(dense[dense > 0]))
    above = np.load(io.BytesIO(http.post(f"{here}&threshold={cut}", content=body).content))
    assert np.array_equal(above, np.where(dense > np.float32(cut), dense, 0))


def test_passes_change_the_code(http: httpx2.Client, trained: dict[str, Any], digits: Digits) -> None:
    body = npy(digits[0][:5])
    here = "/v1/models/digits-36/encode?format=npy"
    one, own, four = (http.post(here + more, content=body).content for more in ("&passes=1", "", "&passes=4"))
    assert own == four
    assert one != own


def test_reconstructions_are_the_dictionary_times_the_code(
    http: httpx2.Client, trained: dict[str, Any], digits: Digits
) -> None:
    body = npy(digits[0][:6])
    found = np.load(io.BytesIO(http.post("/v1/models/digits-36/reconstruct?format=npy", content=body).content))
    code = np.load(io.BytesIO(http.post("/v1/models/digits-36/encode?format=npy", content=body).content))
    dictionary = load(http.get("/v1/models/digits-36/weights").content)["layers.0.dictionary"]
    images = digits[0][:6].reshape(6, -1) / 255.0
    expected = code.astype(np.float64) @ dictionary.T * np.linalg.norm(images, axis=1, keepdims=True)
    assert found.shape == (6, 28, 28, 1)
    assert np.abs(found.reshape(6, -1) - expected).max() < 1e-4
    shown = http.post("/v1/models/digits-36/reconstruct", content=body).json()
    deviations = images - images.mean(axis=1, keepdims=True)
    unexplained = ((images - expected) ** 2).sum(axis=1) / (deviations**2).sum(axis=1)
    assert np.allclose(shown["unexplained_variance"], unexplained, atol=1e-3)
    assert max(unexplained) < 1
    picture = http.post("/v1/models/digits-36/reconstruct?format=png", content=body)
    assert Image.open(io.BytesIO(picture.content)).width > 6 * 28


def test_a_reconstruction_may_be_from_the_strongest_units_alone(
    http: httpx2.Client, trained: dict[str, Any], digits: Digits
) -> None:
    body, here = npy(digits[0][:6]), "/v1/models/digits-36"
    code = np.load(io.BytesIO(http.post(f"{here}/encode?format=npy&topk=2", content=body).content))
    found = np.load(io.BytesIO(http.post(f"{here}/reconstruct?format=npy&topk=2", content=body).content))
    dictionary = load(http.get(f"{here}/weights").content)["layers.0.dictionary"]
    norms = np.linalg.norm(digits[0][:6].reshape(6, -1) / 255.0, axis=1, keepdims=True)
    assert np.abs(found.reshape(6, -1) - code.astype(np.float64) @ dictionary.T * norms).max() < 1e-4
    for topk, words in ((37, ["topk is 37", "36 numbers"]), (0, ["topk", "greater than or equal to 1"])):
        refused = http.post(f"{here}/reconstruct?topk={topk}", content=body)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "#/query/topk"
        assert all(word in refused.json()["detail"] for word in words)


def test_classes_are_probabilities(http: httpx2.Client, trained: dict[str, Any], digits: Digits) -> None:
    shown = http.post("/v1/models/digits-36/classify", content=npy(digits[0][:50])).json()
    probabilities = np.array(shown["probabilities"])
    assert probabilities.shape == (50, 10)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert shown["predictions"] == probabilities.argmax(axis=1).tolist()
    assert (np.array(shown["predictions"]) == digits[1][:50]).mean() > 0.3


def test_a_whole_data_set_is_encoded_as_a_job(
    http: httpx2.Client, trained: dict[str, Any], few_digits: str, digits: Digits
) -> None:
    body = {"type": "encode", "model": "digits-36", "dataset": few_digits, "output": {"format": "npz", "sparse": True}}
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job = wait_for(http, answer.json()["id"])
    assert job["status"] == "succeeded", job
    assert job["model"] == "digits-36@1"
    result = http.get(job["links"]["result"])
    matrix = scipy.sparse.load_npz(io.BytesIO(result.content))
    assert matrix.shape == (500, 36)
    direct = np.load(
        io.BytesIO(http.post("/v1/models/digits-36/encode?format=npy", content=npy(digits[0][:500])).content)
    )
    assert np.abs(matrix.toarray() - direct).max() < 1e-5
    dense = np.load(io.BytesIO(http.get(job["links"]["result"] + "?format=npy").content))
    assert np.array_equal(dense, matrix.toarray())
    assert http.get(f"/v1/jobs/{job['id']}/filters").status_code == 404


def test_two_runs_with_one_seed_give_equal_weights(
    http: httpx2.Client, trained: dict[str, Any], few_digits: str
) -> None:
    def train(seed: int) -> bytes:
        body = {"type": "train", "recipe": "drsae", "dataset": few_digits, "publish_as": f"seed-{seed}", **SMALL}
        body["training"] = SMALL["training"] | {"seed": seed}
        body["validation"] = {"split": 0.2}
        job = wait_for(http, http.post("/v1/jobs", json=body).json()["id"])
        assert job["status"] == "succeeded", job
        return http.get(f"/v1/models/{job['model']}/weights").content

    first = load(http.get("/v1/models/digits-36@1/weights").content)
    same, other = load(train(0)), load(train(1))
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert not np.array_equal(first["layers.0.dictionary"], other["layers.0.dictionary"])


def test_a_running_job_can_be_cancelled_and_keeps_its_last_checkpoint(http: httpx2.Client, few_digits: str) -> None:
    body = {"type": "train", "recipe": "drsae", "dataset": few_digits, "training": {"epochs": 100_000}}
    job_id = http.post("/v1/jobs", json=body).json()["id"]
    _until(http, job_id, lambda job: job["progress"]["step"] > 0)
    answer = http.post(f"/v1/jobs/{job_id}/cancel")
    assert answer.status_code == 202
    assert answer.json()["status"] in ("cancelling", "cancelled")
    job = wait_for(http, job_id, 30)
    assert job["status"] == "cancelled"
    events = http.get(f"/v1/jobs/{job_id}/events?limit=1000&format=json").json()["data"]
    assert any(event["type"] == "checkpoint" for event in events)
    assert http.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    refused = http.post(f"/v1/jobs/{job_id}/pause")
    assert refused.status_code == 409
    assert (refused.json()["code"], refused.json()["current"], refused.json()["allowed"]) == (
        "job_state_conflict",
        "cancelled",
        [],
    )


def test_a_paused_job_goes_on_where_it_stopped(http: httpx2.Client, few_digits: str) -> None:
    body = {"type": "train", "recipe": "drsae", "dataset": few_digits, **SMALL, "publish_as": "paused"}
    body["training"] = SMALL["training"] | {"epochs": 150}
    job_id = http.post("/v1/jobs", json=body).json()["id"]
    _until(http, job_id, lambda job: job["progress"]["step"] > 10)
    http.post(f"/v1/jobs/{job_id}/pause")
    paused = _until(http, job_id, lambda job: job["status"] in ("paused", "succeeded"))
    assert paused["status"] == "paused", "the training ended before it could be paused"
    assert http.post(f"/v1/jobs/{job_id}/resume").json()["status"] in ("queued", "running")
    job = wait_for(http, job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)


def _until(http: httpx2.Client, job_id: str, reached: Any, seconds: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job: dict[str, Any] = http.get(f"/v1/jobs/{job_id}").json()
        if reached(job):
            return job
        assert not job["terminal"], json.dumps(job)
        time.sleep(0.05)
    raise AssertionError(json.dumps(job))


def test_a_training_ends_when_its_time_is_over_and_publishes_what_it_has(
    http: httpx2.Client, few_digits: str, digits: Digits
) -> None:
    body = {"type": "train", "recipe": "drsae", "dataset": few_digits, **SMALL, "publish_as": "timed", "max_seconds": 6}
    body["training"] = SMALL["training"] | {"epochs": 100_000}
    job_id = http.post("/v1/jobs", json=body).json()["id"]
    _until(http, job_id, lambda job: job["progress"]["step"] > 10)
    http.post(f"/v1/jobs/{job_id}/pause")
    paused = _until(http, job_id, lambda job: job["terminal"] or job["status"] == "paused")
    http.post(f"/v1/jobs/{job_id}/resume")
    job = wait_for(http, job_id)
    assert (job["status"], job["status_reason"], job["max_seconds"]) == ("succeeded", "max_seconds", 6)
    assert paused["progress"]["step"] <= job["progress"]["step"] < job["progress"]["total_steps"]
    answer = http.post(f"/v1/models/{job['model']}/encode?format=npy", content=npy(digits[0][:3]))
    assert np.load(io.BytesIO(answer.content)).any()
    for wrong in (0, -1, "soon"):
        refused = http.post("/v1/jobs", json=body | {"max_seconds": wrong})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "#/max_seconds"


def test_a_finished_job_is_deleted_with_its_files(http: httpx2.Client, service: Any, few_digits: str) -> None:
    body = {"type": "train", "recipe": "drsae", "dataset": few_digits, **SMALL, "publish_as": "gone"}
    job_id = http.post("/v1/jobs", json=body).json()["id"]
    assert http.delete(f"/v1/jobs/{job_id}").status_code == 409
    assert wait_for(http, job_id)["status"] == "succeeded"
    assert http.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert http.get(f"/v1/jobs/{job_id}").status_code == 404
    assert not (service.data_dir / "jobs" / job_id).exists()
    assert http.get("/v1/models/gone").status_code == 200
    assert http.delete("/v1/models/gone").status_code == 204
    assert http.get("/v1/models/gone").status_code == 404
    assert not (service.data_dir / "models" / "gone" / "1").exists()


def test_data_that_a_live_job_uses_cannot_be_deleted(http: httpx2.Client, digits: Digits) -> None:
    dataset = http.post("/v1/datasets?name=in-use", content=_npz(images=digits[0][500:600], labels=digits[1][500:600]))
    dataset_id = dataset.json()["id"]
    body = {"type": "train", "recipe": "drsae", "dataset": dataset_id, "training": {"epochs": 100_000}}
    job_id = http.post("/v1/jobs", json=body).json()["id"]
    refused = http.delete(f"/v1/datasets/{dataset_id}")
    assert (refused.status_code, refused.json()["code"], refused.json()["job"]) == (409, "in_use", job_id)
    http.post(f"/v1/jobs/{job_id}/cancel")
    wait_for(http, job_id)
    assert http.delete(f"/v1/datasets/{dataset_id}").status_code == 204
    assert http.get(f"/v1/datasets/{dataset_id}").status_code == 404


def test_a_dry_run_estimates_and_keeps_nothing(http: httpx2.Client, few_digits: str) -> None:
    before = http.get("/v1/jobs?limit=1").json()["first_id"]
    answer = http.post("/v1/jobs?dry_run=true", json={"type": "train", "recipe": "drsae", "dataset": few_digits})
    assert answer.status_code == 200
    assert answer.json()["estimate"]["parameters"] == 791_600
    assert answer.json()["estimate"]["total_steps"] == 300
    assert http.get("/v1/jobs?limit=1").json()["first_id"] == before
