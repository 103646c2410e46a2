"""Stacks through a real server and real workers: stages in one job, stages on a published model, every layer asked."""

import io
import math
from typing import Any

import httpx2
import numpy as np
import pytest
import scipy.sparse
from asking import npy, npz, succeeded, wait_for
from PIL import Image
from safetensors.numpy import load
from stack_cases import DENSE, FIRST, LABELS, PROBE, SECOND, asked, send_stripes
from training_cases import stripes

from pinwheel.client import Client

LAYERS = [[3, 2, 8], [2, 1, 6]]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.asarray(stripes(50, 7).images)


@pytest.fixture(scope="module")
def data(http: httpx2.Client) -> None:
    send_stripes(http)


@pytest.fixture(scope="module")
def stacked(http: httpx2.Client, data: None) -> dict[str, Any]:
    return succeeded(http, asked(FIRST, SECOND, LABELS, publish_as="stacked"))


@pytest.fixture(scope="module")
def first(http: httpx2.Client, data: None) -> dict[str, Any]:
    return succeeded(http, asked(FIRST, publish_as="first"))


def array(answer: httpx2.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    found: np.ndarray = np.load(io.BytesIO(answer.content))
    return found


def test_a_stack_is_trained_stage_by_stage(http: httpx2.Client, stacked: dict[str, Any]) -> None:
    assert stacked["progress"]["step"] == stacked["progress"]["total_steps"] == 120
    assert stacked["progress"]["epoch"] == 12
    assert [sorted(stage) for stage in stacked["spec"]["stages"]][2] == ["classifier", "learn", "training"]
    columns = http.get(f"/v1/jobs/{stacked['id']}/metrics").json()["columns"]
    assert set(columns["stage"]) == {0, 1, 2}
    assert stacked["metrics"]["classification_error"] < 0.05
    model = http.get("/v1/models/stacked").json()
    assert [layer["feature_shape"] for layer in model["layers"]] == LAYERS
    assert (model["feature_shape"], model["units"], model["classes"]) == (LAYERS[1], 6, 2)
    assert model["metrics"]["classification_error"] == stacked["metrics"]["classification_error"]


def test_what_was_resolved_can_be_sent_again(http: httpx2.Client, stacked: dict[str, Any]) -> None:
    body = {"type": "train", "dataset": "stripes", **stacked["spec"]}
    for stage in body["stages"]:
        stage.pop("taken_from", None)
    answer = http.post("/v1/jobs?dry_run=true", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["spec"]["stages"][1]["model"] == stacked["spec"]["stages"][1]["model"]
    assert answer.json()["estimate"]["total_steps"] == 120


def test_every_layer_has_its_filters(http: httpx2.Client, stacked: dict[str, Any]) -> None:
    for here in ("/v1/models/stacked/filters", f"/v1/jobs/{stacked['id']}/filters"):
        for layer, (units, side) in enumerate([(8, 3), (6, 6)]):
            for kind in ("decoder", "encoder"):
                numbers = array(http.get(f"{here}?format=npy&layer={layer}&kind={kind}"))
                assert numbers.shape == (units, side, side, 1)
            told = http.get(f"{here}?format=json&layer={layer}").json()
            assert (told["layer"], told["shape"]) == (layer, [units, side, side, 1])
        assert http.get(f"{here}?format=json").json()["layer"] == 1
        assert Image.open(io.BytesIO(http.get(here).content)).size[0] > 30
    early = http.get(f"/v1/jobs/{stacked['id']}/filters?layer=0&step=15")
    assert int(early.headers["X-Step"]) < 20
    assert http.get(f"/v1/jobs/{stacked['id']}/filters?layer=1&step=15").status_code == 404
    answer = http.get("/v1/models/stacked/filters?layer=2")
    assert answer.status_code == 422
    assert "has 2 layers, 0 to 1, and layer is 2" in answer.json()["detail"]


def test_every_layer_encodes_and_comes_down_to_pixels(
    http: httpx2.Client, stacked: dict[str, Any], images: np.ndarray
) -> None:
    def post(what: str, query: str) -> httpx2.Response:
        return http.post(f"/v1/models/stacked/{what}?format=npy&{query}", content=npy(images))

    for layer, shape in enumerate(LAYERS):
        assert array(post("encode", f"layer={layer}")).shape == (len(images), math.prod(shape))
        assert array(post("reconstruct", f"layer={layer}")).shape == images.shape
    np.testing.assert_array_equal(array(post("encode", "")), array(post("encode", "layer=1")))
    assert not np.array_equal(array(post("reconstruct", "layer=0")), array(post("reconstruct", "layer=1")))
    assert array(post("classify", "")).shape == (len(images), 2)
    for what, query, detail in (
        ("encode", "layer=2", "has 2 layers"),
        ("reconstruct", "layer=9", "has 2 layers"),
        ("encode", "topk=13", "topk is 13; the model gives 12 features"),
    ):
        answer = post(what, query)
        assert answer.status_code == 422
        assert detail in answer.json()["detail"]
    assert array(post("encode", "topk=48&layer=0")).shape == (len(images), 48)
    assert post("encode", "layer=-1").status_code == 422


def test_the_published_tensors_say_what_encoding_does(
    http: httpx2.Client, stacked: dict[str, Any], images: np.ndarray
) -> None:
    weights = load(http.get("/v1/models/stacked/weights").content)
    names = {name.removeprefix("layers.1.") for name in weights if name.startswith("layers.1.")}
    assert names == {"dictionary", "encoder", "bias", "gain", "input_mean", "input_scale"}
    assert weights["classifier"].shape == (2, 12)
    first = array(http.post("/v1/models/stacked/encode?format=npy&layer=0", content=npy(images)))
    seen = (first.reshape(-1, 3, 2, 8) - weights["layers.1.input_mean"]) * weights["layers.1.input_scale"]
    windows = np.lib.stride_tricks.sliding_window_view(seen, (2, 2), axis=(1, 2))
    code = np.einsum("nijcyx,ucyx->niju", windows, weights["layers.1.encoder"]) + weights["layers.1.bias"]
    expected = np.abs(np.maximum(0, code) * weights["layers.1.gain"]).reshape(len(images), -1)
    found = array(http.post("/v1/models/stacked/encode?format=npy", content=npy(images)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_maps_are_those_of_a_layer(http: httpx2.Client, stacked: dict[str, Any]) -> None:
    for layer, units in enumerate((8, 6)):
        told = http.get(f"/v1/models/stacked/maps/usage?format=json&layer={layer}").json()
        assert len(told["usage"]) == units
    assert http.get("/v1/models/stacked/maps/usage?layer=5").status_code == 422


def test_a_data_set_is_encoded_by_a_layer(http: httpx2.Client, stacked: dict[str, Any]) -> None:
    for layer, columns in ((0, 48), (None, 12)):
        body = {"type": "encode", "model": "stacked", "dataset": "stripes-test", "layer": layer}
        job = wait_for(http, http.post("/v1/jobs", json=body).json()["id"])
        assert job["status"] == "succeeded", job
        found = scipy.sparse.load_npz(io.BytesIO(http.get(f"/v1/jobs/{job['id']}/result").content))
        assert found.shape == (60, columns)
    answer = http.post("/v1/jobs", json={"type": "encode", "model": "stacked", "dataset": "stripes-test", "layer": 2})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/layer"


@pytest.mark.parametrize("form", ["stages", "model", "recipe"])
def test_stages_stand_on_a_published_model(http: httpx2.Client, first: dict[str, Any], form: str) -> None:
    body: dict[str, Any] = {"type": "train", "dataset": "stripes", "on_top_of": "first@1", "publish_as": f"on-{form}"}
    if form == "stages":
        body |= {"stages": [DENSE]}
    elif form == "model":
        body |= {"model": DENSE["model"], "training": DENSE["training"]}
    else:
        body |= {"recipe": "drsae", "model": {"connection": {"units": 5}}, "training": {"epochs": 2}}
    job = succeeded(http, body)
    assert job["progress"]["step"] == 2 * (3 if form == "recipe" else 10)
    assert job["spec"]["stages"][0]["taken_from"] == "first@1"
    model = http.get(f"/v1/models/on-{form}").json()
    assert [layer["feature_shape"] for layer in model["layers"]] == [[3, 2, 8], [5]]
    below, above = (load(http.get(f"/v1/models/{name}/weights").content) for name in ("first", f"on-{form}"))
    assert all(np.array_equal(value, above[name]) for name, value in below.items())


def test_labels_alone_stand_on_a_published_model(http: httpx2.Client, first: dict[str, Any]) -> None:
    with Client(str(http.base_url)) as client:
        job = client.train(dataset="stripes", on_top_of="first", stages=[PROBE], publish_as="probe").wait(60)
        assert job.status == "succeeded"
        model = client.model("probe")
        test = stripes(60, 1)
        assert (model.classify(test.images).probabilities.argmax(1) == test.labels).mean() > 0.9
        assert model.encode(test.images, layer=0).shape == (60, 48)


def refused(http: httpx2.Client, body: dict[str, Any], pointer: str, *words: str) -> None:
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code in (404, 422), answer.text
    told = answer.json()
    assert told["errors"][0]["pointer"] == pointer, told
    for word in words:
        assert word in told["detail"], told


def test_stacks_that_do_not_fit_are_refused_with_both_numbers(http: httpx2.Client, first: dict[str, Any]) -> None:
    large = {**SECOND, "model": SECOND["model"] | {"connection": SECOND["model"]["connection"] | {"kernel_size": 3}}}
    place = "model/connection/kernel_size"
    refused(http, asked(FIRST, large), f"#/stages/1/{place}", "kernel_size is 3", "3 × 2")
    over: dict[str, Any] = {"type": "train", "dataset": "stripes", "on_top_of": "first"}
    refused(http, over | {"stages": [large]}, f"#/stages/0/{place}", "3 × 2")
    refused(http, over | {"model": large["model"]}, f"#/{place}", "3 × 2")
    refused(http, over | {"stages": [SECOND], "preprocessing": {"scale": "none"}}, "#/preprocessing", "first")
    refused(http, over | {"stages": [SECOND], "on_top_of": "nothing"}, "#/on_top_of", "nothing")
    refused(http, over | {"stages": [SECOND | {"taken_from": "first@1"}]}, "#/stages/0/taken_from", "on_top_of")
    http.post("/v1/datasets?name=square", content=npz(images=np.ones((20, 9, 9), np.uint8)))
    refused(http, over | {"stages": [SECOND], "dataset": "square"}, "#/dataset", "[9, 9, 1]", "[8, 6, 1]")
    refused(http, asked(FIRST, SECOND, model=SECOND["model"]), "#/model", "stages/0/model")
    refused(http, asked(PROBE, FIRST), "#/stages/0", "labels alone")
    refused(http, asked(FIRST, {"modl": {}}), "#/stages/1/model")
    typo = {**FIRST, "model": FIRST["model"] | {"conection": {}}}
    refused(http, asked(FIRST, typo), "#/stages/1/model/conection", "did you mean 'connection'?")
    supervised = {**FIRST, "model": FIRST["model"] | {"classifier": {"kind": "softmax"}}}
    refused(http, asked(supervised, SECOND), "#/stages/0/model/classifier", "only the last stage classifies")


def test_a_stack_of_labels_needs_labels(http: httpx2.Client, first: dict[str, Any]) -> None:
    body = npz(images=np.asarray(stripes(20, 3).images))
    http.post("/v1/datasets?name=unlabelled", content=body)
    refused(http, asked(FIRST, PROBE) | {"dataset": "unlabelled"}, "#/dataset", "no labels")
