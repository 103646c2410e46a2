"""Photographs of different sizes, learned as patches and encoded again, through a real server and real workers."""

import io
import zipfile
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import npy, wait_for
from PIL import Image
from safetensors.numpy import load

from pinwheel.builtin import BUILTIN

SMALL = {
    "model": {"connection": {"units": 24}, "encoder": {"passes": 3}, "classifier": {"kind": "none"}},
    "training": {"epochs": 2, "batch_size": 50, "previews": 2, "input_dropout": 0.0},
}


def job(**preprocessing: Any) -> dict[str, Any]:
    given = {"patch_size": 8, "patches_per_image": 100, "scale": "standard"} | preprocessing
    return {"type": "train", "recipe": "drsae", "dataset": "photos", "preprocessing": given, **SMALL}


@pytest.fixture(scope="module")
def photos(http: httpx2.Client) -> list[np.ndarray]:
    """The built-in photographs, as data of the service and as arrays."""
    http.post("/v1/datasets", json={"source": {"type": "builtin", "name": "photos"}})
    with zipfile.ZipFile(BUILTIN["photos"]) as archive:
        return [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in sorted(archive.namelist())]


@pytest.fixture(scope="module")
def trained_on_patches(http: httpx2.Client, photos: list[np.ndarray]) -> dict[str, Any]:
    body = job(whiten="zca") | {"publish_as": "patches", "validation": {"split": 0.25}}
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["progress"]["total_steps"] == 2 * 6 * 100 / 50
    trained = wait_for(http, answer.json()["id"])
    assert trained["status"] == "succeeded", trained
    return trained


def features(http: httpx2.Client, image: np.ndarray) -> np.ndarray:
    answer = http.post("/v1/models/patches/encode?format=npy", content=npy(image))
    assert answer.status_code == 200, answer.text
    found: np.ndarray = np.load(io.BytesIO(answer.content))
    return found


def test_a_training_on_patches_counts_and_learns_them(http: httpx2.Client, trained_on_patches: dict[str, Any]) -> None:
    assert trained_on_patches["progress"]["step"] == trained_on_patches["progress"]["total_steps"] == 24
    assert 0 < trained_on_patches["metrics"]["unexplained_variance"] < 1.2
    model = http.get("/v1/models/patches").json()
    assert (model["input_shape"], model["units"]) == ([8, 8, 1], 24)
    weights = load(http.get("/v1/models/patches/weights").content)
    assert weights["preprocessing.mean"].shape == (64,)
    assert weights["preprocessing.whitening"].shape == (64, 64)
    numbers = np.load(io.BytesIO(http.get("/v1/models/patches/filters?format=npy").content))
    dewhitening = np.linalg.inv(weights["preprocessing.whitening"].astype(np.float64))
    expected = weights["layers.0.dictionary"].T @ dewhitening
    np.testing.assert_allclose(numbers.reshape(24, 64), expected, atol=1e-4)


def test_a_patch_gives_what_the_published_weights_say(
    http: httpx2.Client, trained_on_patches: dict[str, Any], photos: list[np.ndarray]
) -> None:
    weights = load(http.get("/v1/models/patches/weights").content)
    patches = np.stack([photos[0][40:48, 30:38], photos[3][100:108, 200:208]])
    x = patches.reshape(2, 64) / 255.0
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    x = (x - weights["preprocessing.mean"]) @ weights["preprocessing.whitening"]
    drive = x @ weights["layers.0.encoder"].T - weights["layers.0.bias"]
    code = np.maximum(0, drive)
    for _ in range(2):
        code = np.maximum(0, drive + code @ weights["layers.0.explaining_away"].T)
    found = features(http, patches[..., None])
    assert found.shape == (2, 24)
    np.testing.assert_allclose(found, code, atol=1e-4)


