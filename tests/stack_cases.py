"""Small stacks: two layers of kernels on stripes, with pools between them, and a stage of labels."""

from typing import Any

import httpx2
import numpy as np
from asking import npz
from training_cases import stripes

from pinwheel.specs import ANY_SPEC, StackSpec

TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 32, "learning_rate": 0.01, "previews": 2}


def conv_layer(units: int, kernel: int, weight: float, window: int) -> dict[str, Any]:
    return {
        "connection": {"kind": "conv", "units": units, "kernel_size": kernel, "norm": "fixed"},
        "encoder": {"kind": "feedforward", "activation": "relu"},
        "sparsity": {"kind": "pools", "layout": "maps", "size": 1, "window": window, "weight": weight},
        "output": "pooled",
    }


FIRST = {"model": conv_layer(8, 3, 0.02, 2), "training": TRAINING}  # 8 × 6 → 6 × 4 × 8 → 3 × 2 × 8
SECOND = {"model": conv_layer(6, 2, 0.05, 2), "training": TRAINING}  # 3 × 2 × 8 → 2 × 1 × 6
DENSE = {
    "model": {
        "connection": {"kind": "dense", "units": 5},
        "encoder": {"kind": "recurrent", "passes": 3, "start": "ista", "sign": "signed"},
        "sparsity": {"kind": "l1", "weight": 0.05},
    },
    "training": TRAINING,
}
SECOND["model"]["sparsity"] |= {"window": 1}
LABELS = {"classifier": {"kind": "softmax", "weight": 1.0}, "training": {**TRAINING, "epochs": 8}}
PROBE = {**LABELS, "learn": "classifier"}


def stack(*stages: dict[str, Any], **preprocessing: Any) -> StackSpec:
    given = {
        "preprocessing": {"scale": "standard", **preprocessing},
        "stages": list(stages),
        "resources": {"device": "cpu"},
    }
    spec = ANY_SPEC.validate_python(given)
    assert isinstance(spec, StackSpec)
    return spec


def send_stripes(http: httpx2.Client) -> None:
    """The data sets of `asked`."""
    for name, count in (("stripes", 300), ("stripes-test", 60)):
        found = stripes(count, len(name))
        body = npz(images=np.asarray(found.images), labels=found.labels)
        assert http.post(f"/v1/datasets?name={name}", content=body).status_code in (200, 201)


def asked(*stages: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {"type": "train", "dataset": "stripes", "validation": {"dataset": "stripes-test"}}
    return body | {"preprocessing": {"scale": "standard"}, "stages": list(stages)} | more
