"""Silent units: counted over the inputs, begun anew from what is badly reconstructed, their optimiser cleared."""

from typing import Any

import torch
from training_cases import MakePlan, small_recipe

from pinwheel import specs
from worker.training.build import fresh_model
from worker.training.loop import train
from worker.training.prepare import adam
from worker.training.revive import CHECK_EVERY, Revival

UNITS, INPUTS, BATCH = 6, 8, 20


def model_with_a_silent_unit() -> Any:
    """A rectified encoder one unit of which is off for every input, after one update of all."""
    spec = specs.Model(connection=specs.Dense(units=UNITS), encoder=specs.Feedforward(), sparsity=specs.L1(weight=0.01))
    x = torch.rand(BATCH, INPUTS, generator=torch.Generator().manual_seed(0))
    model = fresh_model(spec, x, None, 0)
    optimizer = adam(model)
    model.energy(x).loss.backward()
    optimizer.step()
    with torch.no_grad():
        model.encoder.bias[2] = -100
    return model, optimizer, x


def test_a_silent_unit_begins_anew_after_so_many_inputs_and_no_sooner() -> None:
    model, optimizer, x = model_with_a_silent_unit()
    revival = Revival(3 * BATCH, model, seed=0, total_steps=1000)
    for step in range(3):
        assert revival.cure(optimizer, x, model.energy(x), CHECK_EVERY * step) == 0
        revival.note(model.energy(x))
    assert revival.ages.tolist() == [0, 0, 3 * BATCH, 0, 0, 0]
    energy = model.energy(x)
    left = x - energy.reconstruction.detach()
    assert revival.cure(optimizer, x, energy, CHECK_EVERY) == 1
    column = model.connection.dictionary[:, 2].detach()
    cosines = torch.nn.functional.cosine_similarity(left, column[None])
    assert float(cosines.max()) > 0.9999  # the direction of what was left of one input
    assert revival.ages[2] == 0
    for parameter, dimension in model.per_unit():
        for name in ("exp_avg", "exp_avg_sq"):
            entries = optimizer.state[parameter][name]
            assert not entries.select(dimension, 2).any()
            assert entries.select(dimension, 3).any()


def test_it_is_looked_at_now_and_then_and_not_at_the_end() -> None:
    model, optimizer, x = model_with_a_silent_unit()
    revival = Revival(BATCH, model, seed=0, total_steps=1000)
    revival.note(model.energy(x))
    assert revival.cure(optimizer, x, model.energy(x), CHECK_EVERY + 1) == 0
    assert revival.cure(optimizer, x, model.energy(x), 900) == 0
    assert revival.cure(optimizer, x, model.energy(x), 800) == 1


def test_more_silent_units_than_inputs_take_turns() -> None:
    model, optimizer, x = model_with_a_silent_unit()
    revival = Revival(1, model, seed=0, total_steps=1000)
    revival.ages.fill_(10)
    assert revival.cure(optimizer, x[:2], model.energy(x[:2]), 0) == 2
    assert (revival.ages == 0).sum() == 2


def test_a_training_with_dead_units_has_fewer_of_them_when_they_are_cured(make_plan: MakePlan) -> None:
    def dead(revive_after: int | None) -> float:
        spec = small_recipe(
            "sparse-coding",
            model={"connection": {"units": 60}, "sparsity": {"weight": 0.25}, "encoder": {"sign": "nonnegative"}},
            training={"epochs": 40, "learning_rate": 0.03, "revive_after": revive_after},
        )
        return float(train(make_plan(spec), lambda _: None, lambda: None)["metrics"]["dead_units"])

    without, cured = dead(None), dead(300)
    assert without >= 10
    assert cured <= without / 2