def test_whole_photographs_are_encoded_as_a_job(
    http: httpx2.Client, trained_on_patches: dict[str, Any], photos: list[np.ndarray]
) -> None:
    body = {"type": "encode", "model": "patches", "dataset": "photos"}
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    encoded = wait_for(http, answer.json()["id"])
    assert encoded["status"] == "succeeded", encoded
    found = np.load(io.BytesIO(http.get(encoded["links"]["result"] + "?format=npy").content))
    assert found.shape == (8, 24)
    # 512 × 512: no patches overlap
    image = photos[0]
    patches = image.reshape(64, 8, 64, 8).swapaxes(1, 2).reshape(-1, 8, 8, 1)
    each = np.concatenate([features(http, some) for some in np.array_split(patches, 8)])
    np.testing.assert_allclose(found[0], each.mean(0), atol=1e-5)


def test_a_photograph_is_encoded_and_rebuilt_at_once(
    http: httpx2.Client, trained_on_patches: dict[str, Any], photos: list[np.ndarray]
) -> None:
    image = photos[3][:101, :50]
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    whole = features(http, image)
    assert whole.shape == (1, 24)
    as_png = http.post("/v1/models/patches/encode?format=npy", content=out.getvalue())
    np.testing.assert_allclose(np.load(io.BytesIO(as_png.content)), whole, atol=1e-6)
    tops, lefts = [*range(0, 94, 8), 93], [*range(0, 43, 8), 42]
    patches = np.stack([image[top : top + 8, left : left + 8] for top in tops for left in lefts])
    np.testing.assert_allclose(whole[0], features(http, patches[..., None]).mean(0), atol=1e-5)
    rebuilt = http.post("/v1/models/patches/reconstruct?format=npy", content=out.getvalue())
    assert np.load(io.BytesIO(rebuilt.content)).shape == (1, 101, 50, 1)
    picture = http.post("/v1/models/patches/reconstruct?format=png", content=out.getvalue())
    assert picture.status_code == 200
    assert Image.open(io.BytesIO(picture.content)).height >= 101


def encoded(http: httpx2.Client, image: np.ndarray, query: str) -> httpx2.Response:
    return http.post(f"/v1/models/patches/encode?format=npy&{query}", content=npy(image))


def test_pool_and_stride_say_which_patches_there_are_and_what_becomes_of_them(
    http: httpx2.Client, trained_on_patches: dict[str, Any], photos: list[np.ndarray]
) -> None:
    image = photos[3][:29, :18]
    tops, lefts = [0, 5, 10, 15, 20, 21], [0, 5, 10]
    patches = np.stack([image[top : top + 8, left : left + 8] for top in tops for left in lefts])
    each = features(http, patches[..., None])
    kept = encoded(http, image, "pool=none&stride=5")
    assert kept.headers["X-Feature-Shape"] == "6,3,24"
    np.testing.assert_allclose(np.load(io.BytesIO(kept.content)).reshape(18, 24), each, atol=1e-5)
    expected = {"mean": each.mean(0), "max": each.max(0), "l2": np.sqrt((each.astype(np.float64) ** 2).sum(0))}
    for pool, wanted in expected.items():
        answer = encoded(http, image, f"pool={pool}&stride=5")
        assert answer.headers["X-Feature-Shape"] == "24"
        np.testing.assert_allclose(np.load(io.BytesIO(answer.content))[0], wanted, rtol=1e-5, atol=1e-5)
    best = http.post("/v1/models/patches/encode?pool=none&stride=5&topk=3&sparse=true", content=npy(image)).json()
    assert best["shape"] == [1, 18 * 24]
    assert len(best["indices"]) <= 3


