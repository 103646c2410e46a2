"""Models whose parts do not exist or do not fit: refused with the place and the reason, nothing kept."""

from typing import Any

import httpx2
import pytest

PHOTOS = {"type": "train", "dataset": "photos"}


def tree(**shape: Any) -> dict[str, Any]:
    return {"recipe": "tree", "model": {"sparsity": {"shape": {"branching": None, **shape}}}}


def matrix(values: list[list[float]]) -> dict[str, Any]:
    structure = {"kind": "matrix", "values": values}
    return {
        "recipe": "inhibition",
        "model": {"connection": {"units": len(values)}, "sparsity": {"structure": structure}},
    }


def pools(**given: Any) -> dict[str, Any]:
    return {"recipe": "topographic", "model": {"sparsity": given}}


EXACT = {"kind": "exact"}

BAD: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "parents in a cycle": (tree(parents=[1, 2, 0]), "#/model/sparsity/shape", ["cycle", "0 → 1 → 2 → 0"]),
    "a parent that is not there": (tree(parents=[-1, 7]), "#/model/sparsity/shape", ["unit 1", "7", "−1 to 1"]),
    "a tree of another size": (
        {"recipe": "tree", "model": {"connection": {"units": 70}}},
        "#/model",
        ["71", "70", "connection.units"],
    ),
    "both forms of a tree": (
        {"recipe": "tree", "model": {"sparsity": {"shape": {"parents": [-1, 0]}}}},
        "#/model/sparsity/shape",
        ["both", "null"],
    ),
    "a matrix that is not symmetric": (
        matrix([[0, 1], [0.5, 0]]),
        "#/model/sparsity/structure",
        ["symmetric", "0, 1", "0.5"],
    ),
    "a negative inhibition": (matrix([[0, -1], [-1, 0]]), "#/model/sparsity/structure", ["-1", "never negative"]),
    "a unit that inhibits itself": (matrix([[1, 0], [0, 0]]), "#/model/sparsity/structure", ["diagonal"]),
    "a matrix of uneven rows": (matrix([[0, 1], [1]]), "#/model/sparsity/structure", ["row 1", "1 entries"]),
    "a ring that inhibits nobody": (
        {"recipe": "inhibition-ring", "model": {"sparsity": {"structure": {"free_radius": 4, "radius": 3}}}},
        "#/model/sparsity/structure",
        ["3", "4"],
    ),
    "a pool larger than the map": (pools(size=17, sigma=2.0), "#/model", ["17", "16 × 16"]),
    "a stride that leaves units out": (pools(size=5, stride=6), "#/model/sparsity", ["6", "5", "no pool"]),
    "a map of another size": (pools(map={"height": 16, "width": 15}), "#/model", ["16 × 15", "256"]),
    "pools that do not divide the units": (
        {"recipe": "group", "model": {"sparsity": {"size": 5}}},
        "#/model",
        ["256", "disjoint pools of 5"],
    ),
    "a profile that leaves nothing at the edge": (pools(sigma=0.1), "#/model/sparsity", ["0.1", "size / 12"]),
    "pools by units beyond memory": (
        {
            "recipe": "topographic",
            "model": {"connection": {"units": 65536}, "sparsity": {"map": {"height": 256, "width": 256}}},
        },
        "#/model",
        ["65536", "entries"],
    ),
    "an inhibition beyond memory": (
        {"recipe": "inhibition-ring", "model": {"connection": {"units": 65536}}},
        "#/model",
        ["65536", "entries"],
    ),
    "a neighbourhood as large as the ring": (
        {"recipe": "inhibition-ring", "model": {"sparsity": {"structure": {"free_radius": 32}}}},
        "#/model",
        ["32", "64"],
    ),
    "a tree too deep": (tree(parents=list(range(-1, 200))), "#/model/sparsity/shape", ["deep", "64"]),
    "a long cycle": (tree(parents=[*range(1, 60000), 0]), "#/model/sparsity/shape", ["cycle", "60000 units"]),
    "ISTA with a step of its own": (
        {"recipe": "lista", "model": {"encoder": {"total_step": 1.0}}},
        "#/model/encoder",
        ["ista", "total_step", "1.0"],
    ),
    "a profile of disjoint pools": (
        {"recipe": "group", "model": {"sparsity": {"profile": "gaussian"}}},
        "#/model/sparsity",
        ["gaussian", "disjoint"],
    ),
    "an exact encoder with topk": (
        {"recipe": "sparse-coding", "model": {"sparsity": {"kind": "topk", "k": 10}}},
        "#/model/sparsity/kind",
        ["topk", "'l1'", "'pools'"],
    ),
    "an exact encoder with noise": (
        {"recipe": "noise", "model": {"encoder": EXACT}},
        "#/model",
        ["noise", "feedforward", "exact"],
    ),
    "coordinate descent on a tree": (
        {"recipe": "tree", "model": {"encoder": {"solver": {"method": "coordinate-descent"}}}},
        "#/model",
        ["coordinate-descent", "tree"],
    ),
    "thresholds of ISTA from pools": (
        {"recipe": "group", "model": {"encoder": {"kind": "recurrent", "start": "ista", "total_step": None}}},
        "#/model",
        ["ista", "pools"],
    ),
    "a step size that is missing": (
        {"recipe": "drsae", "model": {"encoder": {"total_step": None}}},
        "#/model/encoder",
        ["drsae", "total_step", "null"],
    ),
    "a dictionary first, and nothing after it": (
        {"recipe": "sparse-coding", "training": {"dictionary_fraction": 0.5}},
        "#",
        ["dictionary_fraction", "0.5", "exact"],
    ),
    "a classifier without labels": (
        {"recipe": "sparse-coding", "model": {"classifier": {"kind": "softmax"}}},
        "#/dataset",
        ["labels"],
    ),
    "patches larger than the images": (
        {"recipe": "sparse-coding", "preprocessing": {"patch_size": 400, "whiten": "none", "patches_per_image": 9}},
        "#/dataset",
        ["400", "300"],
    ),
    "patches of whole images": (
        {"recipe": "drsae", "preprocessing": {"patches_per_image": 3}},
        "#/preprocessing",
        ["patches_per_image", "patch_size"],
    ),
}


