"""Convolutions and local fields through a real server and real workers: trained, shown, encoded, rebuilt, resumed."""

import io
import json
import math
import time
from typing import Any

import httpx2
import numpy as np
import pytest
import scipy.sparse
from asking import npy, npz, wait_for
from PIL import Image
from safetensors.numpy import load
from scipy.signal import correlate

import pinwheel
from pinwheel.up import Service

SIDE = 12
TRAINING = {"epochs": 2, "batch_size": 50, "previews": 3}
CONV = {"kind": "conv", "units": 8, "kernel_size": 5}
LOCAL = {"kind": "local", "field_size": 5}
MAPS = {"kind": "pools", "layout": "maps", "size": 2, "window": 4, "weight": 0.02}
SHEET = {"kind": "pools", "layout": "sheet", "size": 3, "stride": 2, "weight": 0.02}
SOLVER = {"max_iterations": 10}
EXACT = {"kind": "exact", "solver": SOLVER}
UNROLLED = {"kind": "recurrent", "passes": 3, "start": "ista", "total_step": None, "sign": "signed"}

# name → the model, filters, what encoding answers for an input
MODELS: dict[str, tuple[dict[str, Any], list[int], list[int]]] = {
    "conv": ({"connection": CONV, "encoder": UNROLLED, "sparsity": {"kind": "l1", "weight": 0.02}}, [8], [8, 8, 8]),
    "conv-classes": (
        {
            "connection": CONV,
            "encoder": {"kind": "feedforward"},
            "sparsity": MAPS,
            "classifier": {"kind": "softmax"},
            "output": "pooled",
        },
        [8],
        [2, 2, 4],
    ),
    "local": (
        {"connection": LOCAL, "encoder": EXACT, "sparsity": SHEET},
        [8, 8],
        [8, 8, 1],
    ),
    "local-tiles": (
        {
            "connection": LOCAL | {"tile": 4, "units_per_position": 4},
            "encoder": {"kind": "predict-refine", "activation": "shrink", "solver": SOLVER},
            "sparsity": SHEET,
            "output": "pooled",
        },
        [8, 8],
        [8, 8, 1],
    ),
}
MAPPED = [name for name, (_, filters, _) in MODELS.items() if len(filters) == 2]


def job(name: str, **more: Any) -> dict[str, Any]:
    body = {"type": "train", "dataset": "bars", "validation": {"dataset": "bars-test"}, "training": TRAINING}
    return body | {"model": MODELS[name][0], "publish_as": f"spatial-{name}"} | more


def bars(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright rows (class 0) or columns (class 1) on noise, (count, 12, 12) uint8."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 60, (count, SIDE, SIDE), dtype=np.uint8)
    labels = np.arange(count) % 2
    for image, label in zip(images, labels, strict=True):
        places = generator.choice(SIDE, 2, replace=False)
        if label == 0:
            image[places] = 255
        else:
            image[:, places] = 255
    return images, labels


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return bars(400, 0)[0]


@pytest.fixture(scope="module")
def data(http: httpx2.Client, images: np.ndarray) -> None:
    for name, (pixels, labels) in {"bars": (images, bars(400, 0)[1]), "bars-test": bars(60, 1)}.items():
        answer = http.post(f"/v1/datasets?name={name}", content=npz(images=pixels, labels=labels))
        assert answer.status_code in (200, 201), answer.text


@pytest.fixture(scope="module")
def trained_models(http: httpx2.Client, data: None) -> dict[str, dict[str, Any]]:
    """One small training of each, all submitted at once."""
    jobs = {}
    for name in MODELS:
        answer = http.post("/v1/jobs", json=job(name))
        assert answer.status_code == 202, answer.text
        jobs[name] = answer.json()["id"]
    done = {name: wait_for(http, found) for name, found in jobs.items()}
    for one in done.values():
        assert one["status"] == "succeeded", one
    return done


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest, trained_models: dict[str, dict[str, Any]]) -> str:
    return str(request.param)


def ask(http: httpx2.Client, name: str, query: str, images: np.ndarray, what: str = "encode") -> httpx2.Response:
    answer = http.post(f"/v1/models/spatial-{name}/{what}?{query}", content=npy(images))
    assert answer.status_code == 200, answer.text
    return answer