def test_a_pooled_request_may_be_a_job_and_so_may_a_whole_data_set(
    http: httpx2.Client, trained_on_patches: dict[str, Any], photos: list[np.ndarray]
) -> None:
    image = photos[3][:29, :18]
    query = "/v1/models/patches/encode?format=npy&pool=none&stride=5"
    answer = http.post(query, content=npy(image), headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    done = wait_for(http, answer.json()["id"])
    assert done["status"] == "succeeded", done["error"]
    found = np.load(io.BytesIO(http.get(done["links"]["result"] + "?format=npy").content))
    at_once = encoded(http, image, "pool=none&stride=5")
    np.testing.assert_allclose(found, np.load(io.BytesIO(at_once.content)), atol=1e-6)
    body = {"type": "encode", "model": "patches", "dataset": "photos", "pool": "max", "stride": 7}
    job = http.post("/v1/jobs", json=body)
    assert job.status_code == 202, job.text
    done = wait_for(http, job.json()["id"])
    assert done["status"] == "succeeded", done["error"]
    found = np.load(io.BytesIO(http.get(done["links"]["result"] + "?format=npy").content))
    assert found.shape == (8, 24)
    at_once = encoded(http, photos[3], "pool=max&stride=7")
    np.testing.assert_allclose(found[3], np.load(io.BytesIO(at_once.content))[0], atol=1e-5)


def test_a_request_with_more_patches_than_one_may_have_becomes_a_job(
    http: httpx2.Client, trained_on_patches: dict[str, Any], photos: list[np.ndarray]
) -> None:
    answer = encoded(http, photos[0], "pool=mean&stride=1")  # 505 × 505
    assert answer.status_code == 202, answer.text
    http.post(f"/v1/jobs/{answer.json()['id']}/cancel")


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("stride=9", 422, ["stride is 9", "1 to 8"]),
        ("stride=0", 422, ["stride", "greater than or equal to 1"]),
        ("pool=median", 422, ["pool", "'none', 'mean', 'max' or 'l2'"]),
        ("pool=none&topk=500", 422, ["topk is 500", "96 features"]),
    ],
)
def test_pools_and_strides_that_there_are_not_are_refused(
    http: httpx2.Client, trained_on_patches: dict[str, Any], query: str, status: int, words: list[str]
) -> None:
    answer = encoded(http, np.zeros((16, 16), np.uint8), query)
    assert answer.status_code == status, answer.text
    for word in words:
        assert word in str(answer.json())


def test_a_data_set_of_several_sizes_is_pooled_or_refused(
    http: httpx2.Client, trained_on_patches: dict[str, Any]
) -> None:
    body = {"type": "encode", "model": "patches", "dataset": "photos", "pool": "none"}
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == "#/pool"
    assert "different sizes" in answer.json()["detail"]
    answer = http.post("/v1/jobs", json=body | {"pool": "l2", "stride": 9})
    assert answer.json()["errors"][0]["pointer"] == "#/stride"


def test_images_smaller_than_a_patch_are_refused(http: httpx2.Client, trained_on_patches: dict[str, Any]) -> None:
    answer = http.post("/v1/models/patches/encode", content=npy(np.zeros((1, 7, 30, 1), np.uint8)))
    assert answer.status_code == 422
    assert "(1, 7, 30, 1)" in answer.json()["detail"]
    assert "(8, 8, 1)" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        (job(patch_size=301), "#/dataset", ["301", "300 × 451"]),
        (job(patch_size=None, patches_per_image=None), "#/dataset", ["different sizes", "patch_size"]),
        (job(patch_size=None), "#/preprocessing", ["100", "patch_size"]),
        (job(patch_size=80, whiten="zca"), "#/preprocessing", ["80", "6400", "4096"]),
        (job(patch_size=300, patches_per_image=None), "#/preprocessing/patches_per_image", ["100000", "90000"]),
        (job() | {"training": {"dictionary_fraction": 0.5}}, "#", ["0.5", "recurrent", "predict-refine"]),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    http: httpx2.Client, photos: list[np.ndarray], body: dict[str, Any], pointer: str, words: list[str]
) -> None:
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 422, answer.text
    found = answer.json()
    assert found["code"] == "invalid_config"
    assert found["errors"][0]["pointer"] == pointer
    for word in words:
        assert word in found["detail"]


def test_a_dry_run_counts_patches(http: httpx2.Client, photos: list[np.ndarray]) -> None:
    answer = http.post("/v1/jobs?dry_run=true", json=job(patches_per_image=None, whiten="lcn"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["estimate"]["total_steps"] == 2 * 100_000 / 50
    assert answer.json()["estimate"]["parameters"] == 2 * 64 * 24 + 24 * 24 + 24
