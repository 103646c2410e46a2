"""Trainings on a GPU, where updates are captured: the same meaning as without, and as on a CPU. Needs a GPU."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from training_cases import MakePlan, small_recipe

from worker.training.captured import Captured
from worker.training.layer_stage import LayerStage
from worker.training.loop import Loop, train
from worker.training.plan import Plan

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

EXACT = {"resources": {"device": "cuda", "precision": "float32"}}
HIDING = {
    "model": {"classifier": {"dropout": 0.5}},
    "training": {"input_dropout": 0.2, "adversarial_norm": 0.05, "unsupervised_fraction": 0.4},
}
FEEDFORWARD = {
    "model": {"encoder": {"kind": "feedforward"}, "connection": {"update": "adam"}},
    "training": {"revive_after": None},
}


def weights(plan: Plan) -> dict[str, Tensor]:
    return load_file(plan.out / "bundles" / str(plan.token) / "weights.safetensors")


def trained(plan: Plan) -> dict[str, Tensor]:
    train(plan, lambda _: None, lambda: None)
    return weights(plan)


def same(first: dict[str, Tensor], second: dict[str, Tensor], tolerance: float) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert (tensor - second[name]).norm() <= tolerance * tensor.norm(), name


@pytest.mark.parametrize(("recipe", "given"), [("drsae", HIDING), ("drsae", {}), ("group", FEEDFORWARD)])
def test_a_captured_training_is_the_training(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch, recipe: str, given: dict[str, Any]
) -> None:
    plans = [make_plan(small_recipe(recipe, **{**given, **EXACT})) for _ in range(2)]
    stages = [Loop(plan, lambda _: None, lambda: None).stage for plan in plans]
    assert all(isinstance(stage, LayerStage) and stage.captured for stage in stages)
    captured = trained(plans[0])
    monkeypatch.setattr(LayerStage, "_can_be_captured", lambda _: False)
    same(captured, trained(plans[1]), 1e-3)


def test_a_captured_training_goes_on_from_a_checkpoint(make_plan: MakePlan) -> None:
    spec = small_recipe("drsae", **{**HIDING, **EXACT})
    whole = trained(make_plan(spec))
    plan = make_plan(spec)
    polls = iter(range(1000))
    stopped = train(plan, lambda _: None, lambda: "stop" if next(polls) == 31 else None)
    assert stopped["step"] == 31
    again = plan.model_copy(update={"checkpoint": plan.out / stopped["file"], "token": 2})
    same(whole, trained(again), 1e-3)


def test_without_draws_on_the_device_a_gpu_learns_what_a_cpu_learns(make_plan: MakePlan, tmp_path: Path) -> None:
    nothing_hidden = {
        "model": {"classifier": {"dropout": 0.0}},
        "training": {"input_dropout": 0.0, "adversarial_norm": 0.0, "epochs": 2},
    }
    on_gpu = trained(make_plan(small_recipe("drsae", **{**nothing_hidden, **EXACT})))
    same(trained(make_plan(small_recipe("drsae", **nothing_hidden))), on_gpu, 1e-2)


def test_what_a_captured_function_is_given_is_what_it_works_with() -> None:
    total = torch.zeros(3, device="cuda")

    def add(x: Tensor, nothing: Tensor | None) -> Tensor:
        assert nothing is None
        total.add_(x)
        return 2 * total

    captured = Captured(add)
    for i in range(8):
        answer = captured(torch.full((3,), float(i), device="cuda"), None)
    assert captured.graph is not None
    assert total.tolist() == [28.0] * 3
    assert answer.tolist() == [56.0] * 3
