"""Models whose parts do not exist or do not fit: refused with the place and the reason, nothing kept."""

from typing import Any

import httpx2
import numpy as np
import pytest
from asking import npy

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
SOFTMAX = {"kind": "softmax"}
MAPS, SHEET = {"kind": "pools", "layout": "maps"}, {"kind": "pools", "layout": "sheet"}


def spatial(connection: dict[str, Any], patch_size: int | None = 12, **given: Any) -> dict[str, Any]:
    """A training without a recipe, on patches of photographs where nothing else is said."""
    fields = {name: given.pop(name) for name in ("dataset", "validation", "training") if name in given}
    preprocessing = {"patch_size": patch_size, "patches_per_image": patch_size and 100} | given.pop("preprocessing", {})
    model = {"connection": connection, "encoder": {"kind": "feedforward"}, "sparsity": {"kind": "l1"}, **given}
    return {"preprocessing": preprocessing, "model": model, **fields}


def conv(**given: Any) -> dict[str, Any]:
    return {"kind": "conv", "units": 8, "kernel_size": 5, **given}


def local(**given: Any) -> dict[str, Any]:
    return {"kind": "local", "field_size": 5, **given}


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

# Filters on images: the place, and both numbers.
BAD_FILTERS: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "a kernel larger than the patch": (
        spatial(conv(kernel_size=13)),
        "#/model/connection/kernel_size",
        ["kernel_size is 13", "12 × 12"],
    ),
    "a kernel larger than the images": (
        spatial(conv(kernel_size=29), None, dataset="few-digits"),
        "#/model/connection/kernel_size",
        ["kernel_size is 29", "28 × 28"],
    ),
    "strides that leave pixels unseen": (
        spatial(conv(stride=3)),
        "#/model/connection/stride",
        ["stride of 3", "leave 1 of 12"],
    ),
    "strides over kernels": (spatial(conv(stride=6)), "#/model/connection", ["stride 6", "kernels of 5"]),
    "kernels beside the image": (spatial(conv(padding=5)), "#/model/connection", ["padding 5", "kernels of 5"]),
    "a field larger than the patch": (
        spatial(local(field_size=13)),
        "#/model/connection/field_size",
        ["field_size is 13", "12 × 12"],
    ),
    "fields that leave pixels unseen": (
        spatial(local(field_stride=2)),
        "#/model/connection/field_stride",
        ["stride of 2", "leave 1 of 12"],
    ),
    "strides over fields": (spatial(local(field_stride=6)), "#/model/connection", ["field_stride 6", "fields of 5"]),
    "tiles that do not fill the positions": (
        spatial(local(tile=3)),
        "#/model/connection/tile",
        ["8 × 8 positions", "tiles of 3"],
    ),
    "three units at a position": (
        spatial(local(units_per_position=3)),
        "#/model/connection/units_per_position",
        ["1, 4, 9 or 16", "3"],
    ),
    "a window larger than the maps": (
        spatial(conv(), sparsity=MAPS | {"window": 9}),
        "#/model/sparsity/window",
        ["side 9", "8 × 8"],
    ),
    "a pool larger than the sheet": (
        spatial(local(), sparsity=SHEET | {"size": 9}),
        "#/model/sparsity/size",
        ["side 9", "8 × 8"],
    ),
    "windows that leave positions out": (
        spatial(conv(), sparsity=MAPS | {"window": 2, "window_stride": 3}),
        "#/model/sparsity",
        ["window_stride 3", "windows of 2"],
    ),
    "groups that do not divide the maps": (
        spatial(conv(), sparsity=MAPS | {"size": 3}),
        "#/model",
        ["groups of 3", "8 maps"],
    ),
    "a sheet of kernels": (spatial(conv(), sparsity=SHEET), "#/model", ["'conv'", "'maps'", "'sheet'"]),
    "maps of fields": (spatial(local(), sparsity=MAPS), "#/model", ["'local'", "'sheet'", "'maps'"]),
    "maps of dense units": (
        spatial({"kind": "dense", "units": 8}, sparsity=MAPS),
        "#/model",
        ["'maps'", "'conv' or 'local'"],
    ),
    "a tree of kernels": (spatial(conv(), sparsity={"kind": "tree"}), "#/model", ["'tree'", "'conv'"]),
    "pools that are not there": (spatial(conv(), output="pooled"), "#/model", ["'pooled'", "'l1'"]),
    "steps of DrSAE": (
        spatial(conv(), encoder={"kind": "recurrent"}),
        "#/model",
        ["'drsae'", "'conv'"],
    ),
    "coordinate descent on fields": (
        spatial(local(), encoder={"kind": "exact", "solver": {"method": "coordinate-descent"}}),
        "#/model",
        ["'coordinate-descent'", "'local'"],
    ),
    "whitening across positions": (spatial(conv(), preprocessing={"whiten": "zca"}), "#", ["'zca'", "'conv'"]),
    "whitening across fields": (spatial(local(), preprocessing={"whiten": "zca"}), "#", ["'zca'", "'local'"]),
    "codes that are too long": (
        spatial(conv(units=64), 300),
        "#/model/connection",
        ["296 × 296 × 64 = 5607424", "4194304"],
    ),
    "a batch beyond memory": (
        spatial(conv(units=64), 100, training={"batch_size": 700}),
        "#/training/batch_size",
        ["700 codes of 589824", "268435456", "455 inputs"],
    ),
    "filters beyond memory": (
        spatial(local(field_size=64, units_per_position=16), 300, training={"batch_size": 1}),
        "#/model/connection",
        ["898704 filters of 4096", "268435456"],
    ),
    "kernels on vectors": (
        spatial(conv(), None, dataset="vectors"),
        "#/model/connection/kernel_size",
        ["kernel_size is 5", "1 × 30"],
    ),
    "validation of another size": (
        spatial(conv(), None, dataset="few-digits", validation={"dataset": "other-size"}),
        "#/validation/dataset",
        ["[20, 20, 1]", "[28, 28, 1]"],
    ),
    "validation smaller than the patch": (
        spatial(local(), 24, dataset="few-digits", validation={"dataset": "other-size"}),
        "#/validation/dataset",
        ["patch_size is 24", "20 × 20"],
    ),
    "a classifier on kernels without labels": (
        spatial(conv(), classifier=SOFTMAX),
        "#/dataset",
        ["labels", "softmax"],
    ),
}
BAD |= BAD_FILTERS


