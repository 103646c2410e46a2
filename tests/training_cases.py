"""Small real data and plans: stripes in two classes, learned within a second."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from pinwheel.recipes import find
from pinwheel.specs import TrainSpec, merge
from worker.data.reader import Dataset, from_arrays
from worker.training.plan import Plan

MakePlan = Callable[..., Plan]


def stripes(count: int, seed: int = 0) -> Dataset:
    """8 × 6 images of one bright row (class 0) or one bright column (class 1) on noise."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 60, (count, 8, 6, 1), dtype=np.uint8)
    labels = np.arange(count) % 2
    for image, label in zip(images, labels, strict=True):
        if label == 0:
            image[generator.integers(8)] = 255
        else:
            image[:, generator.integers(6)] = 255
    return from_arrays(images, labels)


def small_spec(**given: dict[str, Any]) -> TrainSpec:
    small = {
        "model": {"connection": {"units": 16}, "encoder": {"passes": 4}},
        "training": {"epochs": 6, "batch_size": 32, "previews": 5, "unsupervised_fraction": 0.4, "learning_rate": 0.01},
        "resources": {"device": "cpu"},
    }
    return spec_of("drsae", small, given)


def spec_of(recipe: str, *given: dict[str, Any]) -> TrainSpec:
    """The recipe's spec with each of `given` laid over it."""
    spec = find(recipe).spec.model_dump(mode="json")
    for over in given:
        spec = merge(spec, over)
    return TrainSpec.model_validate_json(json.dumps(spec))


BRANCHING = {"branching": [3, 4]}
QUICK = {"max_iterations": 20, "tolerance": 1e-3}
WHOLE_IMAGES = {
    "preprocessing": {"patch_size": None, "patches_per_image": None, "whiten": "none", "scale": "unit-norm"},
    "training": {"epochs": 6, "batch_size": 32, "previews": 5, "learning_rate": 0.01},
    "resources": {"device": "cpu"},
}

# Every recipe, small enough for 300 stripes in a second; each learns 16 filters.
SMALL_RECIPES: dict[str, dict[str, Any]] = {
    "drsae": {"connection": {"units": 16}, "encoder": {"passes": 4}},
    "drsae-paper": {"connection": {"units": 16}, "encoder": {"passes": 4}},
    "sparse-coding": {"connection": {"units": 16}, "sparsity": {"weight": 0.05}, "encoder": {"solver": QUICK}},
    "psd": {"connection": {"units": 16}, "sparsity": {"weight": 0.05}, "encoder": {"solver": QUICK}},
    "lista": {"connection": {"units": 16}, "sparsity": {"weight": 0.05}, "encoder": {"solver": QUICK}},
    "group": {"connection": {"units": 16}, "sparsity": {"weight": 0.05}, "encoder": {"solver": QUICK}},
    "topographic": {
        "connection": {"units": 16},
        "sparsity": {"weight": 0.02, "map": {"height": 4, "width": 4}, "size": 3},
        "encoder": {"solver": QUICK},
    },
    "conv-sparse": {
        "connection": {"units": 16, "kernel_size": 4, "stride": 2},
        "sparsity": {"weight": 0.1},
        "encoder": {"solver": QUICK},
    },
    "conv-group": {
        "connection": {"units": 16, "kernel_size": 4, "stride": 2},
        "sparsity": {"weight": 0.1},
        "encoder": {"solver": QUICK},
    },
    "local": {
        "connection": {"field_size": 3, "tile": 2, "update_rate": 0.1},
        "sparsity": {"weight": 0.005, "size": 4, "sigma": 1.0},
        "encoder": {"solver": QUICK},
    },
    "inhibition": {"connection": {"units": 16}, "sparsity": {"structure": {"shape": BRANCHING}}},
    "inhibition-ring": {"connection": {"units": 16}},
    "inhibition-sheet": {"connection": {"units": 16}, "sparsity": {"structure": {"map": {"height": 4, "width": 4}}}},
    "inhibition-learned": {"connection": {"units": 16}, "sparsity": {"structure": {"row_sum": 4.0}}},
    "tree": {"connection": {"units": 16}, "sparsity": {"weight": 0.01, "shape": BRANCHING}},
    "noise": {"connection": {"units": 16}},
}


def small_recipe(name: str, **given: dict[str, Any]) -> TrainSpec:
    return spec_of(name, WHOLE_IMAGES, {"model": SMALL_RECIPES[name]}, given)
