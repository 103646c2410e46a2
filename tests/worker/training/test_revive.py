"""Silent units: counted over the inputs, begun anew from what is badly reconstructed, their optimiser cleared."""

from typing import Any

import pytest
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
    optimizer = adam(model.rates())
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


IMAGE = (8, 6, 2)
ON_IMAGES: dict[str, specs.Connection] = {
    "conv": specs.Conv(units=5, kernel_size=3),
    "conv, strided and padded": specs.Conv(units=5, kernel_size=4, stride=2, padding=1, norm="fixed"),
    "local": specs.Local(field_size=3),
    "local, tiled": specs.Local(field_size=3, tile=2, units_per_position=4, norm="fixed"),
}


def windows_of(x: torch.Tensor, connection: Any) -> torch.Tensor:
    """(images, places, numbers of a filter) what a filter may see of every image, wherever that is."""
    edge = connection.padding
    images = torch.nn.functional.pad(x.view(-1, *IMAGE), (0, 0, edge, edge, edge, edge))
    size, stride = connection.size, connection.stride
    return images.unfold(1, size, stride).unfold(2, size, stride).flatten(3).flatten(1, 2)


@pytest.mark.parametrize("name", ON_IMAGES)
def test_a_silent_filter_begins_anew_from_what_is_left_at_one_of_its_places(name: str) -> None:
    """It is silent only where none of its units is on, and its entries alone are forgotten."""
    spec = specs.Model(connection=ON_IMAGES[name], encoder=specs.Feedforward(), sparsity=specs.L1(weight=0.01))
    x = torch.rand(BATCH, 96, generator=torch.Generator().manual_seed(0))
    model: Any = fresh_model(spec, x, None, 0, IMAGE)
    optimizer = adam(model.rates())
    model.energy(x).loss.backward()
    optimizer.step()
    with torch.no_grad():
        model.encoder.bias.fill_(1)
        model.encoder.bias[2] = -100
    revival = Revival(2 * BATCH, model, seed=0, total_steps=1000)
    for _ in range(2):
        revival.note(model.energy(x))
    assert revival.ages.tolist() == [2 * BATCH if number == 2 else 0 for number in range(model.filters)]
    energy, before = model.energy(x), model.connection.dictionary.detach().clone()
    left = windows_of(x - energy.reconstruction.detach(), model.connection)
    assert revival.cure(optimizer, x, energy, 0) == 1
    found = model.connection.dictionary.detach()
    others = [number for number in range(model.filters) if number != 2]
    assert torch.equal(found[others], before[others])
    cosines = torch.nn.functional.cosine_similarity(left, found[2].flatten()[None, None], dim=2)
    image, place = divmod(int(cosines.argmax()), cosines.shape[1])
    assert float(cosines[image, place]) > 0.9999
    if isinstance(ON_IMAGES[name], specs.Local):
        top, left_edge = model.connection.positions[2].tolist()
        assert place == top * model.connection.columns + left_edge
    else:  # where this image shows most
        assert place == int(left[image].square().sum(1).argmax())
    expected = 1.0 if spec.connection.norm == "fixed" else float(before.flatten(1).norm(dim=1).mean())
    assert float(found[2].norm()) == pytest.approx(expected, rel=1e-5)
    row = model.encoder.encoder.detach()[2].flatten()
    assert float(torch.nn.functional.cosine_similarity(row, found[2].flatten(), dim=0)) > 0.9999
    for parameter, dimension in model.per_unit():
        for key in ("exp_avg", "exp_avg_sq"):
            entries = optimizer.state[parameter][key]
            assert not entries.select(dimension, 2).any()
            assert entries.select(dimension, 3).any()


def test_a_recurrent_encoder_of_fields_follows_a_filter_that_begins_anew() -> None:
    encoder = specs.Recurrent(passes=3, start="ista", sign="signed")
    spec = specs.Model(connection=ON_IMAGES["conv"], encoder=encoder, sparsity=specs.L1(weight=0.01))
    x = torch.rand(BATCH, 96, generator=torch.Generator().manual_seed(0))
    model: Any = fresh_model(spec, x, None, 0, IMAGE)
    with torch.no_grad():
        model.encoder.encoder.mul_(torch.linspace(0.5, 2, 5)[:, None, None, None])
        model.encoder.bias.copy_(torch.linspace(0, 1, 5))
    lengths, bias = model.encoder.encoder.detach().flatten(1).norm(dim=1), model.encoder.bias.detach().clone()
    model.revive(torch.tensor([1, 4]), x[:2])
    filters, rows = model.connection.dictionary.detach(), model.encoder.encoder.detach()
    assert torch.equal(model.encoder.explaining_away.detach(), filters)
    for number in (1, 4):
        torch.testing.assert_close(rows[number], 0.5 * lengths.mean() * filters[number] / filters[number].norm())
        assert model.encoder.bias[number] == bias.mean()
    assert torch.isfinite(model.energy(x).loss)


@pytest.mark.parametrize("output", ["code", "pooled"])
def test_a_classifier_forgets_the_units_of_a_filter_that_begins_anew_but_not_pools(output: str) -> None:
    pools = specs.Pools(weight=0.01, layout="maps", size=5, window=2)
    classifier, connection = specs.Softmax(), ON_IMAGES["conv"]
    encoder = specs.Feedforward()
    spec = specs.Model(
        connection=connection,
        encoder=encoder,
        sparsity=pools,
        classifier=classifier,
        output=output,  # type: ignore[arg-type]
    )
    x = torch.rand(BATCH, 96, generator=torch.Generator().manual_seed(0))
    model: Any = fresh_model(spec, x, 3, 0, IMAGE)
    before = model.classifier.weights.detach().clone()
    model.revive(torch.tensor([1, 4]), x[:2])
    after = model.classifier.weights.detach()
    if output == "pooled":
        assert torch.equal(after, before)
        return
    columns = after.view(3, 6, 4, 5)
    assert not columns[..., [1, 4]].any()
    assert torch.equal(columns[..., [0, 2, 3]], before.view(3, 6, 4, 5)[..., [0, 2, 3]])


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