@pytest.fixture(scope="module")
def other_data(http: httpx2.Client, few_digits: str) -> None:
    http.post("/v1/datasets?name=other-size", content=npy(np.zeros((9, 20, 20), np.uint8)))
    http.post("/v1/datasets?name=vectors", content=npy(np.zeros((9, 30), np.float32)))


@pytest.fixture(scope="module")
def photos(http: httpx2.Client) -> str:
    for name in ("photos-small", "photos"):
        dataset = http.post("/v1/datasets", json={"source": {"type": "builtin", "name": name}}).json()
    return str(dataset["id"])


@pytest.mark.parametrize("name", BAD)
def test_a_model_whose_parts_do_not_fit_is_refused_with_the_reason(
    http: httpx2.Client, photos: str, other_data: None, name: str
) -> None:
    given, pointer, words = BAD[name]
    answer = http.post("/v1/jobs", json=PHOTOS | given)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["code"] == "invalid_config"
    assert pointer in [entry["pointer"] for entry in problem["errors"]]
    for word in words:
        assert word in problem["detail"], (word, problem["detail"])


@pytest.mark.parametrize(
    "body",
    [
        spatial(conv(kernel_size=12)),
        spatial(conv(kernel_size=7, stride=5)),
        spatial(conv(), sparsity=MAPS | {"window": 8}, output="pooled"),
        spatial(local(field_size=12)),
        spatial(local(tile=4), sparsity=SHEET | {"size": 8}),
        spatial(conv(units=64), 100, training={"batch_size": 455}),
        spatial(conv(), None, dataset="few-digits", validation={"dataset": "few-digits"}, classifier=SOFTMAX),
        spatial(local(), preprocessing={"whiten": "lcn"}),
    ],
)
def test_filters_that_just_fit_are_taken_and_have_a_price(
    http: httpx2.Client, photos: str, other_data: None, body: dict[str, Any]
) -> None:
    answer = http.post("/v1/jobs?dry_run=true", json=PHOTOS | body)
    assert answer.status_code == 200, answer.text
    estimate = answer.json()["estimate"]
    assert 0 < estimate["operations"] < 1e16
    assert 0 < estimate["seconds"] < 1e7
    assert 0 < estimate["memory_bytes"] < 2**36


def test_a_flood_of_errors_is_cut_short(http: httpx2.Client, photos: str) -> None:
    answer = http.post("/v1/jobs", json=PHOTOS | tree(parents=[""] * 50_000))
    assert answer.status_code == 422
    assert len(answer.content) < 100_000
    assert "more errors" in answer.json()["detail"]


MOST_HOURS = {"drsae-paper": 4}  # as long as its authors trained; all others are done within an hour


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
        assert 5 < estimate["seconds"] < MOST_HOURS.get(recipe["name"], 1) * 3600, (recipe["name"], estimate)
