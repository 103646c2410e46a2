"""Models trained on patches, loaded: larger images are cut, pooled and put together again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from training_cases import small_spec

from pinwheel.specs import TrainSpec, merge
from worker.data.preprocess import Preprocessor
from worker.data.reader import Dataset, VariedImages, of_images
from worker.data.store import write_dataset
from worker.encoding.engine import Engine
from worker.training.build import fresh_model, model_from
from worker.training.loop import Loop
from worker.training.plan import Plan

SIDES = [(20, 31), (17, 12), (40, 9), (9, 12)]


def photographs(channels: int = 3) -> Dataset:
    generator = np.random.default_rng(0)
    return of_images(
        VariedImages.of([generator.integers(0, 256, (*side, channels), dtype=np.uint8) for side in SIDES]),
        np.arange(4) % 2,
    )


def patch_spec(classifier: str = "none", **preprocessing: object) -> TrainSpec:
    given = {"patch_size": 6, "patches_per_image": 60, "scale": "standard", **preprocessing}
    model: dict[str, object] = {"connection": {"units": 20}, "classifier": {"kind": classifier}}
    training = {"epochs": 2, "previews": 0, "input_dropout": 0.0}
    return small_spec(preprocessing=given, model=model, training=training)


def engine_of(spec: TrainSpec) -> Engine:
    """An engine with a fresh model: what it answers is no good, and the same every time."""
    preprocessor = Preprocessor.fitted(spec.preprocessing, photographs())
    size = preprocessor.input_shape[0] * preprocessor.input_shape[1] * preprocessor.input_shape[2]
    examples = torch.rand(50, size, generator=torch.Generator().manual_seed(0)) - 0.5
    return Engine(fresh_model(spec.model, examples, 2, 0), spec, preprocessor)


WHITENINGS = [{"whiten": "none"}, {"whiten": "zca"}, {"whiten": "lcn", "lcn_sigma": 1.5}]


def test_a_patch_gives_the_code_of_its_model() -> None:
    engine = engine_of(patch_spec())
    patches = np.stack([photographs().images[row][2:8, 1:7] for row in range(4)])
    x = engine.preprocessor.inputs(patches).x
    with torch.inference_mode():
        np.testing.assert_array_equal(engine.encode(patches), engine.model.encode(x).numpy())


def test_a_larger_image_gives_the_mean_over_its_patches() -> None:
    engine = engine_of(patch_spec("softmax"))
    image = photographs().images[2][None]  # 40 × 9
    tops, lefts = [0, 6, 12, 18, 24, 30, 34], [0, 3]
    patches = np.stack([image[0, top : top + 6, left : left + 6] for top in tops for left in lefts])
    np.testing.assert_allclose(engine.encode(image)[0], engine.encode(patches).mean(0), atol=1e-6)
    np.testing.assert_allclose(engine.classify(image)[0], engine.classify(patches).mean(0), atol=1e-6)
    np.testing.assert_allclose(engine.classify(image).sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("given", WHITENINGS)
@pytest.mark.parametrize("color", ["keep", "gray"])
def test_an_image_alone_gives_what_it_gives_among_others(given: dict[str, object], color: str) -> None:
    engine = engine_of(patch_spec(color=color, **given))
    images = np.random.default_rng(1).integers(0, 256, (9, 15, 8, 3), dtype=np.uint8)
    together = engine.encode(images), *engine.reconstruct(images)
    engine.chunk = 5  # less than the patches of one image
    for row in (0, 8):
        alone = engine.encode(images[row : row + 1]), *engine.reconstruct(images[row : row + 1])
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_[row], atol=2e-5)


def test_images_of_different_sizes_are_encoded_one_after_the_other() -> None:
    engine = engine_of(patch_spec(whiten="lcn"))
    images = photographs().images
    assert isinstance(images, VariedImages)
    found = engine.encode(images)
    assert found.shape == (4, 20)
    for row in range(4):
        np.testing.assert_array_equal(found[row], engine.encode(images[row][None])[0])
    np.testing.assert_array_equal(engine.encode(images[1:3]), found[1:3])


@pytest.mark.parametrize("given", WHITENINGS)
@pytest.mark.parametrize("scale", ["none", "unit-norm", "standard"])
def test_a_model_that_keeps_everything_rebuilds_every_image(given: dict[str, object], scale: str) -> None:
    """A linear encoder and a dictionary that are both the identity: nothing is lost in the code."""
    model = {"connection": {"units": 108}, "encoder": {"kind": "feedforward", "activation": "linear", "gain": False}}
    spec = TrainSpec.model_validate(merge(patch_spec(scale=scale, **given).model_dump(mode="json"), {"model": model}))
    tensors = {"dictionary": torch.eye(108), "encoder": torch.eye(108)}
    identity = model_from(spec.model, tensors | {"bias": torch.zeros(108)}, (6, 6, 3))
    engine = Engine(identity, spec, Preprocessor.fitted(spec.preprocessing, photographs()))
    for row in range(4):
        image = photographs().images[row][None]
        rebuilt, unexplained = engine.reconstruct(image)
        np.testing.assert_allclose(rebuilt, image.astype(np.float32) / 255, atol=3e-4)
        assert unexplained[0] < 1e-5


def test_a_gray_model_takes_colour_and_gray() -> None:
    engine = engine_of(patch_spec(color="gray"))
    assert engine.input_shape == (6, 6, 1)
    colour = photographs().images[0][None].astype(np.float32) / 255
    gray = (colour @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    np.testing.assert_allclose(engine.encode(colour), engine.encode(gray), atol=1e-5)
    assert engine.reconstruct(colour)[0].shape == (1, 20, 31, 1)


def test_what_does_not_fit_is_refused_with_both_sides() -> None:
    engine = engine_of(patch_spec())
    with pytest.raises(ValueError, match=r"\(5, 9, 3\); the model takes \(6, 6, 3\) and larger"):
        engine.encode(np.zeros((1, 5, 9, 3), np.uint8))
    with pytest.raises(ValueError, match=r"\(9, 9, 1\); the model takes \(6, 6, 3\) and larger"):
        engine.encode(np.zeros((1, 9, 9, 1), np.uint8))
    with pytest.raises(ValueError, match="4 channels; color 'gray' takes 1 or 3"):
        engine_of(patch_spec(color="gray")).encode(np.zeros((1, 9, 9, 4), np.uint8))


@pytest.mark.parametrize("given", WHITENINGS)
def test_a_trained_model_of_patches_is_loaded_with_its_preprocessing(tmp_path: Path, given: dict[str, object]) -> None:
    write_dataset(photographs(), tmp_path / "data")
    plan = Plan(spec=patch_spec(**given), dataset=tmp_path / "data", out=tmp_path / "job", threads=1, split=0.25)
    loop = Loop(plan, lambda _: None, lambda: None)
    last = loop.run()
    assert last["step"] == 2 * -(-180 // 32)
    engine = Engine.load(plan.out / last["bundle"])
    assert engine.input_shape == (6, 6, 3)
    patches = np.stack([photographs().images[row][2:8, 1:7] for row in range(4)])
    x = loop.parts.preprocessor.inputs(patches).x
    with torch.inference_mode():
        np.testing.assert_allclose(engine.encode(patches), loop.stage.model.encode(x).numpy(), atol=1e-6)
    assert 0 <= engine.reconstruct(photographs().images[0][None])[1][0] < 1.5
