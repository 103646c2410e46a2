"""What is found out about the units of a recurrent encoder, on codes that are known, and after trainings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stack_cases import DENSE, FIRST, LABELS, PROBE, stack
from torch import Tensor
from training_cases import MakePlan, small_recipe

from pinwheel import specs
from pinwheel.pictures.part_units import PartUnits, part_units_numbers
from worker.data.inputs import Inputs
from worker.data.preprocess import Preprocessor
from worker.data.reader import from_arrays
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.connections import Dense
from worker.sparse.encoders import Recurrent
from worker.sparse.encoders.recurrent import drsae_matrices
from worker.sparse.sparsity import L1
from worker.training.bundle import Bundle
from worker.training.loop import Loop, train
from worker.training.part_units import MOST_PASSES, MOST_PRODUCTS, MOST_UNITS, followed, part_units, shown_passes
from worker.training.publish import Pictured, without_cut

INPUTS, UNITS, COUNT, PASSES = 12, 5, 400, 3
SHAPE = (4, 3, 1)
ALL = {
    *("angle", "plain_angle", "mean_active", "switched_late", "explaining_away", "overlap"),
    *("classifier", "class_means", "optimal_units", "optimal_decoders"),
    *("example_inputs", "example_codes", "example_passes", "example_labels"),
}


def planted_codes() -> Tensor:
    """(inputs, units) Sparse, none negative; unit 4 is on where unit 0 is."""
    chance = torch.Generator().manual_seed(0)
    code = torch.rand(COUNT, UNITS, generator=chance) * (torch.rand(COUNT, UNITS, generator=chance) < 0.4)
    code[:, 4] = 0.5 * code[:, 0]
    return code


def planted() -> tuple[Autoencoder, Inputs, Tensor]:
    """Orthonormal D, E = Dᵀ and S = 0 but for the last unit, which looks for nothing and is switched on by the first:
    the code of x = D z is z from the second pass on, but for a threshold above rounding."""
    chance = torch.Generator().manual_seed(1)
    dictionary = torch.linalg.qr(torch.randn(INPUTS, UNITS, generator=chance))[0]
    encoder, matrix = dictionary.t().clone(), torch.zeros(UNITS, UNITS)
    encoder[4], matrix[4, 0] = 0, 0.5
    recurrent = Recurrent(encoder, matrix - torch.eye(UNITS), torch.full((UNITS,), 1e-5), passes=PASSES)
    model = Autoencoder(Dense(dictionary, image=SHAPE), recurrent, L1(0.1))
    images = (planted_codes() @ dictionary.t()).view(COUNT, *SHAPE).numpy()
    preprocessor = Preprocessor(specs.Preprocessing(scale="none"), SHAPE)
    return model, Inputs(from_arrays(images, np.arange(COUNT) % 3), preprocessor), planted_codes()


def measured(classifier: Tensor | None = None) -> dict[str, Tensor]:
    model, inputs, _ = planted()
    spec = specs.Model(connection=specs.Dense(units=UNITS), encoder=specs.Recurrent(passes=PASSES), sparsity=specs.L1())
    pictured = Pictured(spec, 0, SHAPE, inputs.preprocessor)
    with torch.inference_mode():
        return part_units(model, inputs, torch.arange(COUNT), pictured, classifier)


def test_optimal_decoders_are_the_dictionary_where_codes_reconstruct_exactly() -> None:
    model, _, _ = planted()
    found, dictionary = measured(), model.connection.dictionary.detach()
    units = found["optimal_units"]
    shown = found["optimal_decoders"].float().flatten(2)
    assert shown.shape == (PASSES, UNITS, INPUTS)
    assert sorted(units.tolist()) == list(range(UNITS))
    # units 0 and 4 say the same twice; the others have but one decoder
    alone = (units != 0) & (units != 4)
    for decoders in shown[1:]:
        torch.testing.assert_close(decoders[alone], dictionary[:, units[alone]].t(), atol=5e-3, rtol=0)
    both = shown[1][units == 0] + 0.5 * shown[1][units == 4]
    torch.testing.assert_close(both, (dictionary[:, 0] + 0.5 * dictionary[:, 4])[None], atol=5e-3, rtol=0)
    assert float(shown[0][units == 4].abs().max()) < 1e-6  # it is never on in the first pass


def test_optimal_decoders_leave_no_more_than_any_other() -> None:
    """Against the least squares of numpy, on a part of the inputs whose codes say different things."""
    model, inputs, _ = planted()
    x, _ = inputs.take(torch.arange(COUNT))
    with torch.no_grad():
        code = model.progress(x)[0].double().numpy()[:, :4]
    expected = np.linalg.lstsq(code, x.double().numpy(), rcond=None)[0]
    found = measured()
    for place, unit in enumerate(found["optimal_units"].tolist()):
        if unit < 4:
            np.testing.assert_allclose(found["optimal_decoders"][0, place].flatten(), expected[unit], atol=5e-3)


def test_optimal_decoders_of_many_units_are_the_same_on_one_thread_and_on_two() -> None:
    """A batch of general 400 × 400 systems cannot be solved on two threads by torch 2.13."""
    _, inputs, _ = planted()
    dictionary = torch.nn.functional.normalize(
        torch.randn(INPUTS, 400, generator=torch.Generator().manual_seed(2)), dim=0
    )
    model = Autoencoder(Dense(dictionary, image=SHAPE), Recurrent(*drsae_matrices(dictionary, 11, 1.25)), L1(0.1))
    spec = specs.Model(connection=specs.Dense(units=400), encoder=specs.Recurrent(passes=11), sparsity=specs.L1())
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                pictured = Pictured(spec, 0, SHAPE, inputs.preprocessor)
                found.append(part_units(model, inputs, torch.arange(COUNT), pictured, None)["optimal_decoders"])
    finally:
        torch.set_num_threads(before)
    assert found[0].shape[0] == 11
    torch.testing.assert_close(found[0], found[1], atol=1e-2, rtol=1e-2)


def test_a_unit_that_others_switch_on_is_late() -> None:
    found, (_, _, code) = measured(), planted()
    expected = torch.zeros(UNITS)
    expected[4] = (code[:, 0] > 0).float().mean()
    torch.testing.assert_close(found["switched_late"], expected, atol=1e-6, rtol=0)
    means = code.sum(0) / (code > 0).sum(0)
    torch.testing.assert_close(found["mean_active"], means, atol=1e-4, rtol=0)
    torch.testing.assert_close(found["plain_angle"], torch.tensor([0, 0, 0, 0, np.pi / 2]), atol=1e-5, rtol=0)
    torch.testing.assert_close(found["overlap"], torch.eye(UNITS), atol=1e-5, rtol=0)
    assert found["explaining_away"][4, 0] == 0.5


def test_an_encoder_of_one_pass_has_no_late_units() -> None:
    model, inputs, _ = planted()
    assert isinstance(model.encoder, Recurrent)
    model.encoder.passes = 1
    spec = specs.Model(connection=specs.Dense(units=UNITS), encoder=specs.Recurrent(passes=1), sparsity=specs.L1())
    with torch.inference_mode():
        found = part_units(model, inputs, torch.arange(COUNT), Pictured(spec, 0, SHAPE, inputs.preprocessor), None)
    assert bool(found["switched_late"].isnan().all())
    assert len(found["optimal_decoders"]) == 1


def test_examples_are_of_different_classes_with_the_codes_of_all_passes() -> None:
    found, (_, inputs, code) = measured(), planted()
    assert found["example_labels"].tolist() == [0, 1, 2]
    assert found["example_passes"].tolist() == [1, 2, 3]
    torch.testing.assert_close(found["example_codes"][:, -1], code[:3], atol=1e-4, rtol=0)
    assert not bool(found["example_codes"][:, 0, 4].any())
    x, labels = inputs.take(torch.arange(COUNT))
    torch.testing.assert_close(found["example_inputs"].float().flatten(1), x[:3], atol=1e-3, rtol=0)
    assert labels is not None
    means = torch.stack([x[labels == label].mean(0) for label in range(3)])
    torch.testing.assert_close(found["class_means"].float().flatten(1), means, atol=1e-3, rtol=0)


def test_followed_units_are_the_clearest_parts_and_one_category_of_each_class() -> None:
    angle = torch.tensor([0.3, 0.1, 0.2, 1.2, 1.1, 1.0, 0.9, 0.05, 0.6])
    active = torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 0, 1])
    assert followed(angle, active, None).tolist() == [1, 2, 0, 8, 3, 4, 5, 6]
    classifier = torch.zeros(2, 9)
    classifier[0, [3, 4]], classifier[1, [5, 6]] = 1, 1
    assert followed(angle, active, classifier).tolist() == [1, 2, 0, 8, 3, 5]
    assert followed(angle, torch.zeros(9), classifier).tolist() == []


@pytest.mark.parametrize("passes", [1, 2, 11, 12, 50, 200])
@pytest.mark.parametrize("units", [5, 400, 2048, 10_000])
def test_passes_that_are_shown_end_with_the_last_and_take_bounded_memory(passes: int, units: int) -> None:
    shown = shown_passes(passes, units)
    assert shown[-1] == passes - 1
    assert bool((shown.diff() > 0).all())
    assert len(shown) <= MOST_PASSES
    assert units > MOST_UNITS or len(shown) * units**2 <= MOST_PRODUCTS
    assert len(shown) == passes or passes > min(MOST_PASSES, MOST_PRODUCTS // units**2)


def test_units_that_were_cut_are_in_none_of_the_tensors() -> None:
    """Units 1 and 3 of five are cut; those behind get new numbers."""
    found = measured(torch.arange(3.0 * UNITS).view(3, UNITS))
    found["optimal_units"] = torch.tensor([4, 0, 2])
    kept = torch.tensor([True, False, True, False, True])
    left = without_cut(found, kept)
    assert left["optimal_units"].tolist() == [2, 0, 1]
    assert left["angle"].shape == left["mean_active"].shape == (3,)
    assert torch.equal(left["overlap"], found["overlap"][kept][:, kept])
    assert torch.equal(left["explaining_away"], found["explaining_away"][kept][:, kept])
    assert torch.equal(left["classifier"], found["classifier"][:, kept])
    assert torch.equal(left["example_codes"], found["example_codes"][..., kept])
    for name in ("optimal_decoders", "class_means", "example_inputs", "example_labels", "example_passes"):
        assert torch.equal(left[name], found[name]), name


def run(make_plan: MakePlan, spec: Any) -> Path:
    plan = make_plan().model_copy(update={"spec": spec})
    return plan.out / str(train(plan, lambda _: None, lambda: None)["bundle"])


def read(folder: Path, name: str = "units.safetensors") -> PartUnits:
    tensors = load_file(folder / name)
    return PartUnits.of({key: value.numpy() for key, value in tensors.items() if key in PartUnits.__annotations__})


@pytest.mark.parametrize("classifier", ["softmax", "none"])
def test_a_published_model_tells_of_its_units_and_counts_them(make_plan: MakePlan, classifier: str) -> None:
    spec = small_recipe("drsae", model={"classifier": {"kind": classifier}}, training={"epochs": 2})
    folder = run(make_plan, spec)
    names = set(load_file(folder / "units.safetensors"))
    assert names >= ALL - {"classifier"}
    assert ("classifier" in names) == (classifier == "softmax")
    found = read(folder)
    record = json.loads((folder / "model.json").read_text())
    assert record["metrics"]["part_units"] == found.count("part")
    assert record["metrics"]["categorical_units"] == found.count("categorical")
    assert found.count("dead") == record["metrics"]["dead_units"]
    json.dumps(part_units_numbers(found), allow_nan=False)
    weights = load_file(folder / "weights.safetensors")
    identity = torch.eye(16)
    torch.testing.assert_close(
        torch.from_numpy(found.explaining_away).float(), weights["layers.0.explaining_away"] - identity
    )
    assert found.optimal_decoders is not None
    assert found.optimal_decoders.shape[2:] == (8, 6, 1)


def test_one_seed_gives_one_file_of_units(make_plan: MakePlan) -> None:
    spec = small_recipe("drsae", training={"epochs": 1})
    first, second = ((run(make_plan, spec) / "units.safetensors").read_bytes() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("recipe", ["lista", "psd"])
def test_predicted_codes_tell_of_their_units_where_the_predictor_is_recurrent(make_plan: MakePlan, recipe: str) -> None:
    folder = run(make_plan, small_recipe(recipe, training={"epochs": 1}))
    metrics = json.loads((folder / "model.json").read_text())["metrics"]
    assert ("angle" in load_file(folder / "units.safetensors")) == (recipe == "lista")
    assert ("part_units" in metrics) == ("categorical_units" in metrics) == (recipe == "lista")


def test_branches_of_a_tree_that_were_cut_are_gone(make_plan: MakePlan) -> None:
    sparsity = {"kind": "tree", "weight": 0.1, "prune_below": 0.4, "prune_at": 0.5, "shape": {"branching": [3, 4]}}
    spec = small_recipe("drsae", model={"sparsity": sparsity, "classifier": {"kind": "none"}}, training={"epochs": 4})
    folder = run(make_plan, spec)
    left = json.loads((folder / "model.json").read_text())["units"]
    found = read(folder)
    assert 0 < left < 16
    assert len(found.angle) == left
    assert found.explaining_away is not None
    assert found.explaining_away.shape == (left, left)
    assert found.optimal_units is not None
    assert (found.optimal_units < left).all()
    assert found.optimal_decoders is not None
    assert len(found.optimal_units) == found.optimal_decoders.shape[1]


LABELLED = {"model": {**DENSE["model"], "classifier": {"kind": "none"}}, "training": DENSE["training"]}


@pytest.mark.parametrize("last", [LABELS, PROBE], ids=["all", "classifier"])
def test_a_stage_of_labels_tells_of_the_units_as_they_are_then(make_plan: MakePlan, last: dict[str, Any]) -> None:
    """The only layer is dense and recurrent; labels move its encoder, or a classifier alone is added."""
    folder = run(make_plan, stack(LABELLED, last))
    found, weights = read(folder), load_file(folder / "weights.safetensors")
    assert set(load_file(folder / "units.safetensors")) >= ALL
    torch.testing.assert_close(torch.from_numpy(found.classifier).float(), weights["classifier"])
    expected = weights["layers.0.explaining_away"] - torch.eye(5)
    torch.testing.assert_close(torch.from_numpy(found.explaining_away).float(), expected)
    rows, columns = weights["layers.0.encoder"], weights["layers.0.dictionary"].t()
    cosine = torch.nn.functional.cosine_similarity(rows.double(), columns.double())
    np.testing.assert_allclose(found.plain_angle, cosine.arccos(), atol=1e-4)


def test_a_layer_above_another_tells_of_all_but_pictures_of_inputs(make_plan: MakePlan) -> None:
    folder = run(make_plan, stack(FIRST, DENSE, LABELS))
    names = set(load_file(folder / "units.1.safetensors"))
    absent = {name for name in ALL if name.startswith(("example", "optimal"))} | {"class_means"}
    assert names & ALL == ALL - absent
    assert not set(load_file(folder / "units.safetensors")) & (ALL - {"classifier"})
    told = Bundle.load(folder).record["layers"]
    assert ["part_units" in layer["metrics"] for layer in told] == [False, True]
    found = read(folder, "units.1.safetensors")
    assert part_units_numbers(found)["examples"] is None
    assert found.count("dead") < 5


def test_pools_on_top_have_a_classifier_that_is_not_of_the_units(make_plan: MakePlan) -> None:
    pooled = {"sparsity": {"kind": "pools", "size": 4, "weight": 0.02}, "output": "pooled"}
    folder = run(make_plan, small_recipe("drsae", model=pooled, training={"epochs": 1}))
    names = set(load_file(folder / "units.safetensors"))
    assert "angle" in names
    assert "classifier" not in names


def test_many_units_are_told_of_without_their_pairs(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.training.part_units.MOST_UNITS", 15)
    folder = run(make_plan, small_recipe("drsae", training={"epochs": 1}))
    names = set(load_file(folder / "units.safetensors"))
    assert names & ALL == ALL - {"explaining_away", "overlap", "optimal_units", "optimal_decoders"}
    numbers = part_units_numbers(read(folder))
    assert numbers["units"][0]["incoming"] is None
    assert numbers["correlation"] == {"part_to_part": None, "categorical_to_part": None}


def test_kinds_are_counted_while_a_model_learns(make_plan: MakePlan) -> None:
    told: list[dict[str, Any]] = []
    Loop(make_plan(), told.append, lambda: None).run()
    values = [message["values"] for message in told if message["type"] == "metrics"]
    assert len(values) > 10
    for value in values:
        assert 0 <= value["part_units"] + value["categorical_units"] <= 16 - value["dead_units"]
    assert values[0]["part_units"] > values[0]["categorical_units"]  # E begins as Dᵀ
