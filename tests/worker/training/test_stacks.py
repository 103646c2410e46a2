"""Stacks: what each stage learns from, what is written after it, and that a training goes on in any stage."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stack_cases import DENSE, FIRST, LABELS, PROBE, SECOND, TRAINING, conv_layer, stack
from training_cases import MakePlan, stripes

import worker.sparse.stack
import worker.training.label_stage
from pinwheel.files import units_file
from pinwheel.recipes import find
from pinwheel.specs import StackSpec
from worker.encoding.engine import Engine
from worker.sparse.stack import Stack
from worker.training.bundle import Bundle
from worker.training.loop import Message, train
from worker.training.plan import Plan

STACKS = {"two": (FIRST, SECOND), "dense": (FIRST, DENSE), "labels": (FIRST, SECOND, LABELS), "probe": (FIRST, PROBE)}


def plan_of(make_plan: MakePlan, spec: StackSpec, **fields: Any) -> Plan:
    plan = make_plan(**fields)
    return plan.model_copy(update={"spec": spec})


def run(plan: Plan) -> tuple[Message, list[Message]]:
    told: list[Message] = []
    return train(plan, told.append, lambda: None), told


def stopped_after(plan: Plan, polls: int, command: str = "stop") -> Message:
    left = iter(range(polls))
    return train(plan, lambda _: None, lambda: None if next(left, None) is not None else command)


@pytest.mark.parametrize("name", STACKS)
def test_every_stage_learns_and_the_steps_go_through(make_plan: MakePlan, name: str) -> None:
    stages = STACKS[name]
    plan = plan_of(make_plan, stack(*stages))
    last, told = run(plan)
    steps = [stage["training"]["epochs"] * 10 for stage in stages]
    assert last["type"] == "finished"
    assert last["step"] == sum(steps)
    assert last["epoch"] == sum(steps) / 10
    metrics = [message for message in told if message["type"] == "metrics"]
    assert [message["step"] for message in metrics] == sorted(message["step"] for message in metrics)
    for number, end in enumerate(np.cumsum(steps)):
        of_stage = [message for message in metrics if message["values"]["stage"] == number]
        assert of_stage[-1]["step"] == end
        assert of_stage[-1]["values"]["loss"] < of_stage[0]["values"]["loss"]
    assert all(message["total_steps"] == sum(steps) for message in told if message["type"] == "progress")
    previews = [message["step"] for message in told if message["type"] == "preview"]
    assert previews == sorted(set(previews))
    assert {0, steps[0]} <= set(previews)


def test_the_second_layer_sees_the_pooled_features_of_the_first(make_plan: MakePlan) -> None:
    """Centred by group and scaled: the numbers in the file say how."""
    plan = plan_of(make_plan, stack(FIRST, SECOND))
    folder = plan.out / run(plan)[0]["bundle"]
    images, bundle = stripes(50, seed=4).images, Bundle.load(folder)
    engine = Engine.load(folder)
    first, second = (engine.encode(images, layer=layer) for layer in (0, 1))
    weights = {name: value.double().numpy() for name, value in load_file(folder / "weights.safetensors").items()}
    seen = (first.reshape(50, 3, 2, 8) - weights["layers.1.input_mean"]) * weights["layers.1.input_scale"]
    kernels, bias, gain = (weights[f"layers.1.{name}"] for name in ("encoder", "bias", "gain"))
    windows = np.lib.stride_tricks.sliding_window_view(seen, (2, 2), axis=(1, 2))
    code = np.maximum(0, np.einsum("nijcyx,ucyx->niju", windows, kernels) + bias) * gain
    np.testing.assert_allclose(second, code.reshape(50, -1), atol=1e-4)
    np.testing.assert_array_equal(second, engine.encode(images))
    assert bundle.record["feature_shape"] == [2, 1, 6]
    assert [layer["feature_shape"] for layer in bundle.record["layers"]] == [[3, 2, 8], [2, 1, 6]]


def test_training_features_are_centred_and_of_unit_variance(make_plan: MakePlan) -> None:
    plan = plan_of(make_plan, stack(FIRST, DENSE))
    stack_ = Bundle.load(plan.out / run(plan)[0]["bundle"]).stack
    x = Bundle.load(plan.out / "bundles" / "1").preprocessor.inputs(stripes(300).images).x
    seen = stack_.between[0].up(stack_.features(x, 0)).view(-1, 8)
    torch.testing.assert_close(seen.mean(0), torch.zeros(8), atol=1e-4, rtol=0)
    assert seen.square().mean().item() == pytest.approx(1, rel=1e-3)


def test_lower_layers_stay_as_they_were(make_plan: MakePlan) -> None:
    plan = plan_of(make_plan, stack(FIRST, SECOND, PROBE))
    last, _ = run(plan)
    alone = plan_of(make_plan, stack(FIRST))
    first = load_file(alone.out / run(alone)[0]["bundle"] / "weights.safetensors")
    whole = load_file(plan.out / last["bundle"] / "weights.safetensors")
    two = load_file(plan.out / "stages" / "1-1" / "weights.safetensors")
    for name, value in first.items():
        assert torch.equal(value, whole[name]), name
    assert whole.keys() == two.keys() | {"classifier"}
    assert all(torch.equal(value, whole[name]) for name, value in two.items())


def test_labels_move_the_encoders_and_no_decoder(make_plan: MakePlan) -> None:
    plan = plan_of(make_plan, stack(FIRST, SECOND, LABELS))
    last, told = run(plan)
    before = load_file(plan.out / "stages" / "1-1" / "weights.safetensors")
    after = load_file(plan.out / last["bundle"] / "weights.safetensors")
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == {f"layers.{layer}.{name}" for layer in (0, 1) for name in ("encoder", "bias", "gain")}
    assert last["metrics"]["classification_error"] == 0
    errors = [m["values"]["classification_error"] for m in told if m["type"] == "metrics" and m["values"]["stage"] == 2]
    assert errors[0] > 0 or len(errors) == 1
    engine = Engine.load(plan.out / last["bundle"])
    test = stripes(100, seed=9)
    assert (engine.classify(test.images).argmax(1) == test.labels).mean() > 0.95
    encoder = load_file(plan.out / last["bundle"] / "units.safetensors")["encoder"]
    torch.testing.assert_close(encoder, after["layers.0.encoder"].permute(0, 2, 3, 1))


@pytest.mark.parametrize("polls", [3, 23, 43])
@pytest.mark.parametrize("name", ["labels"])
def test_a_stack_goes_on_from_its_checkpoint_bit_for_bit(make_plan: MakePlan, name: str, polls: int) -> None:
    spec = stack(*STACKS[name])
    whole = plan_of(make_plan, spec)
    expected = load_file(whole.out / run(whole)[0]["bundle"] / "weights.safetensors")
    plan = plan_of(make_plan, spec)
    stopped = stopped_after(plan, polls)
    assert stopped["step"] == polls
    again = plan.model_copy(update={"checkpoint": plan.out / stopped["file"], "token": 2})
    last, told = run(again)
    assert told[0] == {"type": "started", "step": polls, "total_steps": 120, "device": "cpu"}
    found = load_file(plan.out / last["bundle"] / "weights.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_a_stack_goes_on_twice_where_the_first_folder_stays_behind(
    make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths as a command line gives them: relative, the second training into a folder of its own."""
    monkeypatch.chdir(tmp_path)
    plan = plan_of(make_plan, stack(FIRST, SECOND)).model_copy(update={"out": Path("one")})
    stopped = stopped_after(plan, 23)
    again = plan.model_copy(update={"out": Path("two"), "checkpoint": Path("one") / stopped["file"], "token": 2})
    stopped = stopped_after(again, 3)
    last, _ = run(again.model_copy(update={"checkpoint": Path("two") / stopped["file"], "token": 3}))
    assert last["step"] == 40


