"""The inputs that drive units most: those that a look at all codes finds, in the pixels of the data set."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from stack_cases import DENSE, FIRST, LABELS, PROBE, SECOND, stack
from torch import Tensor
from training_cases import MakePlan, small_recipe, stripes

import worker.training.strongest
from pinwheel.files import patches_file
from pinwheel.specs import StackSpec, TrainSpec
from worker.sparse.connections.spatial import Spatial
from worker.training.bundle import Bundle
from worker.training.loop import train
from worker.training.strongest import MOST_BYTES, MOST_KEPT, as_levels, cut, fitting, reduced, window_of

ONCE = {"epochs": 1, "batch_size": 32, "previews": 0, "learning_rate": 0.01}
PADDED = {"connection": {"kernel_size": 4, "stride": 2, "padding": 1}, "encoder": {"kind": "feedforward"}}
PATCHES = {"patch_size": 4, "patches_per_image": 2, "whiten": "none", "scale": "unit-norm"}
SINGLE: dict[str, dict[str, Any]] = {
    "dense": {"name": "sparse-coding"},
    "patches": {"name": "sparse-coding", "preprocessing": PATCHES},
    "conv": {"name": "conv-group", "model": PADDED},
    "local": {"name": "local"},
    "tree": {"name": "tree"},
}
STACKS = {"conv on conv": (FIRST, SECOND), "dense on conv": (FIRST, DENSE), "labels": (FIRST, SECOND, LABELS)}


def published(make_plan: MakePlan, spec: TrainSpec | StackSpec) -> Bundle:
    plan = make_plan().model_copy(update={"spec": spec})
    return Bundle.load(plan.out / train(plan, lambda _: None, lambda: None)["bundle"])


def read(bundle: Bundle, layer: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    path = bundle.folder / patches_file(layer)
    with safe_open(path, "pt") as file:
        return load_file(path), file.metadata()


def by_filter(code: Tensor, bundle: Bundle, layer: int) -> Tensor:
    """(n, filters, uses) by the places that units say they have."""
    connection = bundle.stack.layer(layer).connection
    number = connection.spread(torch.arange(connection.filters).float()).long()
    return torch.stack([code[:, number == each] for each in range(connection.filters)], 1)


def check(bundle: Bundle, layer: int = 0) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Against all codes of all images, which are one input each."""
    found, told = read(bundle, layer)
    images = stripes(300).images
    code = bundle.stack.encode(bundle.preprocessor.inputs(images).x, layer)
    most = by_filter(code, bundle, layer).amax(2).detach()  # (n, filters)
    values, rows = found["activations"], found["rows"]
    wanted, _ = most.sort(0, descending=True)
    assert torch.allclose(values, wanted[: values.shape[1]].t().clamp_min(0), atol=1e-5)
    assert (values[:, 1:] <= values[:, :-1]).all(), "the strongest first"
    assert torch.equal(rows >= 0, values > 0)
    assert (values > 0).any(1).float().mean() > 0.3
    height, width = (int(side) for side in told["window"].split())
    for unit, place in (rows >= 0).nonzero().tolist():
        row, (top, left) = int(rows[unit, place]), found["corners"][unit, place].tolist()
        assert abs(float(most[row, unit]) - float(values[unit, place])) < 1e-5
        window = window_of(np.asarray(images[row]), top, left, height, width)
        assert np.array_equal(found["patches"][unit, place].numpy(), window)
    if layer == 0 and isinstance(bundle.stack.layer(0).connection, Spatial):
        check_windows(bundle, found, code.detach())
    return found, told


@pytest.mark.parametrize("name", [name for name in SINGLE if name != "patches"])
def test_what_is_kept_are_the_strongest_of_all_inputs(make_plan: MakePlan, name: str) -> None:
    bundle = published(make_plan, small_recipe(**SINGLE[name], training=ONCE))
    found, told = check(bundle)
    record = json.loads((bundle.folder / "model.json").read_text())
    shape = [int(side) for side in told["window"].split()]
    assert record["patches"] == {"count": MOST_KEPT, "shape": [*shape, 1], "dataset": "data"}
    assert shape == {"conv": [4, 4], "local": [3, 3]}.get(name, [8, 6])
    assert len(found["patches"]) == record["units"]


def check_windows(bundle: Bundle, found: dict[str, Tensor], code: Tensor) -> None:
    """The unit whose field is the window is as strong as it is told to be."""
    connection = bundle.stack.layer(0).connection
    assert isinstance(connection, Spatial)
    corners = connection.corners(torch.arange(connection.units))
    number = connection.spread(torch.arange(connection.filters).float()).long()
    for unit, place in (found["rows"] >= 0).nonzero().tolist():
        there = (number == unit) & (corners == found["corners"][unit, place]).all(1)
        strongest = code[found["rows"][unit, place], there]
        assert torch.allclose(strongest, found["activations"][unit, place], atol=1e-5)


