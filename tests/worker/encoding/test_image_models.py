"""Models of filters on images, loaded: codes and pools laid out over the image, larger images cut into inputs."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from training_cases import MakePlan, small_recipe, stripes

from pinwheel.specs import TrainSpec
from worker.data.preprocess import Preprocessor
from worker.encoding.engine import Engine
from worker.training.build import fresh_model, model_from
from worker.training.loop import Loop

CONV = {"kind": "conv", "units": 4, "kernel_size": 3}
LOCAL = {"kind": "local", "field_size": 3, "tile": 2, "units_per_position": 4}
RELU = {"kind": "feedforward", "activation": "relu"}
MAPS: dict[str, Any] = {"kind": "pools", "layout": "maps", "size": 2, "window": 3, "window_stride": 2}
SHEET: dict[str, Any] = {"kind": "pools", "layout": "sheet", "size": 3, "stride": 2}
# name: model, and its code of an image of 8 × 6 laid out
MODELS: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "conv": ({"connection": CONV, "encoder": RELU, "sparsity": MAPS}, (6, 4, 4)),
    "local": ({"connection": LOCAL, "encoder": RELU, "sparsity": SHEET}, (12, 8, 1)),
}
Floats = NDArray[np.floating]


def spec_of(model: dict[str, Any], **preprocessing: object) -> TrainSpec:
    return small_recipe("sparse-coding", model=model, preprocessing=preprocessing)


def engine_of(spec: TrainSpec, shape: tuple[int, int, int]) -> Engine:
    """An engine with a fresh model for inputs of this shape."""
    examples = torch.rand(50, math.prod(shape), generator=torch.Generator().manual_seed(0))
    return Engine(fresh_model(spec.model, examples, 2, 0, shape), spec, Preprocessor(spec.preprocessing, shape))


def pools_of(code: Floats, name: str) -> Floats:
    """(n, pools) √Σ z² over every window, with loops: of 2 maps on 3 × 3 places, or of 3 × 3 units on the sheet."""
    rows, columns, maps = MODELS[name][1]
    code = code.reshape(-1, rows, columns, maps)
    found = []
    for top in range(0, rows - 1, 2):
        for left in range(0, columns - 1, 2):
            for first in range(0, maps, 2):
                part = code[:, top : top + 3, left : left + 3, first : first + 2]
                found.append(np.sqrt((part**2).sum((1, 2, 3))))
    return np.stack(found, 1)


@pytest.mark.parametrize("name", MODELS)
def test_features_are_the_code_or_its_pools(name: str) -> None:
    model, shape = MODELS[name]
    images = np.asarray(stripes(20, seed=3).images)
    code_engine, pooled_engine = (
        engine_of(spec_of({**model, "output": each}), (8, 6, 1)) for each in ("code", "pooled")
    )
    code, pooled = code_engine.encode(images), pooled_engine.encode(images)
    assert code.shape == (20, math.prod(shape)) == (20, code_engine.num_features())
    expected = pools_of(code, name)
    assert pooled.shape == expected.shape == (20, pooled_engine.num_features())
    assert code_engine.units == pooled_engine.units == math.prod(shape)
    np.testing.assert_allclose(pooled, expected, rtol=1e-4, atol=1e-6)
    assert (code == 0).any()
    assert (pooled > 0).any()


@pytest.mark.parametrize("output", ["code", "pooled"])
@pytest.mark.parametrize("name", MODELS)
def test_a_trained_model_is_loaded_with_its_codes(make_plan: MakePlan, name: str, output: str) -> None:
    given = {**MODELS[name][0], "output": output, "classifier": {"kind": "softmax"}}
    loop = Loop(
        make_plan(small_recipe("sparse-coding", model=given, training={"epochs": 1})), lambda _: None, lambda: None
    )
    engine = Engine.load(loop.plan.out / loop.run()["bundle"])
    images = np.asarray(stripes(50, seed=9).images)
    model = loop.stage.model
    with torch.no_grad():
        code = model.encode(loop.parts.preprocessor.inputs(images).x)
        features = model.features(code)
        assert model.classifier is not None
        classes = model.classifier.logits(features).softmax(1)
    np.testing.assert_allclose(engine.encode(images), features.numpy(), atol=1e-6)
    np.testing.assert_allclose(engine.classify(images), classes.numpy(), atol=1e-6)
    rebuilt, unexplained = engine.reconstruct(images)
    assert rebuilt.shape == images.shape
    assert np.isfinite(unexplained).all()


@pytest.mark.parametrize("output", ["code", "pooled"])
@pytest.mark.parametrize("name", MODELS)
def test_a_larger_image_gives_the_mean_over_its_patches(name: str, output: str) -> None:
    """As for a dense model: the grid of patches covers the image, the last of a row ends at its border."""
    engine = engine_of(spec_of({**MODELS[name][0], "output": output}, patch_size=6), (6, 6, 1))
    image = np.random.default_rng(0).integers(0, 256, (1, 15, 9, 1), dtype=np.uint8)
    patches = np.stack([image[0, top : top + 6, left : left + 6] for top in (0, 6, 9) for left in (0, 3)])
    np.testing.assert_allclose(engine.encode(image)[0], engine.encode(patches).mean(0), atol=1e-6)
    assert engine.encode(image).shape == (1, engine.num_features())
    assert engine.reconstruct(image)[0].shape == image.shape


@pytest.mark.parametrize("name", MODELS)
def test_an_image_alone_gives_what_it_gives_in_a_batch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(spec_of({**MODELS[name][0], "output": "pooled"}), (8, 6, 1))
    images = np.asarray(stripes(9, seed=2).images)
    together = engine.encode(images), *engine.reconstruct(images)
    monkeypatch.setattr(engine, "chunk", 4)
    for row in (0, 8):
        alone = engine.encode(images[row : row + 1]), *engine.reconstruct(images[row : row + 1])
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_[row], atol=1e-6)


# What leaves out nothing: a pixel and channel for each kernel; the pixels of a block for each position.
IDENTITIES: dict[str, tuple[dict[str, Any], torch.Tensor]] = {
    "conv": ({"kind": "conv", "units": 3, "kernel_size": 1}, torch.eye(3).view(3, 3, 1, 1)),
    "local": (
        {"kind": "local", "field_size": 2, "field_stride": 2, "units_per_position": 4},
        torch.eye(4).view(2, 2, 1, 2, 2).repeat(3, 3, 1, 1, 1).view(36, 1, 2, 2),
    ),
}


@pytest.mark.parametrize("whiten", ["none", "lcn"])
@pytest.mark.parametrize("name", IDENTITIES)
def test_a_model_that_keeps_everything_rebuilds_every_image(name: str, whiten: str) -> None:
    connection, filters = IDENTITIES[name]
    channels = 3 if name == "conv" else 1
    linear = {"kind": "feedforward", "activation": "linear", "gain": False}
    given: dict[str, object] = {"patch_size": 6, "scale": "standard", "whiten": whiten}
    spec = spec_of({"connection": connection, "encoder": linear}, **given)
    tensors = {"dictionary": filters, "encoder": filters, "bias": torch.zeros(len(filters))}
    model = model_from(spec.model, tensors, (6, 6, channels))
    engine = Engine(model, spec, Preprocessor(spec.preprocessing, (6, 6, channels)))
    images = np.random.default_rng(1).integers(0, 256, (2, 20, 13, channels), dtype=np.uint8)
    rebuilt, unexplained = engine.reconstruct(images)
    np.testing.assert_allclose(rebuilt, images.astype(np.float32) / 255, atol=3e-4)
    assert (unexplained < 1e-5).all()


def test_more_passes_give_another_code_and_the_trained_number_the_same() -> None:
    lista = {"kind": "recurrent", "passes": 3, "start": "ista", "sign": "signed"}
    for connection in (CONV, LOCAL):
        spec = spec_of({"connection": connection, "encoder": lista, "sparsity": {"kind": "l1", "weight": 0.02}})
        engine, images = engine_of(spec, (8, 6, 1)), stripes(5).images
        np.testing.assert_array_equal(engine.encode(images, passes=3), engine.encode(images))
        assert not np.allclose(engine.encode(images, passes=1), engine.encode(images))
        assert np.isfinite(engine.encode(images, passes=200)).all()


def test_a_gray_model_takes_colour_and_weights_of_another_image_are_refused() -> None:
    spec = spec_of(MODELS["conv"][0], color="gray", patch_size=6)
    engine = engine_of(spec, (6, 6, 1))
    assert engine.encode(np.zeros((2, 9, 7, 3), np.uint8)).shape == (2, 4 * 4 * 4)
    with pytest.raises(ValueError, match=r"\(5, 6, 1\); the model takes \(6, 6, 1\) and larger"):
        engine.encode(np.zeros((1, 5, 6, 1), np.uint8))
    tensors = parts_of(engine)
    with pytest.raises(ValueError, match="need 16"):
        model_from(spec_of(MODELS["local"][0]).model, tensors, (6, 6, 1))


def parts_of(engine: Engine) -> dict[str, torch.Tensor]:
    encoder: Any = engine.model.layer().encoder
    dictionary = engine.model.layer().connection.dictionary.detach()
    return {"dictionary": dictionary, "encoder": encoder.encoder, "bias": encoder.bias, "gain": encoder.gain}