def test_a_stack_that_is_stopped_is_published_as_far_as_it_came(make_plan: MakePlan) -> None:
    plan = plan_of(make_plan, stack(FIRST, SECOND, LABELS))
    last = stopped_after(plan, 25, "stop publish")
    bundle = Bundle.load(plan.out / last["bundle"])
    assert [layer["step"] for layer in bundle.record["layers"]] == [20, 25]
    assert len(bundle.spec.stages) == 2
    assert Engine.load(plan.out / last["bundle"]).encode(stripes(3).images).shape == (3, 12)


def test_layers_of_a_published_model_carry_another_stage(make_plan: MakePlan) -> None:
    below = plan_of(make_plan, stack(FIRST))
    base = below.out / run(below)[0]["bundle"]
    spec = stack({**FIRST, "taken_from": "below@1"}, SECOND)
    plan = plan_of(make_plan, spec, base=base)
    last, told = run(plan)
    assert last["step"] == told[0]["total_steps"] == 20
    whole = plan_of(make_plan, stack(FIRST, SECOND))
    expected = load_file(whole.out / run(whole)[0]["bundle"] / "weights.safetensors")
    found = load_file(plan.out / last["bundle"] / "weights.safetensors")
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    record = json.loads((plan.out / last["bundle"] / "model.json").read_text())
    assert record["spec"]["stages"][0]["taken_from"] == "below@1"
    stopped = stopped_after(plan_of(make_plan, spec, base=base), 7)
    assert stopped["step"] == 7


