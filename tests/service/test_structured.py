"""Structured models through a real server and real workers: trained on photographs, encoded, and shown as maps."""

import io
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import npy, wait_for
from PIL import Image

import pinwheel
from pinwheel.errors import NotFound
from pinwheel.up import Service

SHORT = {"training": {"epochs": 1, "previews": 3}, "preprocessing": {"patch_size": 8, "patches_per_image": 500}}
BRANCHING = {"branching": [3, 4], "parents": None}

# recipe → what makes it small, the maps that it has to have
MODELS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "topographic": (
        {"connection": {"units": 36}, "sparsity": {"map": {"height": 6, "width": 6}}},
        {"topography", "orientation", "usage", "invariance"},
    ),
    "inhibition": (
        {"connection": {"units": 16}, "sparsity": {"structure": {"shape": BRANCHING}}},
        {"inhibition", "tree", "usage", "invariance"},
    ),
    "tree": (
        {"connection": {"units": 16}, "sparsity": {"shape": BRANCHING, "prune_below": 0.4}},
        {"tree", "usage", "invariance"},
    ),
    "lista": ({"connection": {"units": 20}}, {"units", "usage", "invariance"}),
}


@pytest.fixture(scope="module")
def trained_models(http: httpx2.Client) -> dict[str, dict[str, Any]]:
    """One small training of each, all submitted at once."""
    http.post("/v1/datasets", json={"source": {"type": "builtin", "name": "photos"}})
    jobs = {}
    for recipe, (model, _) in MODELS.items():
        body = {"type": "train", "recipe": recipe, "dataset": "photos", "validation": {"split": 0.25}, "model": model}
        answer = http.post("/v1/jobs", json=body | SHORT | {"publish_as": f"small-{recipe}"})
        assert answer.status_code == 202, answer.text
        jobs[recipe] = answer.json()["id"]
    return {recipe: wait_for(http, job) for recipe, job in jobs.items()}


@pytest.mark.parametrize("recipe", MODELS)
def test_a_structured_recipe_trains_and_encodes_patches_and_photographs(
    http: httpx2.Client, trained_models: dict[str, dict[str, Any]], recipe: str
) -> None:
    job = trained_models[recipe]
    assert job["status"] == "succeeded", job
    model = http.get(f"/v1/models/small-{recipe}").json()
    assert model["input_shape"] == [8, 8, 1]
    for image in (np.zeros((8, 8), np.uint8), np.arange(40 * 30, dtype=np.uint8).reshape(40, 30)):
        answer = http.post(f"/v1/models/small-{recipe}/encode?format=npy", content=npy(image))
        assert answer.status_code == 200, answer.text
        features = np.load(io.BytesIO(answer.content))
        assert features.shape == (1, model["units"])
        assert np.isfinite(features).all()


@pytest.mark.parametrize("recipe", MODELS)
def test_every_map_of_a_model_can_be_seen_and_read(
    http: httpx2.Client, trained_models: dict[str, dict[str, Any]], recipe: str
) -> None:
    model = http.get(f"/v1/models/small-{recipe}").json()
    assert set(model["maps"]) == MODELS[recipe][1]
    for url in model["maps"].values():
        picture = http.get(url)
        assert picture.headers["content-type"] == "image/png"
        assert min(Image.open(io.BytesIO(picture.content)).size) > 100
        assert http.get(url, headers={"Accept": "application/json"}).json()["kind"] in url
        assert http.get(f"{url}?format=svg").content.lstrip().startswith(b"<")


def test_maps_come_through_the_client(service: Service, trained_models: dict[str, dict[str, Any]]) -> None:
    with pinwheel.Client(service.url) as client:
        model = client.model("small-topographic")
        assert model.map("topography").startswith(b"\x89PNG")
        assert model.map("topography", format="json")["map"]["width"] == 6
        with pytest.raises(NotFound, match="topography"):
            model.map("tree")


def test_what_a_pruned_tree_lost_is_told(http: httpx2.Client, trained_models: dict[str, dict[str, Any]]) -> None:
    job, model = trained_models["tree"], http.get("/v1/models/small-tree").json()
    found = http.get(model["maps"]["tree"] + "?format=json").json()
    assert found["pruning"]["units_before"] == 16
    assert found["pruning"]["units_after"] == model["units"] == len(found["parent"])
    assert job["metrics"]["pruned_units"] == 16 - model["units"]


def test_an_encoder_without_passes_or_matrix_says_so(
    http: httpx2.Client, trained_models: dict[str, dict[str, Any]]
) -> None:
    image = npy(np.zeros((8, 8), np.uint8))
    refused = http.post("/v1/models/small-tree/encode?passes=3", content=image)
    assert refused.status_code == 422, refused.text
    assert "passes" in refused.json()["detail"]
    assert http.post("/v1/models/small-lista/encode?passes=3", content=image).status_code == 200
    missing = http.get("/v1/models/small-tree/filters?kind=encoder")
    assert missing.status_code == 404
    assert "encoder" in missing.json()["detail"]


def test_a_whole_set_of_photographs_of_different_sizes_is_encoded_by_a_job(
    http: httpx2.Client, trained_models: dict[str, dict[str, Any]]
) -> None:
    answer = http.post("/v1/jobs", json={"type": "encode", "model": "small-lista", "dataset": "photos"})
    assert answer.status_code == 202, answer.text
    job = wait_for(http, answer.json()["id"])
    assert job["status"] == "succeeded", job
    features = np.load(io.BytesIO(http.get(f"/v1/jobs/{job['id']}/result?format=npy").content))
    assert features.shape == (8, 20)
