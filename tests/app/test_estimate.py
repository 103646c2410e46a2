"""What a training is said to cost, against the models that are really built and the steps that are really taken."""

from typing import Any

import pytest
import torch

from app.estimate import estimate, parameters, total_steps
from pinwheel.recipes import find
from pinwheel.specs import TrainSpec, merge
from pinwheel.specs.preprocessing import ALL_PATCHES
from worker.training.build import fresh_model

SHAPE = (6, 6, 1)
SOLVER = {"method": "fista", "max_iterations": 40}
ENCODERS: dict[str, dict[str, Any]] = {
    "recurrent": {"kind": "recurrent", "passes": 5},
    "lista": {
        "kind": "recurrent",
        "passes": 3,
        "start": "ista",
        "total_step": None,
        "target": "exact-code",
        "solver": SOLVER,
    },
    "relu": {"kind": "feedforward"},
    "without gain": {"kind": "feedforward", "gain": False},
    "psd": {"kind": "predict-refine", "solver": SOLVER},
    "exact": {"kind": "exact", "solver": SOLVER},
}


def spec(**given: Any) -> TrainSpec:
    base = find("drsae").spec.model_dump(mode="json")
    model = {"connection": {"units": 24}, "classifier": {"kind": "none"}}
    return TrainSpec.model_validate(merge(merge(base, {"model": model}), given))


def built(one: TrainSpec, classes: int) -> int:
    model = fresh_model(one.model, torch.rand(50, 36, generator=torch.Generator().manual_seed(0)), classes, 0)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("classifier", ["none", "softmax"])
def test_parameters_are_those_of_the_model_that_is_built(kind: str, classifier: str) -> None:
    one = spec(model={"encoder": ENCODERS[kind], "classifier": {"kind": classifier}})
    assert estimate(one, SHAPE, 100, 3)["parameters"] == built(one, 3)


def test_noise_learns_its_size_as_well() -> None:
    encoder = {"kind": "feedforward", "activation": "linear"}
    one = spec(model={"encoder": encoder, "sparsity": {"kind": "noise"}})
    assert parameters(one.model, 36, 0) == built(one, 0)


def operations(encoder: dict[str, Any], **given: Any) -> float:
    return float(estimate(spec(model={"encoder": encoder}, **given), SHAPE, 1000, 0)["operations"])


def test_what_computes_more_costs_more() -> None:
    one = {name: operations(encoder) for name, encoder in ENCODERS.items()}
    assert one["relu"] < one["recurrent"] < one["psd"]
    assert one["relu"] + one["exact"] == pytest.approx(one["psd"] + 6 * 36 * 24 * 1000 * 60)  # they decode once each
    assert operations({**ENCODERS["psd"], "solver": {"max_iterations": 400}}) > 6 * one["psd"]
    assert operations(ENCODERS["recurrent"] | {"passes": 50}) > 5 * one["recurrent"]
    assert operations(ENCODERS["relu"], preprocessing={"whiten": "zca"}) > one["relu"]


def test_steps_count_patches_and_not_images() -> None:
    def steps(**preprocessing: Any) -> int:
        return total_steps(spec(preprocessing=preprocessing, training={"epochs": 3, "batch_size": 64}), 10)

    assert steps() == 3
    assert steps(patch_size=6) == 3 * -(-ALL_PATCHES // 64)
    assert steps(patch_size=6, patches_per_image=20) == 3 * 4


def test_memory_grows_with_the_patches_that_are_kept() -> None:
    few, many = (
        estimate(spec(preprocessing={"patch_size": 6, "patches_per_image": count}), SHAPE, 10, 0)["memory_bytes"]
        for count in (100, 10_000)
    )
    # a batch of 100 is in both
    assert many - few == 4 * 36 * 10 * (10_000 - 100)