def test_pictures_of_a_second_layer_are_in_pixels(make_plan: MakePlan) -> None:
    """A unit of the second layer sees 2 × 2 pools of 2 × 2 places of 3 × 3 pixels: 6 × 6."""
    plan = plan_of(make_plan, stack(FIRST, SECOND))
    last, told = run(plan)
    units = load_file(plan.out / last["bundle"] / "units.1.safetensors")
    assert units["decoder"].shape == units["encoder"].shape == (6, 6, 6, 1)
    assert float(units["decoder"].flatten(1).norm(dim=1).min()) > 0
    previews = [load_file(plan.out / message["file"]) for message in told if message["type"] == "preview"]
    assert [len(preview["decoder"]) for preview in previews] == [8, 8, 8, 6, 6]


def test_pictures_and_usage_take_a_bounded_number_of_codes(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of large images a code has millions of numbers, and there are hundreds of examples."""
    plan = plan_of(make_plan, stack(FIRST, SECOND, LABELS))
    whole = run(plan)[0]["bundle"]
    bounded = plan.model_copy(update={"out": plan.out / "bounded"})
    for module in (worker.sparse.stack, worker.training.label_stage):
        monkeypatch.setattr(module, "CODES_AT_ONCE", 4 * 6 * 4 * 8)
    sizes: list[int] = []
    up = Stack._up

    def counted(self: Stack, x: torch.Tensor, *more: Any) -> Any:
        sizes.append(len(x))
        return up(self, x, *more)

    folder = plan.out / whole
    expected = [load_file(folder / units_file(layer)) for layer in (0, 1)]
    last, _ = run(bounded)
    found = [load_file(bounded.out / last["bundle"] / units_file(layer)) for layer in (0, 1)]
    for one, other in zip(found, expected, strict=True):
        for name, value in one.items():
            torch.testing.assert_close(value, other[name])
    stack_ = Bundle.load(folder).stack
    monkeypatch.setattr(Stack, "_up", counted)
    top = stack_.layer().connection
    stack_.up_to(1).pictures(top.first_encoder(), top, stack_.under(1), torch.rand(30, 48))
    assert max(sizes) == 4


def test_a_picture_of_a_third_layer_is_of_its_filter_alone(make_plan: MakePlan) -> None:
    """Linear in the filter: the means that stand between the layers below are in none."""
    third = {"model": conv_layer(4, 1, 0.02, 1), "training": TRAINING}
    plan = plan_of(make_plan, stack(FIRST, SECOND, third))
    whole = Bundle.load(plan.out / run(plan)[0]["bundle"]).stack
    connection, rows = whole.layer().connection, whole.layer().connection.first_encoder()
    examples = torch.rand(20, 48, generator=torch.Generator().manual_seed(0))
    once, twice = (
        whole.up_to(2).pictures(factor * rows, connection, whole.under(2), examples) for factor in (1.0, 2.0)
    )
    assert float(once.abs().max()) > 0
    torch.testing.assert_close(twice, 2 * once)


def test_reconstructions_come_down_through_the_pools(make_plan: MakePlan) -> None:
    plan = plan_of(make_plan, stack(FIRST, SECOND))
    engine = Engine.load(plan.out / run(plan)[0]["bundle"])
    images = stripes(40, seed=2).images
    (_, first), (rebuilt, second) = (engine.reconstruct(images, layer=layer) for layer in (0, 1))
    assert rebuilt.shape == images.shape
    assert first.mean() < second.mean() < 1


def test_what_cannot_be_stacked_says_so(make_plan: MakePlan) -> None:
    large = json.loads(json.dumps(SECOND))
    large["model"]["connection"]["kernel_size"] = 3
    with pytest.raises(ValueError, match=r"kernel_size is 3 and the images are 3 × 2"):
        run(plan_of(make_plan, stack(FIRST, large)))
    silent = json.loads(json.dumps(FIRST))
    silent["model"]["sparsity"]["weight"] = 1000.0
    silent["model"]["encoder"] = {"kind": "exact", "sign": "nonnegative", "solver": {"max_iterations": 5}}
    with pytest.raises(ValueError, match="answers the same for every input"):
        run(plan_of(make_plan, stack(silent, SECOND)))


def test_a_checkpoint_of_another_stage_lacks_its_layers(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = plan_of(make_plan, stack(FIRST, SECOND))
    stopped = stopped_after(plan, 25)
    elsewhere = tmp_path / "elsewhere" / "checkpoints" / "1-000000025.safetensors"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes((plan.out / stopped["file"]).read_bytes())
    with pytest.raises(FileNotFoundError, match="stages"):
        run(plan.model_copy(update={"checkpoint": elsewhere}))


def test_the_recipe_trains_small(make_plan: MakePlan) -> None:
    given = json.loads(find("stacked").spec.model_dump_json())
    for stage, kernel in zip(given["stages"], (3, 2), strict=True):
        stage["model"]["connection"] |= {"units": 6, "kernel_size": kernel}
        stage["model"]["sparsity"] |= {"window": 2, "window_stride": 2, "weight": 0.05}
        stage["model"]["encoder"]["solver"]["max_iterations"] = 3
    plan = plan_of(make_plan, stack(*given["stages"], **given["preprocessing"]))
    last, _ = run(plan)
    told = Bundle.load(plan.out / last["bundle"]).record
    assert [layer["metrics"]["unexplained_variance"] < 1 for layer in told["layers"]] == [True, True]
    assert all("code_gap" in layer["metrics"] for layer in told["layers"])


def test_features_of_a_layer_are_as_many_as_it_says(make_plan: MakePlan) -> None:
    plan = plan_of(make_plan, stack(FIRST, DENSE))
    engine = Engine.load(plan.out / run(plan)[0]["bundle"])
    images = stripes(4).images
    for layer, shape in enumerate([(3, 2, 8), (5,)]):
        assert engine.encode(images, layer=layer).shape == (4, math.prod(shape))
    assert not np.allclose(engine.encode(images, passes=1), engine.encode(images))
    with pytest.raises(ValueError, match="has no passes"):
        engine.encode(images, passes=1, layer=0)
    with pytest.raises(ValueError, match="layer is 2; this model has 2, 0 to 1"):
        engine.encode(images, layer=2)
