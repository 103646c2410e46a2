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
    spec = merge(merge(find("drsae").spec.model_dump(mode="json"), small), given)
    return TrainSpec.model_validate_json(json.dumps(spec))
