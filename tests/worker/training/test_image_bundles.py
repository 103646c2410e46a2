"""What a training of filters on images leaves behind: weights, pictures, maps and what each filter was used for."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from training_cases import MakePlan, small_recipe

from worker.sparse.connections import Local
from worker.sparse.connections.spatial import Spatial
from worker.sparse.encoders import Feedforward
from worker.training.loop import Loop

CONV = {"kind": "conv", "units": 5, "kernel_size": 4, "stride": 2, "padding": 1}
LOCAL = {"kind": "local", "field_size": 3, "units_per_position": 4}
TILED = {**LOCAL, "tile": 2}
PAIRS: dict[str, Any] = {"kind": "pools", "layout": "maps", "size": 1, "window": 3}
SHEET: dict[str, Any] = {"kind": "pools", "layout": "sheet", "size": 4, "stride": 2}
LISTA = {"kind": "recurrent", "passes": 3, "start": "ista", "sign": "signed"}
EXACT = {"kind": "exact", "solver": {"max_iterations": 10, "tolerance": 0.0}}
RELU = {"kind": "feedforward", "activation": "relu"}
L1 = {"kind": "l1", "weight": 0.02}

# Of images of 8 × 6: a model, the shapes of its weights, what it answers for an image, and its map.
MODELS: dict[str, tuple[dict[str, Any], dict[str, tuple[int, ...]], list[int], dict[str, Any] | None]] = {
    "conv, exact": (
        {"connection": CONV, "encoder": EXACT, "sparsity": L1},
        {"dictionary": (5, 1, 4, 4)},
        [4, 3, 5],
        None,
    ),
    "conv, feed-forward, pooled": (
        {"connection": CONV, "encoder": RELU, "sparsity": PAIRS, "output": "pooled"},
        {"dictionary": (5, 1, 4, 4), "encoder": (5, 1, 4, 4), "bias": (5,), "gain": (5,)},
        [2, 1, 5],
        None,
    ),
    "conv, recurrent": (
        {"connection": CONV, "encoder": LISTA, "sparsity": L1},
        {
            "dictionary": (5, 1, 4, 4),
            "encoder": (5, 1, 4, 4),
            "explaining_away": (5, 1, 4, 4),
            "bias": (5,),
        },
        [4, 3, 5],
        None,
    ),
    "local, feed-forward": (
        {"connection": LOCAL, "encoder": {**RELU, "gain": False}, "sparsity": SHEET},
        {"dictionary": (96, 1, 3, 3), "encoder": (96, 1, 3, 3), "bias": (96,), "positions": (96, 2)},
        [12, 8, 1],
        {"layout": "sheet", "height": 12, "width": 8, "wrap": False},
    ),
    "local, tiled, recurrent": (
        {"connection": TILED, "encoder": LISTA, "sparsity": L1},
        {
            "dictionary": (16, 1, 3, 3),
            "encoder": (16, 1, 3, 3),
            "explaining_away": (16, 1, 3, 3),
            "bias": (16,),
            "positions": (16, 2),
        },
        [12, 8, 1],
        {"layout": "torus", "height": 4, "width": 4},
    ),
    "local, tiled, pooled, with labels": (
        {
            "connection": TILED,
            "encoder": RELU,
            "sparsity": SHEET,
            "output": "pooled",
            "classifier": {"kind": "softmax"},
        },
        {
            "dictionary": (16, 1, 3, 3),
            "encoder": (16, 1, 3, 3),
            "bias": (16,),
            "gain": (16,),
            "positions": (16, 2),
            "classifier": (2, 15),
        },
        [5, 3, 1],
        {"layout": "torus", "height": 4, "width": 4},
    ),
}


def trained(make_plan: MakePlan, model: dict[str, Any]) -> tuple[Loop, Path]:
    spec = small_recipe("sparse-coding", model=model, training={"epochs": 1, "previews": 1, "learning_rate": 0.01})
    loop = Loop(make_plan(spec), lambda _: None, lambda: None)
    return loop, loop.plan.out / loop.run()["bundle"]


@pytest.mark.parametrize("name", MODELS)
def test_the_bundle_of_filters_on_images_explains_itself(make_plan: MakePlan, name: str) -> None:
    model, shapes, features, unit_map = MODELS[name]
    loop, folder = trained(make_plan, model)
    weights, units = load_file(folder / "weights.safetensors"), load_file(folder / "units.safetensors")
    told = json.loads((folder / "model.json").read_text())
    prefixed = {name if name == "classifier" else f"layers.0.{name}": shape for name, shape in shapes.items()}
    assert {name: tuple(value.shape) for name, value in weights.items()} == prefixed
    count, channels, size, _ = shapes["dictionary"]
    assert (told["units"], told["input_shape"], told["feature_shape"]) == (count, [8, 6, 1], features)
    assert told["map"] == unit_map
    assert units["decoder"].shape == (count, size, size, channels)
    assert ("encoder" in units) == ("encoder" in shapes)
    assert torch.equal(units["decoder"], weights["layers.0.dictionary"].permute(0, 2, 3, 1))
    torch.testing.assert_close(units["norm"], units["decoder"].flatten(1).norm(dim=1))
    assert units["usage"].shape == (count,)
    # pairs of units are counted where every unit is its own filter
    assert ("coactivation" in units) == (name == "local, feed-forward")
    with safe_open(folder / "units.safetensors", "pt") as file:
        metadata = file.metadata()
    assert ("map" in metadata) == (unit_map is not None)
    assert unit_map is None or json.loads(metadata["map"]) == unit_map
    assert told["invariance"]["shift"]["code"][0] == 0
    assert (told["invariance"]["shift"]["pooled"] is not None) == (model["sparsity"]["kind"] == "pools")
    preview = load_file(loop.plan.out / "previews" / "000000000.safetensors")
    assert preview["decoder"].shape == units["decoder"].shape
    assert preview["decoder"].dtype == torch.float16


@pytest.mark.parametrize("name", ["local, feed-forward", "local, tiled, recurrent"])
def test_positions_say_where_on_the_image_a_filter_is(make_plan: MakePlan, name: str) -> None:
    _, folder = trained(make_plan, MODELS[name][0])
    positions = load_file(folder / "weights.safetensors")["layers.0.positions"]
    unit_map = json.loads((folder / "model.json").read_text())["map"]
    expected = [[row // 2, column // 2] for row in range(unit_map["height"]) for column in range(unit_map["width"])]
    assert positions.tolist() == expected


def connection_of(loop: Loop) -> Spatial:
    connection = loop.stage.model.connection
    assert isinstance(connection, Spatial)
    return connection


def active_of(loop: Loop) -> Tensor:
    """(images, rows, columns, units at a position) which units are on for the images that were evaluated"""
    x, _ = loop.parts.evaluated.take(loop.parts.whole)
    with torch.no_grad():
        code = loop.stage.model.encode(x)
    return (code != 0).view(len(x), *loop.stage.model.connection.code_shape)


def by_filter(active: Tensor, loop: Loop) -> list[Tensor]:
    """Of each filter whether its units are on, (images, places)."""
    shape = active.shape
    if shape[3] > 1:
        return [active[..., number].flatten(1) for number in range(shape[3])]
    connection = connection_of(loop)
    assert isinstance(connection, Local)
    height, width = connection.map_shape
    return [active[:, row::height, column::width].flatten(1) for row in range(height) for column in range(width)]


@pytest.mark.parametrize("name", ["conv, exact", "conv, recurrent", "local, feed-forward", "local, tiled, recurrent"])
def test_usage_and_dead_units_are_about_filters_wherever_they_are_on(make_plan: MakePlan, name: str) -> None:
    loop, folder = trained(make_plan, MODELS[name][0])
    usage = load_file(folder / "units.safetensors")["usage"]
    active = active_of(loop)
    counted = by_filter(active, loop)
    torch.testing.assert_close(usage, torch.stack([each.float().mean() for each in counted]), atol=1e-3, rtol=1e-3)
    metrics = json.loads((folder / "model.json").read_text())["metrics"]
    assert metrics["dead_units"] == sum(not bool(each.any()) for each in counted)
    assert metrics["l0"] == pytest.approx(float(active.flatten(1).sum(1).float().mean()), rel=1e-3)
    assert metrics["active_fraction"] == pytest.approx(metrics["l0"] / active[0].numel())
    assert len(set(usage.tolist())) > 1


def test_a_kernel_that_is_never_on_is_one_dead_unit(make_plan: MakePlan) -> None:
    loop, _ = trained(make_plan, MODELS["conv, feed-forward, pooled"][0])
    encoder = loop.stage.model.encoder
    assert isinstance(encoder, Feedforward)
    alive = loop._evaluate(loop.parts.whole)
    with torch.no_grad():
        encoder.bias[2] = -100.0
    silent = loop._evaluate(loop.parts.whole)
    assert silent.values["dead_units"] == alive.values["dead_units"] + 1
    assert silent.usage[2] == 0
    assert torch.equal(silent.usage[[0, 1, 3, 4]], alive.usage[[0, 1, 3, 4]])


@pytest.mark.parametrize("norm", ["fixed", "bounded"])
@pytest.mark.parametrize("connection", [CONV, LOCAL, TILED], ids=["conv", "local", "tiled"])
def test_published_filters_are_within_their_norm(make_plan: MakePlan, connection: dict[str, Any], norm: str) -> None:
    given = {**connection, "norm": norm, "max_norm": 0.5, "update": "diagonal-hessian"}
    _, folder = trained(make_plan, {"connection": given, "encoder": EXACT, "sparsity": L1})
    norms = load_file(folder / "units.safetensors")["norm"]
    assert float(norms.max()) <= 0.5 * (1 + 1e-5)
    assert norm == "bounded" or float(norms.min()) >= 0.5 * (1 - 1e-5)


def test_first_filters_lean_towards_what_images_show_at_their_places() -> None:
    """A quarter of each is the window of an image at its own place, the rest is noise."""
    generator = torch.Generator().manual_seed(0)
    connection = Local(torch.zeros(400, 1, 4, 4), (23, 23, 1))
    examples = torch.randn(30, 23 * 23, generator=generator)
    connection.draw(examples, generator)
    norms = connection.norms()
    torch.testing.assert_close(norms, torch.ones_like(norms))
    towards = []
    for number, (top, left) in enumerate(connection.positions.tolist()):
        shown = examples[number % 30].view(23, 23)[top : top + 4, left : left + 4]
        towards.append(float((connection.dictionary[number, 0].detach() * shown).sum() / shown.norm()))
    assert np.mean(towards) == pytest.approx(0.25 / np.hypot(1, 0.25), abs=0.05)


def test_images_that_filters_do_not_fit_are_refused_before_anything_is_trained(make_plan: MakePlan) -> None:
    for connection, said in (
        ({"kind": "conv", "kernel_size": 7}, r"kernel_size is 7 and the images are 8 × 6"),
        ({"kind": "conv", "kernel_size": 3, "stride": 2}, r"stride of 2 leave 1 of 8 pixels unseen"),
        ({"kind": "local", "field_size": 3, "tile": 4}, r"6 × 4 positions, which tiles of 4 do not fill"),
    ):
        spec = small_recipe("sparse-coding", model={"connection": connection})
        with pytest.raises(ValueError, match=said):
            Loop(make_plan(spec), lambda _: None, lambda: None)


def test_the_same_seed_gives_the_same_filters_and_another_one_others(make_plan: MakePlan) -> None:
    def weights(seed: int) -> bytes:
        spec = small_recipe("conv-group", training={"epochs": 1, "seed": seed}, model={"connection": {"units": 2}})
        loop = Loop(make_plan(spec), lambda _: None, lambda: None)
        folder: Path = loop.plan.out / loop.run()["bundle"]
        return (folder / "weights.safetensors").read_bytes()

    assert weights(3) == weights(3)
    assert weights(3) != weights(4)
