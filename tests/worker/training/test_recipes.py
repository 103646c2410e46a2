"""Every recipe, small, from a plan to a bundle that encodes."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from training_cases import SMALL_RECIPES, MakePlan, small_recipe, stripes

from pinwheel import specs
from pinwheel.recipes import RECIPES
from worker.encoding.engine import Engine
from worker.sparse.solvers import solve
from worker.sparse.sparsity import L1
from worker.training.build import fresh_model
from worker.training.loop import train
from worker.training.plan import Plan


def run(plan: Plan) -> tuple[list[dict[str, Any]], Path]:
    messages: list[dict[str, Any]] = []
    last = train(plan, messages.append, lambda: None)
    return [*messages, last], plan.out / last["bundle"]


# What a recipe answers for an image of 8 × 6, where it is not a number for each of 16 filters.
FEATURES = {"conv-sparse": [3, 2, 16], "conv-group": [2, 1, 16], "local": [12, 8, 1]}
# Whole images at once learn from fewer of them, and a step of theirs takes longer.
TRAININGS = {
    "conv-sparse": {"epochs": 8},
    "conv-group": {"epochs": 8},
    "local": {"epochs": 8, "dictionary_fraction": 0.0},
    "drsae-paper": {"learning_rate": 0.25},
}


def test_every_recipe_is_tried_here() -> None:
    assert SMALL_RECIPES.keys() | {"stacked"} == RECIPES.keys()  # stacks: test_stacks.py


@pytest.mark.parametrize("recipe", SMALL_RECIPES)
def test_a_recipe_learns_and_its_bundle_encodes_and_rebuilds(make_plan: MakePlan, recipe: str) -> None:
    messages, bundle = run(make_plan(small_recipe(recipe, training={"epochs": 20, **TRAININGS.get(recipe, {})})))
    history = [m["values"]["unexplained_variance"] for m in messages if m["type"] == "metrics"]
    assert history[-1] < 0.9
    assert history[-1] <= history[0]
    engine, images = Engine.load(bundle), stripes(20, seed=9).images
    features = engine.encode(images)
    expected = FEATURES.get(recipe, [16])
    assert features.shape == (20, math.prod(expected))
    assert np.isfinite(features).all()
    assert features.any()
    rebuilt, unexplained = engine.reconstruct(images)
    assert rebuilt.shape == images.shape
    assert np.median(unexplained) < 1
    told = json.loads((bundle / "model.json").read_text())
    assert told["units"] == 16
    assert told["feature_shape"] == expected
    assert told["invariance"]["shift"]["code"][0] == 0


def test_the_dictionary_of_lista_is_finished_before_its_encoder_begins(make_plan: MakePlan) -> None:
    plan = make_plan(small_recipe("lista", training={"dictionary_fraction": 0.5, "previews": 20}))
    messages, bundle = run(plan)
    previews = {m["step"]: load_file(plan.out / m["file"]) for m in messages if m["type"] == "preview"}
    late = [values for step, values in previews.items() if step >= 30]
    early = [values for step, values in previews.items() if step < 30]
    assert all(np.array_equal(values["decoder"], late[-1]["decoder"]) for values in late)
    assert not np.array_equal(early[0]["decoder"], early[-1]["decoder"])
    assert not np.array_equal(late[0]["encoder"], late[-1]["encoder"])
    assert all(np.array_equal(values["encoder"], early[0]["encoder"]) for values in early)
    gaps = [m["values"]["code_gap"] for m in messages if m["type"] == "metrics" and m["step"] > 30]
    assert 0 <= gaps[-1] < gaps[0]
    norms = np.linalg.norm(load_file(bundle / "weights.safetensors")["layers.0.dictionary"], axis=0)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)


def test_branches_that_are_hardly_used_are_cut_and_it_is_said(make_plan: MakePlan) -> None:
    pruned = {"sparsity": {"weight": 0.1, "prune_below": 0.4, "prune_at": 0.5}}
    plan = make_plan(small_recipe("tree", model=pruned, training={"epochs": 12}))
    messages, bundle = run(plan)
    told = json.loads((bundle / "model.json").read_text())
    pruning = told["pruning"]
    assert 0 < len(pruning["cut"]) < 16
    assert pruning["units_before"] == 16
    assert pruning["units_after"] == 16 - len(pruning["cut"]) == told["units"]
    assert pruning["energy_before"] <= pruning["energy_when_cut"]
    assert messages[-1]["metrics"]["pruned_units"] == len(pruning["cut"])
    weights, units = load_file(bundle / "weights.safetensors"), load_file(bundle / "units.safetensors")
    assert weights["layers.0.dictionary"].shape == (48, told["units"])
    assert len(units["usage"]) == len(units["decoder"]) == told["units"]
    parent = weights["layers.0.parent"]
    assert (parent >= 0).sum() == told["units"] - 1  # still one root
    assert parent.max() < told["units"]
    assert Engine.load(bundle).encode(stripes(4).images).shape == (4, told["units"])


def test_a_tree_keeps_a_unit_whatever_is_to_be_cut(make_plan: MakePlan) -> None:
    everything = {"sparsity": {"weight": 100.0, "prune_below": 1.0, "prune_at": 0.5}}
    messages, bundle = run(make_plan(small_recipe("tree", model=everything)))
    assert messages[-1]["metrics"]["pruned_units"] == 15
    assert json.loads((bundle / "model.json").read_text())["units"] == 1
    assert Engine.load(bundle).encode(stripes(3).images).shape == (3, 1)


def test_what_is_published_before_the_encoder_began_starts_from_the_dictionary(make_plan: MakePlan) -> None:
    plan = make_plan(small_recipe("lista", training={"dictionary_fraction": 0.9}))
    polls = iter(range(1000))
    last = train(plan, lambda _: None, lambda: "stop publish" if next(polls) >= 30 else None)
    bundle = plan.out / last["bundle"]
    engine, told = Engine.load(bundle), json.loads((bundle / "model.json").read_text())
    weights = load_file(bundle / "weights.safetensors")
    cosines = (weights["layers.0.encoder"] * weights["layers.0.dictionary"].T).sum(1)
    np.testing.assert_allclose(cosines, np.linalg.norm(weights["layers.0.encoder"], axis=1), rtol=1e-4)
    images = stripes(300).images
    rebuilt, _ = engine.reconstruct(images)
    pixels = images.reshape(300, -1) / 255.0
    norms = np.linalg.norm(pixels, axis=1, keepdims=True)
    x, found = pixels / norms, rebuilt.reshape(300, -1) / norms
    unexplained = np.square(x - found).sum() / np.square(x - x.mean(0)).sum()
    assert told["metrics"]["unexplained_variance"] == pytest.approx(unexplained, rel=1e-3)
    assert "code_gap" in told["metrics"]


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_both_phases_have_at_least_a_step(make_plan: MakePlan, fraction: float) -> None:
    messages, _ = run(make_plan(small_recipe("lista", training={"dictionary_fraction": fraction, "epochs": 1})))
    assert "code_gap" in messages[-1]["metrics"]


def test_a_branch_is_cut_by_the_codes_that_are_searched_not_by_those_that_are_predicted(make_plan: MakePlan) -> None:
    predicted = {"encoder": {"kind": "predict-refine", "activation": "tanh"}}
    cut = {"sparsity": {"weight": 0.1, "prune_below": 0.4, "prune_at": 0.5}}
    messages, _ = run(make_plan(small_recipe("tree", model={**predicted, **cut})))
    assert messages[-1]["metrics"]["pruned_units"] > 0


def test_an_untrained_lista_is_ista_whatever_the_norm_of_the_dictionary(make_plan: MakePlan) -> None:
    examples = torch.rand(40, 12, generator=torch.Generator().manual_seed(0))
    spec = specs.Model(
        connection=specs.Dense(units=20, norm="fixed", max_norm=2.0),
        encoder=specs.Recurrent(passes=5, sign="signed", start="ista", total_step=None),
        sparsity=specs.L1(weight=0.1),
    )
    model = fresh_model(spec, examples, None, 0)
    dictionary = model.connection.dictionary.detach()
    stopped = solve(examples, dictionary, L1(0.1), method="ista", max_iterations=5, tolerance=0).code
    torch.testing.assert_close(model.encode(examples).detach(), stopped, rtol=1e-4, atol=1e-5)


def test_a_learned_inhibition_is_published_within_its_constraints(make_plan: MakePlan) -> None:
    _, bundle = run(make_plan(small_recipe("inhibition-learned")))
    matrix = load_file(bundle / "weights.safetensors")["layers.0.inhibition"]
    assert np.array_equal(matrix, matrix.T)
    assert not matrix.diagonal().any()
    assert matrix.min() >= 0
    assert matrix.max() <= 1
    np.testing.assert_allclose(matrix.sum(1), 4, rtol=1e-3)
    assert np.ptp(matrix[np.triu_indices(16, 1)]) > 0.01  # away from the even start


def test_noise_limits_the_code_more_where_it_weighs_more(make_plan: MakePlan) -> None:
    found = {}
    for weight in (1e-4, 1e-1):
        spec = small_recipe("noise", model={"sparsity": {"weight": weight}}, training={"epochs": 30})
        messages, _ = run(make_plan(spec))
        found[weight] = messages[-1]["metrics"]
    assert found[1e-1]["unexplained_variance"] > found[1e-4]["unexplained_variance"]
    assert found[1e-1]["l0"] < found[1e-4]["l0"]


def test_labels_train_a_classifier_on_any_code(make_plan: MakePlan) -> None:
    for recipe in ("sparse-coding", "psd", "inhibition-ring"):
        classifier = {"classifier": {"kind": "softmax", "weight": 1.0}}
        messages, bundle = run(make_plan(small_recipe(recipe, model=classifier, training={"epochs": 60})))
        # the dictionary knows nothing of the labels: far below the half that guessing gives is what can be asked
        assert messages[-1]["metrics"]["classification_error"] < 0.2, recipe
        images = stripes(50, seed=5)
        found = Engine.load(bundle).classify(images.images).argmax(1)
        assert (found == images.labels).mean() > 0.8, recipe
    torch.set_num_threads(1)
