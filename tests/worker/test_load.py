"""`worker.sparse.load`: a published file as a plain module, and the files that it refuses."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_cases import published
from safetensors import safe_open
from safetensors.torch import save_file
from stack_cases import DENSE, FIRST, LABELS, SECOND, stack
from training_cases import SMALL_RECIPES, MakePlan, small_recipe, spec_of, stripes

from pinwheel.exports.weights import Weights
from worker.data.reader import from_arrays
from worker.encoding.engine import Engine
from worker.sparse import load
from worker.training.bundle import read_model
from worker.training.loop import Loop

IMAGES = np.asarray(stripes(20, seed=9).images)


@pytest.mark.parametrize("name", SMALL_RECIPES)
def test_every_recipe_gives_the_features_of_the_service(tmp_path: Path, name: str) -> None:
    path, engine = published(tmp_path, small_recipe(name))
    module, expected = load(path), engine.encode(IMAGES)
    with torch.no_grad():
        found = module(torch.tensor(IMAGES))
        floats = module(torch.tensor(IMAGES).float() / 255)
    assert not module.training
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(floats.numpy(), expected, atol=1e-6)


def test_what_a_training_published_gives_its_codes(make_plan: MakePlan) -> None:
    loop = Loop(make_plan({"training": {"epochs": 1, "previews": 0}}), lambda _: None, lambda: None)
    folder = loop.plan.out / loop.run()["bundle"]
    with torch.no_grad():
        found = load(str(folder / "weights.safetensors"))(torch.tensor(IMAGES))
    np.testing.assert_allclose(found.numpy(), Engine.load(folder).encode(IMAGES), atol=1e-6)


@pytest.mark.parametrize("whiten", ["none", "zca", "lcn", "fourier"])
def test_larger_images_give_the_mean_over_their_patches(tmp_path: Path, whiten: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 15, 11, 3), dtype=np.uint8)
    spec = spec_of("psd", {"preprocessing": {"patch_size": 6, "patches_per_image": 50, "whiten": whiten}})
    path, engine = published(tmp_path, spec, from_arrays(images, np.arange(6) % 2))
    with torch.no_grad():
        np.testing.assert_allclose(load(path)(torch.tensor(images)).numpy(), engine.encode(images), atol=2e-6)


def test_every_layer_of_a_stack_and_other_passes(tmp_path: Path) -> None:
    path, engine = published(tmp_path, stack(FIRST, SECOND, DENSE, LABELS))
    module = load(path)
    with torch.no_grad():
        for layer in (None, 0, 1, 2):
            found = module(torch.tensor(IMAGES), layer=layer)
            np.testing.assert_allclose(found.numpy(), engine.encode(IMAGES, layer=layer), atol=1e-6)
        more = module(torch.tensor(IMAGES), passes=7).numpy()
    np.testing.assert_allclose(more, engine.encode(IMAGES, passes=7), atol=1e-6)
    with pytest.raises(ValueError, match="layer is 3; this model has 3, 0 to 2"):
        module(torch.tensor(IMAGES), layer=3)


def test_it_behaves_as_a_module(tmp_path: Path) -> None:
    """Gradients reach the encoder and the images; copies and states of another model of the kind can be taken."""
    (path, engine), (other, _) = (published(tmp_path / str(seed), small_recipe("drsae"), seed=seed) for seed in (0, 1))
    module, images = load(path), (torch.tensor(IMAGES).float() / 255).requires_grad_()
    module(images).square().sum().backward()
    assert images.grad is not None
    assert images.grad.any()
    assert {name for name, each in module.named_parameters() if each.grad is not None} >= {
        f"stack.layers.0.encoder.{name}" for name in ("encoder", "explaining_away", "bias")
    }
    copied, fresh = copy.deepcopy(module), load(other)
    fresh.load_state_dict(module.state_dict())
    with torch.no_grad():
        for same in (copied, fresh):
            np.testing.assert_allclose(same(images).numpy(), engine.encode(IMAGES), atol=1e-6)


@pytest.mark.parametrize("name", ["drsae", "lista", "conv-group"])
def test_it_compiles(tmp_path: Path, name: str) -> None:
    path, engine = published(tmp_path, small_recipe(name))
    compiled = torch.compile(load(path), backend="aot_eager")
    with torch.no_grad():
        np.testing.assert_allclose(compiled(torch.tensor(IMAGES)).numpy(), engine.encode(IMAGES), atol=1e-5)


def test_it_loads_no_server_queue_or_store(tmp_path: Path) -> None:
    path, _ = published(tmp_path, small_recipe("tree"))
    code = f"import sys, worker.sparse; worker.sparse.load({str(path)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = {name.split(".")[0] for name in done.stdout.split()}
    assert "torch" in names
    assert not names & {"celery", "kombu", "redis", "fastapi", "app", "onnx"}


def test_images_of_another_shape_are_refused_with_both(tmp_path: Path) -> None:
    module = load(published(tmp_path, small_recipe("drsae"))[0])
    with pytest.raises(ValueError, match=r"\(8, 5, 1\); the model takes \(8, 6, 1\)"):
        module(torch.zeros(1, 8, 5, 1))
    with pytest.raises(ValueError, match=r"int64 \(1, 8, 6, 1\); uint8 or floats"):
        module(torch.zeros(1, 8, 6, 1, dtype=torch.int64))


Change = Callable[[dict[str, str], dict[str, torch.Tensor]], None]


def spec_with(field: str, value: object) -> Change:
    def change(metadata: dict[str, str], tensors: dict[str, torch.Tensor]) -> None:
        spec = json.loads(metadata["spec"])
        spec["model"]["connection"][field] = value
        metadata["spec"] = json.dumps(spec)

    return change


BROKEN: dict[str, tuple[Change, str]] = {
    "a foreign file": (lambda metadata, _: metadata.clear(), "has the format None; 'pinwheel/1' is allowed"),
    "no spec": (lambda metadata, _: metadata.__delitem__("spec"), "no 'spec' in its metadata"),
    "no json": (lambda metadata, _: metadata.update(spec="{"), "a spec that is not valid"),
    "an unknown field": (spec_with("colour", 1), "a spec that is not valid: .*connection/dense/colour"),
    "other units": (spec_with("units", 17), r"dictionary has the shape \[48, 16\]; the spec makes it \[48, 17\]"),
    "no shape": (lambda metadata, _: metadata.update(input_shape="[8, 6]"), r"input_shape '\[8, 6\]'; three whole"),
    "a missing tensor": (lambda _, tensors: tensors.__delitem__("layers.0.bias"), "layers.0.bias is missing"),
    "no dictionary": (lambda _, tensors: tensors.__delitem__("layers.0.dictionary"), "dictionary is missing"),
    "a cut tensor": (
        lambda _, tensors: tensors.update({"layers.0.encoder": tensors["layers.0.encoder"][:9].contiguous()}),
        r"layers.0.encoder has the shape \[9, 48\]; the spec makes it \[16, 48\]",
    ),
    "no numbers": (lambda _, tensors: tensors["layers.0.bias"].fill_(torch.nan), "layers.0.bias has values that are"),
    "no classifier": (lambda _, tensors: tensors.__delitem__("classifier"), "the tensor classifier is missing"),
    "another classifier": (
        lambda _, tensors: tensors.update({"classifier": torch.zeros(2, 15)}),
        r"classifier has the shape \[2, 15\]; the spec makes it \[classes, 16\]",
    ),
    "other numbers": (
        lambda _, tensors: tensors.update({"layers.0.bias": tensors["layers.0.bias"].double()}),
        "layers.0.bias is float64; float32 is allowed",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_altered_file_is_refused_by_both_readers(tmp_path: Path, name: str) -> None:
    path, _ = published(tmp_path, small_recipe("drsae"))
    with safe_open(path, "pt") as file:
        metadata, tensors = dict(file.metadata()), {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    change, wanted = BROKEN[name]
    change(metadata, tensors)
    save_file(tensors, path, metadata)
    for read in (load, Weights.load, read_model):
        with pytest.raises(ValueError, match=wanted):
            read(path)


def test_a_torn_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    path, _ = published(tmp_path, small_recipe("drsae"))
    content = path.read_bytes()
    for length in (0, 7, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        for read in (load, Weights.load):
            with pytest.raises(ValueError, match=r"weights\.safetensors cannot be read"):
                read(path)
    path.unlink()
    for read in (load, Weights.load):
        with pytest.raises(FileNotFoundError):
            read(path)