def test_patches_are_told_by_their_place_in_the_image(make_plan: MakePlan) -> None:
    """What is there, preprocessed and encoded, gives the activation again."""
    bundle = published(make_plan, small_recipe(**SINGLE["patches"], training=ONCE))
    found, told = read(bundle, 0)
    assert told["window"] == "4 4"
    there = found["rows"] >= 0
    assert len(found["corners"][there].unique(dim=0)) > 3
    images = np.asarray(stripes(300).images)
    corners = found["corners"][there].tolist()
    windows = [images[row, y : y + 4, x : x + 4] for row, (y, x) in zip(found["rows"][there], corners, strict=True)]
    assert np.array_equal(found["patches"][there].numpy(), np.stack(windows))
    code = bundle.stack.encode(bundle.preprocessor.inputs(np.stack(windows)).x)
    units = there.nonzero()[:, 0]
    again = code[torch.arange(len(units)), units]
    assert torch.allclose(again, found["activations"][there], atol=1e-5)


@pytest.mark.parametrize("name", STACKS)
def test_every_layer_of_a_stack_has_its_own(make_plan: MakePlan, name: str) -> None:
    """After a stage of labels that all layers learn from, those of the layers as they became."""
    bundle = published(make_plan, stack(*STACKS[name]))
    assert check(bundle, 0)[1]["window"] == "3 3"
    assert check(bundle, 1)[1]["window"] == ("8 6" if name == "dense on conv" else "6 6")
    counts = [each["patches"]["count"] for each in bundle.record["layers"]]
    assert counts == [MOST_KEPT, MOST_KEPT]


def test_nothing_outside_of_the_window_drives_a_unit_of_a_higher_layer(make_plan: MakePlan) -> None:
    bundle = published(make_plan, stack(FIRST, SECOND))
    found, told = read(bundle, 1)
    height, width = (int(side) for side in told["window"].split())
    units, places = (found["rows"] >= 0).nonzero()[:20].t()
    x = bundle.preprocessor.inputs(stripes(300).images).x[found["rows"][units, places]].view(-1, 8, 6)
    changed = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    connection = bundle.stack.layer(1).connection
    assert isinstance(connection, Spatial)
    for number, (top, left) in enumerate(found["corners"][units, places].tolist()):
        inside = slice(top, top + height), slice(left, left + width)
        changed[number][inside] = x[number][inside]
    before, after = (by_filter(bundle.stack.encode(each.flatten(1)).detach(), bundle, 1) for each in (x, changed))
    for number, (unit, place) in enumerate(zip(units.tolist(), places.tolist(), strict=True)):
        at = int(before[number, unit].argmax())
        assert abs(float(after[number, unit, at]) - float(found["activations"][unit, place])) < 1e-5


def test_a_classifier_alone_leaves_those_of_the_layers(make_plan: MakePlan) -> None:
    bundle = published(make_plan, stack(FIRST, PROBE))
    check(bundle)
    assert bundle.record["patches"]["count"] == MOST_KEPT


def test_a_model_is_published_without_where_they_are_not_found(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no memory left for pictures")

    monkeypatch.setattr(worker.training.strongest, "strongest", broken)
    bundle = published(make_plan, small_recipe("drsae", training=ONCE))
    assert bundle.record["patches"] is None
    assert not (bundle.folder / patches_file(0)).exists()
    assert "no memory left for pictures" in caplog.text


@pytest.mark.parametrize(
    ("filters", "window", "kept", "factor"),
    [
        (400, (28, 28, 1), 16, 1),
        (9216, (13, 13, 1), 16, 1),
        (9216, (20, 20, 1), 9, 1),
        (1, (200, 100, 3), 16, 3),  # 67 × 34
        (65536, (28, 28, 1), 5, 3),
        (65536, (512, 512, 3), 4, 86),  # 6 × 6
        (4, (1, 784, 1), 16, 1),
    ],
)
def test_pictures_stay_within_32_mib(filters: int, window: tuple[int, int, int], kept: int, factor: int) -> None:
    assert fitting(filters, *window) == (kept, factor)
    height, width, channels = window
    assert filters * kept * -(-height // factor) * -(-width // factor) * channels <= MOST_BYTES


def test_large_windows_are_reduced_to_means() -> None:
    window = np.arange(15, dtype=np.uint8).reshape(3, 5, 1)
    assert reduced(window, 2)[..., 0].tolist() == [[3, 5, 6], [10, 12, 14]], "the last row and column go on"
    dataset = stripes(3)
    whole = cut(dataset, np.array([2, -1]), np.zeros((2, 2), np.int64), (8, 6), 2)
    assert whole.shape == (2, 4, 3, 1)
    assert (
        np.abs(whole[0, ..., 0] - np.asarray(dataset.images[2])[..., 0].reshape(4, 2, 3, 2).mean((1, 3))).max() <= 0.5
    )
    assert not whole[1].any()


def test_numbers_are_drawn_from_0_to_1_or_as_far_as_they_go() -> None:
    levels, ends = as_levels(np.array([0, 0.5, 1], np.float32))
    assert (levels.tolist(), ends) == ([0, 128, 255], (0.0, 1.0))
    levels, ends = as_levels(np.array([-2, 0, 3], np.float32))
    assert (levels.tolist(), ends) == ([0, 102, 255], (-2.0, 3.0))


def test_the_files_of_two_trainings_with_one_seed_are_equal(make_plan: MakePlan) -> None:
    spec = small_recipe("drsae", training=ONCE)
    folders: list[Path] = [published(make_plan, spec).folder for _ in range(2)]
    assert len({(folder / patches_file(0)).read_bytes() for folder in folders}) == 1
