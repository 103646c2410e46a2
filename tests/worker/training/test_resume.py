"""A training that was interrupted ends bit for bit like one that was not."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from training_cases import MakePlan, small_recipe

from worker.training.loop import train
from worker.training.plan import Plan

TOTAL = 60
WITH_DROPOUT = {
    "model": {"classifier": {"dropout": 0.5}},
    "training": {"input_dropout": 0.2, "adversarial_norm": 0.1},
}


def bundle(plan: Plan) -> dict[str, bytes]:
    folder = plan.out / "bundles" / str(plan.token)
    return {name: (folder / name).read_bytes() for name in ("weights.safetensors", "units.safetensors", "model.json")}


def stop_at(plan: Plan, step: int, wish: str = "stop") -> dict[str, Any]:
    """Train until `step` updates are done, then ask for the end."""
    polls = iter(range(10**6))
    already = 0 if plan.checkpoint is None else int(plan.checkpoint.stem.split("-")[1])
    return train(plan, lambda _: None, lambda: wish if next(polls) + already >= step else None)


def resumed(plan: Plan, file: str) -> Plan:
    return plan.model_copy(update={"checkpoint": plan.out / file, "token": plan.token + 1})


# 24 is the boundary between the phases; 20 and 30 are ends of epochs
@pytest.mark.parametrize("steps", [[1], [23], [24], [25], [59], [20, 30], [7, 24, 41], [0]])
def test_stopped_and_resumed_equals_uninterrupted(make_plan: MakePlan, steps: list[int]) -> None:
    whole = make_plan(WITH_DROPOUT)
    train(whole, lambda _: None, lambda: None)
    plan = make_plan(WITH_DROPOUT)
    for step in steps:
        stopped = stop_at(plan, step)
        assert (stopped["type"], stopped["step"], stopped["bundle"]) == ("stopped", step, None)
        plan = resumed(plan, stopped["file"])
    messages: list[dict[str, Any]] = []
    train(plan, messages.append, lambda: None)
    assert messages[0]["step"] == steps[-1]
    assert bundle(plan) == bundle(whole)


CARRIED = {
    "sparse-coding": {"training": {"revive_after": 40}, "model": {"sparsity": {"weight": 0.3}}},
    "lista": {"training": {"dictionary_fraction": 0.5}},
    "topographic": {"preprocessing": {"patch_size": 5, "patches_per_image": 1, "whiten": "zca"}},
    "inhibition-learned": {},
    "tree": {"model": {"sparsity": {"weight": 0.1, "prune_below": 0.4, "prune_at": 0.5}}},
    "noise": {},
    "drsae-paper": {"training": {"unsupervised_fraction": 0.5}},
}


# 30 is the half: where the encoder of `lista` begins and the branches of `tree` are cut
@pytest.mark.parametrize("steps", [[29, 31], [30]])
@pytest.mark.parametrize("recipe", CARRIED)
def test_whatever_a_recipe_carries_along_survives_a_resume(make_plan: MakePlan, recipe: str, steps: list[int]) -> None:
    spec = small_recipe(recipe, **CARRIED[recipe])
    whole = make_plan(spec)
    assert train(whole, lambda _: None, lambda: None)["step"] == TOTAL
    plan = make_plan(spec)
    for step in steps:
        plan = resumed(plan, stop_at(plan, step)["file"])
    train(plan, lambda _: None, lambda: None)
    assert bundle(plan) == bundle(whole)


CONV = {"kind": "conv", "units": 2, "kernel_size": 3, "stride": 1, "norm": "fixed", "update": "diagonal-hessian"}
ONE_BY_ONE = {"units_per_position": 1}
ON_IMAGES = {
    "conv": ("sparse-coding", {"model": {"connection": CONV}, "training": {"revive_after": 40}}),
    "conv by Adam": ("sparse-coding", {"model": {"connection": CONV | {"update": "adam"}}}),
    "conv-group": ("conv-group", {"training": {"revive_after": 40}, "model": {"connection": {"units": 2}}}),
    "local": ("local", {"training": {"dictionary_fraction": 0.5}, "model": {"connection": ONE_BY_ONE}}),
    "local, never repeated": (
        "sparse-coding",
        {"model": {"connection": {"kind": "local", "field_size": 3, "norm": "fixed", "update": "diagonal-hessian"}}},
    ),
}


@pytest.mark.parametrize("name", ON_IMAGES)
def test_filters_on_an_image_survive_a_resume(make_plan: MakePlan, name: str) -> None:
    recipe, given = ON_IMAGES[name]
    spec = small_recipe(recipe, **given)
    whole = make_plan(spec)
    assert train(whole, lambda _: None, lambda: None)["step"] == TOTAL
    plan = resumed(whole, stop_at(make_plan(spec, out=whole.out), 31)["file"])
    train(plan, lambda _: None, lambda: None)
    assert bundle(plan) == bundle(whole)


def test_metrics_after_a_resume_are_those_of_the_uninterrupted_training(make_plan: MakePlan) -> None:
    def metrics(plan: Plan) -> dict[int, dict[str, float]]:
        messages: list[dict[str, Any]] = []
        train(plan, messages.append, lambda: None)
        found = {m["step"]: dict(m["values"]) for m in messages if m["type"] == "metrics"}
        return {step: {k: v for k, v in found[step].items() if k != "samples_per_second"} for step in found}

    whole = metrics(make_plan(WITH_DROPOUT))
    plan = make_plan(WITH_DROPOUT)
    rest = metrics(resumed(plan, stop_at(plan, 31)["file"]))
    assert rest == {step: values for step, values in whole.items() if step > 31}


def test_a_stop_that_publishes_leaves_a_bundle(make_plan: MakePlan) -> None:
    plan = make_plan()
    stopped = stop_at(plan, 10, "stop publish")
    assert stopped["bundle"] == "bundles/1"
    assert json.loads((plan.out / "bundles/1/model.json").read_text())["step"] == 10


def test_a_checkpoint_of_another_spec_is_refused(make_plan: MakePlan) -> None:
    plan = make_plan()
    file = stop_at(plan, 3)["file"]
    other = make_plan({"training": {"seed": 1}}, checkpoint=plan.out / file)
    with pytest.raises(ValueError, match="belongs to another spec"):
        train(other, lambda _: None, lambda: None)
    whole = (plan.out / file).read_bytes()
    (plan.out / file).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="is damaged"):
        train(resumed(plan, file), lambda _: None, lambda: None)
    (plan.out / file).write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="cannot be read"):
        train(resumed(plan, file), lambda _: None, lambda: None)


def test_a_killed_process_resumes_to_the_same_bits(make_plan: MakePlan, tmp_path: Path) -> None:
    whole = make_plan(WITH_DROPOUT)
    train(whole, lambda _: None, lambda: None)
    plan = make_plan(WITH_DROPOUT, checkpoint_seconds=0)
    last = kill_after_checkpoint(plan, tmp_path / "plan.json", random.Random(5).randint(5, TOTAL - 10))
    again = resumed(plan, last)
    train(again, lambda _: None, lambda: None)
    assert bundle(again) == bundle(whole)


def kill_after_checkpoint(plan: Plan, path: Path, step: int) -> str:
    """Start the trainer process, kill it once it has reported a checkpoint at `step`; returns that file."""
    path.write_text(plan.model_dump_json())
    command = [sys.executable, "-m", "worker.trainer", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        for line in child.stdout:
            message = json.loads(line)
            assert message["type"] != "failed", message
            if message["type"] == "checkpoint" and message["step"] >= step:
                break
        child.send_signal(signal.SIGKILL)
        child.stdout.read()
    newest = max((plan.out / "checkpoints").glob("*.safetensors"))
    return str(newest.relative_to(plan.out))
