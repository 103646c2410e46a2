"""What a training reports and leaves behind."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from training_cases import MakePlan, stripes

from worker.data.store import write_dataset
from worker.sparse.measures import angles
from worker.training.layer_stage import LayerStage
from worker.training.loop import LossNotFinite, train

Messages = list[dict[str, Any]]

LONGER = {"training": {"epochs": 40}, "model": {"connection": {"units": 32}, "classifier": {"weight": 0.2}}}


def run(plan: Any) -> Messages:
    messages: Messages = []
    messages.append(train(plan, messages.append, lambda: None))
    return messages


def of_type(messages: Messages, kind: str) -> Messages:
    return [message for message in messages if message["type"] == kind]


def test_a_training_starts_reports_and_finishes(make_plan: MakePlan) -> None:
    plan = make_plan(split=0.2)
    messages = run(plan)
    assert messages[0] == {"type": "started", "step": 0, "total_steps": 48, "device": "cpu"}
    assert messages[-1]["type"] == "finished"
    assert messages[-1]["step"] == 48
    assert [m["step"] for m in of_type(messages, "metrics")] == list(range(1, 49))
    assert of_type(messages, "progress")[-1]["fraction"] == 1.0
    assert all(json.dumps(message, allow_nan=False) for message in messages)


def test_the_model_learns_to_tell_the_stripes_apart(make_plan: MakePlan) -> None:
    messages = run(make_plan(LONGER, split=0.2))
    first, last = of_type(messages, "metrics")[0]["values"], messages[-1]["metrics"]
    assert last["loss"] < 0.4 * first["loss"]
    assert last["unexplained_variance"] < 0.1
    assert last["classification_error"] < 0.05


def test_the_weighted_terms_sum_to_the_loss_and_every_measure_is_there(make_plan: MakePlan) -> None:
    for message in of_type(run(make_plan()), "metrics"):
        values = message["values"]
        terms = values["reconstruction"] + values["sparsity"] + values["classification"]
        assert values["loss"] == pytest.approx(terms, rel=1e-12)
        assert values["active_fraction"] == pytest.approx(values["l0"] / 16)
        assert {"unexplained_variance", "dead_units", "classification_error", "samples_per_second"} <= set(values)


def test_without_a_classifier_labels_are_not_needed(make_plan: MakePlan, tmp_path: Path) -> None:
    data = stripes(64)
    write_dataset(type(data)(data.images), tmp_path / "unlabelled")
    plan = make_plan({"model": {"classifier": {"kind": "none"}}}, dataset=tmp_path / "unlabelled")
    last = run(plan)[-1]
    assert last["type"] == "finished"
    assert not {"classification", "classification_error"} & set(last["metrics"])


def test_the_classifier_rests_in_the_unsupervised_phase(make_plan: MakePlan) -> None:
    plan = make_plan({"training": {"unsupervised_fraction": 1.0}})
    run(plan)
    weights = load_file(plan.out / "bundles/1/weights.safetensors")
    supervised = make_plan({"training": {"unsupervised_fraction": 0.0}})
    run(supervised)
    limit = 16**-0.5
    assert weights["classifier"].abs().max() <= limit
    assert load_file(supervised.out / "bundles/1/weights.safetensors")["classifier"].abs().max() > limit


def test_an_encoder_is_tied_to_the_dictionary_until_labels_come(make_plan: MakePlan) -> None:
    rested = make_plan({"training": {"unsupervised_fraction": 1.0}})
    none = make_plan({"model": {"classifier": {"kind": "none"}}, "training": {"unsupervised_fraction": 0.0}})
    for plan in (rested, none):
        finished = run(plan)[-1]["metrics"]
        assert finished["categorical_units"] == 0
        weights = load_file(plan.out / "bundles/1/weights.safetensors")
        assert angles(weights["layers.0.encoder"], weights["layers.0.dictionary"].t()).max() < 1e-3
    labelled = make_plan({"training": {"unsupervised_fraction": 0.0}})
    run(labelled)
    weights = load_file(labelled.out / "bundles/1/weights.safetensors")
    assert angles(weights["layers.0.encoder"], weights["layers.0.dictionary"].t()).max() > 0.1


def test_previews_are_dense_at_the_start_and_include_both_ends(make_plan: MakePlan) -> None:
    plan = make_plan()
    previews = of_type(run(plan), "preview")
    steps = [preview["step"] for preview in previews]
    assert steps == [0, 3, 10, 22, 39, 60]
    for preview in previews:
        tensors = load_file(plan.out / preview["file"])
        assert tensors["decoder"].shape == tensors["encoder"].shape == (16, 8, 6, 1)
        assert tensors["decoder"].dtype == torch.float16
        assert tensors["usage"].shape == (16,)
    with safe_open(plan.out / previews[-1]["file"], "pt") as file:
        assert file.metadata() == {"step": "60", "layer": "0"}


def test_no_previews_where_none_are_asked_for(make_plan: MakePlan) -> None:
    assert of_type(run(make_plan({"training": {"previews": 0}})), "preview") == []


def test_the_bundle_explains_itself(make_plan: MakePlan) -> None:
    plan = make_plan(token=7)
    last = run(plan)[-1]
    assert last["bundle"] == "bundles/7"
    folder = plan.out / last["bundle"]
    files = ["model.json", "patches.safetensors", "units.safetensors", "weights.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == files
    with safe_open(folder / "weights.safetensors", "np") as file:
        metadata = file.metadata()
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert shapes == {
        "layers.0.dictionary": (48, 16),
        "layers.0.encoder": (16, 48),
        "layers.0.explaining_away": (16, 16),
        "layers.0.bias": (16,),
        "classifier": (2, 16),
    }
    assert metadata["format"] == "pinwheel/1"
    assert metadata["classes"] == "2"
    assert json.loads(metadata["input_shape"]) == [8, 6, 1]
    assert json.loads(metadata["spec"]) == plan.spec.model_dump(mode="json")
    model = json.loads((folder / "model.json").read_text())
    assert (model["units"], model["classes"], model["step"]) == (16, 2, 60)
    assert model["metrics"] == last["metrics"]
    units = load_file(folder / "units.safetensors")
    torch.testing.assert_close(units["norm"], units["decoder"].flatten(1).norm(dim=1))
    assert float(units["norm"].max()) <= 1 + 1e-6


def test_checkpoints_come_with_every_metrics_where_the_interval_is_zero_and_two_are_kept(make_plan: MakePlan) -> None:
    plan = make_plan(checkpoint_seconds=0)
    checkpoints = of_type(run(plan), "checkpoint")
    assert [checkpoint["step"] for checkpoint in checkpoints] == list(range(1, 60))
    names = sorted(path.name for path in (plan.out / "checkpoints").iterdir())
    assert names == ["1-000000058.safetensors", "1-000000059.safetensors"]


def test_one_seed_gives_one_model_and_another_seed_another(make_plan: MakePlan) -> None:
    def weights(seed: int) -> bytes:
        plan = make_plan({"training": {"seed": seed, "epochs": 2}})
        run(plan)
        return (plan.out / "bundles/1/weights.safetensors").read_bytes()

    assert weights(3) == weights(3)
    assert weights(3) != weights(4)


def test_a_loss_that_is_not_finite_names_the_step_and_the_last_checkpoint(make_plan: MakePlan) -> None:
    wild = {
        "model": {"encoder": {"passes": 60, "rate_multiplier": 100.0}},
        "training": {"learning_rate": 10.0, "unsupervised_fraction": 1.0},
    }
    messages: Messages = []
    with pytest.raises(LossNotFinite) as caught:
        train(make_plan(wild, checkpoint_seconds=0), messages.append, lambda: None)
    checkpoints = of_type(messages, "checkpoint")
    assert caught.value.step == max([m["step"] for m in of_type(messages, "metrics")], default=0) + 1
    assert f"step {caught.value.step} " in str(caught.value)
    assert (checkpoints[-1]["file"] if checkpoints else "no checkpoint") in str(caught.value)
    assert all(math.isfinite(value) for m in of_type(messages, "metrics") for value in m["values"].values())


def test_the_first_loss_that_is_not_finite_is_named_though_it_is_seen_later(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = LayerStage.update

    def broken(stage: LayerStage, x: Tensor, labels: Tensor | None, step: int, factor: float) -> Tensor:
        loss = update(stage, x, labels, step, factor)
        return loss * math.nan if step == 6 else loss

    monkeypatch.setattr(LayerStage, "update", broken)
    with pytest.raises(LossNotFinite) as caught:
        train(make_plan(), lambda _: None, lambda: None)
    assert caught.value.step == 7


def test_plans_that_cannot_work_say_why(make_plan: MakePlan, tmp_path: Path) -> None:
    data = stripes(64)
    write_dataset(type(data)(data.images), tmp_path / "unlabelled")
    with pytest.raises(ValueError, match="`softmax` needs labels"):
        run(make_plan(dataset=tmp_path / "unlabelled"))
    with pytest.raises(ValueError, match="validation data have none"):
        run(make_plan(validation=tmp_path / "unlabelled"))
    write_dataset(type(data)(np.zeros((4, 5, 5, 1), np.uint8)), tmp_path / "square")
    with pytest.raises(ValueError, match=r"\(5, 5, 1\), the training data inputs of \(8, 6, 1\)"):
        run(make_plan(validation=tmp_path / "square"))


def test_a_validation_set_is_what_the_metrics_are_of(make_plan: MakePlan, tmp_path: Path) -> None:
    easy = stripes(40)
    write_dataset(type(easy)(easy.images, np.zeros(40, np.int64), 1), tmp_path / "all_zero")
    last = run(make_plan(LONGER, validation=tmp_path / "all_zero"))[-1]
    assert last["metrics"]["classification_error"] == pytest.approx(0.5, abs=0.1)