def array(answer: httpx2.Response) -> np.ndarray:
    found: np.ndarray = np.load(io.BytesIO(answer.content))
    return found


def test_a_training_on_filters_ends_with_metrics_that_make_sense(
    http: httpx2.Client, trained_models: dict[str, dict[str, Any]], name: str
) -> None:
    job, metrics = trained_models[name], trained_models[name]["metrics"]
    assert job["progress"]["step"] == 16
    losses = http.get(f"/v1/jobs/{job['id']}/metrics").json()["columns"]["loss"]
    assert 0 < losses[-1] < losses[0]
    assert metrics["unexplained_variance"] > 0
    assert 0 < metrics["active_fraction"] <= 1
    model = http.get(f"/v1/models/spatial-{name}").json()
    _, filters, shape = MODELS[name]
    assert (model["units"], model["feature_shape"]) == (math.prod(filters), shape)
    assert model["input_shape"] == [SIDE, SIDE, 1]
    assert metrics["dead_units"] <= model["units"]


def test_filters_are_as_large_as_kernels_and_fields(
    http: httpx2.Client, trained_models: dict[str, dict[str, Any]], name: str
) -> None:
    units = math.prod(MODELS[name][1])
    for here in (f"/v1/models/spatial-{name}/filters", f"/v1/jobs/{trained_models[name]['id']}/filters"):
        picture = Image.open(io.BytesIO(http.get(here).content))
        cols = MODELS[name][1][-1] if name in MAPPED else 3
        rows = -(-units // cols)
        assert picture.size == (cols * (5 * 11 + 1) + 1, rows * (5 * 11 + 1) + 1)
        numbers = array(http.get(f"{here}?format=npy"))
        assert (numbers.shape, numbers.dtype) == ((units, 5, 5, 1), np.float32)
        assert numbers.any(axis=(1, 2, 3)).all()
        told = http.get(f"{here}?format=json").json()
        assert told["shape"] == [units, 5, 5, 1]
        assert [row["unit"] for row in told["units"]] == list(range(units))
        assert told["units"][0]["norm"] == pytest.approx(float(np.linalg.norm(numbers[0])), rel=1e-4)
    again = array(http.get(f"/v1/models/spatial-{name}/filters?format=npy"))
    weights = load(http.get(f"/v1/models/spatial-{name}/weights").content)
    np.testing.assert_allclose(again, weights["layers.0.dictionary"].transpose(0, 2, 3, 1), atol=1e-6)


def test_previews_show_filters_on_the_way(
    http: httpx2.Client, trained_models: dict[str, dict[str, Any]], name: str
) -> None:
    here = f"/v1/jobs/{trained_models[name]['id']}"
    events = http.get(f"{here}/events?limit=1000&format=json").json()["data"]
    steps = [event["data"]["step"] for event in events if event["type"] == "preview"]
    assert (steps[0], steps[-1]) == (0, 16)
    shown = {step: http.get(f"{here}/filters?step={step}") for step in steps}
    assert [int(answer.headers["x-step"]) for answer in shown.values()] == steps
    assert shown[0].content != shown[16].content


def test_pages_show_trainings_of_filters(
    http: httpx2.Client, trained_models: dict[str, dict[str, Any]], name: str
) -> None:
    assert http.get("/", headers={"Accept": "text/html"}).status_code == 200
    page = http.get(f"/jobs/{trained_models[name]['id']}")
    assert page.status_code == 200
    assert 'id="filters"' in page.text
    order = "topographic" if name in MAPPED else "usage"  # as the front page asks
    small = http.get(f"/v1/models/spatial-{name}/filters?scale=1&order={order}")
    assert max(Image.open(io.BytesIO(small.content)).size) <= 8 * 6 + 1


@pytest.mark.parametrize("name", MAPPED)
def test_local_units_lie_on_a_map(http: httpx2.Client, trained_models: dict[str, dict[str, Any]], name: str) -> None:
    model = http.get(f"/v1/models/spatial-{name}").json()
    assert {"topography", "orientation", "usage"} <= set(model["maps"])
    layout, wrap = ("torus", True) if name == "local-tiles" else ("sheet", False)
    for kind in ("topography", "orientation"):
        told = http.get(model["maps"][kind] + "?format=json").json()
        assert told["map"] == {"layout": layout, "height": 8, "width": 8, "wrap": wrap}
        assert [(unit["row"], unit["column"]) for unit in told["units"]] == [divmod(unit, 8) for unit in range(64)]
    for kind, address in model["maps"].items():
        assert min(Image.open(io.BytesIO(http.get(address).content)).size) > 100, kind


def test_kernels_have_no_map(http: httpx2.Client, trained_models: dict[str, dict[str, Any]]) -> None:
    model = http.get("/v1/models/spatial-conv").json()
    assert model["map"] is None
    assert not {"topography", "orientation"} & set(model["maps"])
    usage = http.get(model["maps"]["usage"] + "?format=json").json()["usage"]
    assert len(usage) == 8
    assert 0 < max(usage) <= 1


def test_every_format_gives_the_same_features(
    http: httpx2.Client, images: np.ndarray, trained_models: dict[str, dict[str, Any]], name: str
) -> None:
    features = math.prod(MODELS[name][2])
    dense = array(ask(http, name, "format=npy", images[:7]))
    assert dense.shape == (7, features)
    assert np.isfinite(dense).all()
    assert dense.any(axis=1).all()
    sparse = scipy.sparse.load_npz(io.BytesIO(ask(http, name, "format=npz", images[:7]).content))
    assert np.array_equal(sparse.toarray(), dense)
    shown = ask(http, name, "format=json", images[:7]).json()
    assert shown["shape"] == [7, features]
    assert np.allclose(shown["data"], dense, atol=1e-6)
    alone = np.concatenate([array(ask(http, name, "format=npy", image[None])) for image in images[:3]])
    np.testing.assert_allclose(alone, dense[:3], atol=1e-5)
    top = array(ask(http, name, f"format=npy&topk={features - 1}", images[:7]))
    assert top.shape == dense.shape
    refused = http.post(f"/v1/models/spatial-{name}/encode?topk={features + 1}", content=npy(images[:1]))
    assert refused.status_code == 422
    assert f"{features + 1}" in refused.json()["detail"]
    assert f"{features} features" in refused.json()["detail"]


def test_the_published_kernels_encode_as_the_service_does(
    http: httpx2.Client, images: np.ndarray, trained_models: dict[str, dict[str, Any]]
) -> None:
    """A reference in float64 from the published tensors: z ← shrink(z + E c (x − B z), b), c the share of the most
    kernels that see a pixel."""
    weights = {
        name: value.astype(np.float64)
        for name, value in load(http.get("/v1/models/spatial-conv/weights").content).items()
    }
    image = images[0] / 255.0
    image /= np.linalg.norm(image)
    encoder, away, bias = (weights[f"layers.0.{name}"] for name in ("encoder", "explaining_away", "bias"))

    along = np.minimum(5, np.minimum(np.arange(1, 13), np.arange(12, 0, -1)))
    share = np.outer(along, along) / 25

    def seen(x: np.ndarray) -> np.ndarray:
        return np.stack([correlate(share * x, kernel[0], "valid", "direct") for kernel in encoder], axis=2)

    def shrunk(value: np.ndarray) -> np.ndarray:
        return np.sign(value) * np.maximum(0, np.abs(value) - bias)

    code = shrunk(seen(image))
    for _ in range(2):
        written = np.zeros_like(image)
        for row, column in np.ndindex(8, 8):
            written[row : row + 5, column : column + 5] += np.tensordot(code[row, column], away[:, 0], 1)
        code = shrunk(code + seen(image - written))
    found = array(ask(http, "conv", "format=npy", images[:1])).reshape(8, 8, 8)
    np.testing.assert_allclose(found, code, atol=1e-5)
    one_pass = array(ask(http, "conv", "format=npy&passes=1", images[:1])).reshape(8, 8, 8)
    np.testing.assert_allclose(one_pass, shrunk(seen(image)), atol=1e-5)


def test_weights_have_the_names_and_shapes_of_the_contract(
    http: httpx2.Client, trained_models: dict[str, dict[str, Any]]
) -> None:
    found = {
        name: {key: value.shape for key, value in load(http.get(f"/v1/models/spatial-{name}/weights").content).items()}
        for name in MODELS
    }
    kernels, fields = (8, 1, 5, 5), (64, 1, 5, 5)
    layer = "layers.0."
    assert found["conv"] == {
        layer + "dictionary": kernels,
        layer + "encoder": kernels,
        layer + "explaining_away": kernels,
        layer + "bias": (8,),
    }
    assert found["conv-classes"] == {
        layer + "dictionary": kernels,
        layer + "encoder": kernels,
        layer + "bias": (8,),
        layer + "gain": (8,),
        "classifier": (2, 2 * 2 * 4),
    }
    assert found["local"] == {layer + "dictionary": fields, layer + "positions": (64, 2)}
    assert found["local-tiles"] == {
        layer + "dictionary": fields,
        layer + "encoder": fields,
        layer + "bias": (64,),
        layer + "gain": (64,),
        layer + "positions": (64, 2),
    }
    positions = load(http.get("/v1/models/spatial-local-tiles/weights").content)["layers.0.positions"]
    # four units at each of 4 × 4 places
    assert positions.tolist() == [[row // 2, column // 2] for row in range(8) for column in range(8)]


def test_reconstructions_come_back_in_the_size_of_the_images(
    http: httpx2.Client, images: np.ndarray, trained_models: dict[str, dict[str, Any]], name: str
) -> None:
    rebuilt = array(ask(http, name, "format=npy", images[:3], "reconstruct"))
    assert rebuilt.shape == (3, SIDE, SIDE, 1)
    shown = ask(http, name, "format=json", images[:20], "reconstruct").json()
    assert np.mean(shown["unexplained_variance"]) < 1
    picture = ask(http, name, "format=png", images[:3], "reconstruct")
    assert Image.open(io.BytesIO(picture.content)).width > 3 * SIDE


def test_classes_come_from_pooled_maps(
    http: httpx2.Client, images: np.ndarray, trained_models: dict[str, dict[str, Any]]
) -> None:
    shown = ask(http, "conv-classes", "", images[:50], "classify").json()
    probabilities = np.array(shown["probabilities"])
    assert probabilities.shape == (50, 2)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    features = array(ask(http, "conv-classes", "format=npy", images[:50])).astype(np.float64)
    classifier = load(http.get("/v1/models/spatial-conv-classes/weights").content)["classifier"]
    logits = features / np.linalg.norm(features, axis=1, keepdims=True) @ classifier.T
    assert shown["predictions"] == logits.argmax(1).tolist()
    assert "classification_error" in trained_models["conv-classes"]["metrics"]
    refused = http.post("/v1/models/spatial-conv/classify", content=npy(images[:1]))
    assert refused.status_code == 422
    assert "no classifier" in refused.json()["detail"]


@pytest.mark.parametrize("sparse", [True, False])
def test_a_data_set_is_encoded_by_a_job(
    http: httpx2.Client, trained_models: dict[str, dict[str, Any]], sparse: bool
) -> None:
    images = bars(60, 1)[0]
    for name in ("conv-classes", "local"):
        body = {"type": "encode", "model": f"spatial-{name}", "dataset": "bars-test", "output": {"sparse": sparse}}
        answer = http.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        done = wait_for(http, answer.json()["id"])
        assert done["status"] == "succeeded", done
        features = math.prod(MODELS[name][2])
        assert done["result"]["shape"] == [60, features]
        found = array(http.get(done["links"]["result"] + "?format=npy"))
        np.testing.assert_allclose(found, array(ask(http, name, "format=npy", images)), atol=1e-5)
        told = http.get(done["links"]["result"] + "?format=json").json()
        assert told["shape"] == [60, features]


def test_the_client_gives_features_their_places(
    service: Service, images: np.ndarray, trained_models: dict[str, dict[str, Any]]
) -> None:
    with pinwheel.Client(service.url) as client:
        model = client.model("spatial-conv-classes")
        assert model.feature_shape == (2, 2, 4)
        placed = model.encode(images[:6]).reshape(-1, *model.feature_shape)
        assert placed.shape == (6, 2, 2, 4)
        assert model.encode(images[:6], sparse=True).shape == (6, 16)
        assert model.classify(images[:6]).probabilities.shape == (6, 2)
        assert model.filters("npy").shape == (8, 5, 5, 1)
        assert client.model("spatial-local").map("topography", format="json")["map"]["width"] == 8
        done = client.encode_dataset(model=model, dataset="bars-test").wait(60)
        assert done.result().shape == (60, 16)


def test_images_of_another_size_are_refused_with_both_sizes(
    http: httpx2.Client, trained_models: dict[str, dict[str, Any]], name: str
) -> None:
    for shape in ((1, 11, 12, 1), (1, 4, 4, 1), (1, 13, 12, 1)):
        answer = http.post(f"/v1/models/spatial-{name}/encode", content=npy(np.zeros(shape, np.uint8)))
        assert answer.status_code == 422
        assert str(shape) in answer.json()["detail"]
        assert "(12, 12, 1)" in answer.json()["detail"]
    http.post("/v1/datasets?name=small-bars", content=npy(np.zeros((5, 11, 12), np.uint8)))
    answer = http.post("/v1/jobs", json={"type": "encode", "model": f"spatial-{name}", "dataset": "small-bars"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/dataset"
    assert "[11, 12, 1]" in answer.json()["detail"]
    assert "[12, 12, 1]" in answer.json()["detail"]


def test_fields_are_learned_from_photographs_of_different_sizes(http: httpx2.Client) -> None:
    http.post("/v1/datasets", json={"source": {"type": "builtin", "name": "photos"}})
    body = job("local-tiles", dataset="photos", publish_as="photo-fields", validation={"split": 0.25})
    body["preprocessing"] = {"patch_size": SIDE, "patches_per_image": 100, "whiten": "lcn"}
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    done = wait_for(http, answer.json()["id"])
    assert done["status"] == "succeeded", done
    model = http.get("/v1/models/photo-fields").json()
    assert (model["input_shape"], model["feature_shape"]) == ([SIDE, SIDE, 1], [8, 8, 1])
    assert "invariance" in model["maps"]
    photo = np.random.default_rng(0).integers(0, 255, (30, 41), dtype=np.uint8)
    answer = http.post("/v1/models/photo-fields/encode?format=npy", content=npy(photo))
    assert array(answer).shape == (1, 64)
    small = http.post("/v1/models/photo-fields/encode", content=npy(photo[:11]))
    assert small.status_code == 422
    assert "(11, 41)" in small.json()["detail"]
    assert "(12, 12, 1)" in small.json()["detail"]
    done = wait_for(
        http, http.post("/v1/jobs", json={"type": "encode", "model": "photo-fields", "dataset": "photos"}).json()["id"]
    )
    assert done["result"]["shape"] == [8, 64]


@pytest.mark.parametrize(("name", "epochs"), [("conv-classes", 60), ("local-tiles", 15)])
def test_a_paused_training_ends_with_the_weights_of_one_that_was_not(
    http: httpx2.Client, data: None, name: str, epochs: int
) -> None:
    long, steps = {"training": TRAINING | {"epochs": epochs}}, 8 * epochs
    whole = http.post("/v1/jobs", json=job(name, **long, publish_as=f"whole-{name}")).json()
    assert wait_for(http, whole["id"])["status"] == "succeeded"
    parted = http.post("/v1/jobs", json=job(name, **long, publish_as=f"parted-{name}")).json()
    _until(http, parted["id"], lambda found: found["progress"]["step"] > 10)
    http.post(f"/v1/jobs/{parted['id']}/pause")
    paused = _until(http, parted["id"], lambda found: found["status"] in ("paused", "succeeded"))
    assert paused["status"] == "paused", "the training ended before it could be paused"
    assert 0 < paused["progress"]["step"] < steps
    http.post(f"/v1/jobs/{parted['id']}/resume")
    done = wait_for(http, parted["id"])
    assert (done["status"], done["progress"]["step"]) == ("succeeded", steps)
    ours, theirs = (load(http.get(f"/v1/models/{kind}-{name}/weights").content) for kind in ("parted", "whole"))
    assert ours.keys() == theirs.keys()
    for tensor, values in ours.items():
        assert np.array_equal(values, theirs[tensor]), tensor


def _until(http: httpx2.Client, job_id: str, reached: Any, seconds: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found: dict[str, Any] = http.get(f"/v1/jobs/{job_id}").json()
        if reached(found):
            return found
        assert not found["terminal"], json.dumps(found)
        time.sleep(0.05)
    raise AssertionError(json.dumps(found))