@pytest.fixture(scope="module")
def photos(http: httpx2.Client) -> str:
    return str(http.post("/v1/datasets", json={"source": {"type": "builtin", "name": "photos"}}).json()["id"])


@pytest.mark.parametrize("name", BAD)
def test_a_model_whose_parts_do_not_fit_is_refused_with_the_reason(http: httpx2.Client, photos: str, name: str) -> None:
    given, pointer, words = BAD[name]
    answer = http.post("/v1/jobs", json=PHOTOS | given)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["code"] == "invalid_config"
    assert pointer in [entry["pointer"] for entry in problem["errors"]]
    for word in words:
        assert word in problem["detail"], (word, problem["detail"])


def test_a_flood_of_errors_is_cut_short(http: httpx2.Client, photos: str) -> None:
    answer = http.post("/v1/jobs", json=PHOTOS | tree(parents=[""] * 50_000))
    assert answer.status_code == 422
    assert len(answer.content) < 100_000
    assert "more errors" in answer.json()["detail"]


def test_every_recipe_fits_its_built_in_data_and_says_what_it_costs(http: httpx2.Client, photos: str) -> None:
    http.post("/v1/datasets", json={"source": {"type": "builtin", "name": "digits"}})
    recipes = http.get("/v1/recipes").json()["data"]
    assert {"sparse-coding", "psd", "lista", "drsae", "group", "topographic", "inhibition", "tree", "noise"} <= {
        recipe["name"] for recipe in recipes
    }
    for recipe in recipes:
        body = {"type": "train", "recipe": recipe["name"], "dataset": recipe["dataset"]}
        answer = http.post("/v1/jobs?dry_run=true", json=body)
        assert answer.status_code == 200, (recipe["name"], answer.text)
        estimate = answer.json()["estimate"]
        assert estimate["parameters"] > 0
        assert 5 < estimate["seconds"] < 3600, (recipe["name"], estimate)
