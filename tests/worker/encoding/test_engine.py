"""A published model, loaded: what it answers and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from training_cases import MakePlan, small_spec, stripes

from pinwheel.selection import select
from worker.data.preprocess import Preprocessor, as_inputs, scaled
from worker.encoding.engine import Engine
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.stack import largest
from worker.training.build import fresh_model
from worker.training.loop import Loop


@pytest.fixture
def trained(make_plan: MakePlan) -> tuple[Autoencoder, Engine]:
    """A model as its training left it, and as it is loaded from its bundle."""
    loop = Loop(make_plan({"training": {"previews": 0}}), lambda _: None, lambda: None)
    last = loop.run()
    return loop.stage.model, Engine.load(loop.plan.out / last["bundle"])


@pytest.fixture
def engine(trained: tuple[Autoencoder, Engine]) -> Engine:
    return trained[1]


def test_a_loaded_model_gives_the_codes_of_the_trained_one(trained: tuple[Autoencoder, Engine]) -> None:
    model, engine = trained
    images = stripes(50, seed=9).images
    x = scaled(as_inputs(images), "unit-norm").x
    energy = model.energy(x, torch.zeros(50, dtype=torch.int64))
    assert energy.logits is not None
    np.testing.assert_allclose(engine.encode(images), energy.code.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(engine.classify(images), energy.logits.detach().softmax(1).numpy(), atol=1e-6)
    assert (engine.units, engine.classes, engine.input_shape) == (16, 2, (8, 6, 1))
    assert engine.spec.model.connection.units == 16


def test_an_image_alone_gives_what_it_gives_in_a_batch(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    images = stripes(40, seed=2).images
    together = (engine.encode(images), *engine.reconstruct(images), engine.classify(images))
    monkeypatch.setattr(engine, "chunk", 7)
    for i in (0, 13, 39):
        one = images[i : i + 1]
        alone = (engine.encode(one), *engine.reconstruct(one), engine.classify(one))
        for batch, single in zip(together, alone, strict=True):
            np.testing.assert_allclose(single[0], batch[i], atol=1e-6)
    np.testing.assert_allclose(engine.encode(images), together[0], atol=1e-6)


def test_reconstructions_are_in_the_scale_of_the_images(engine: Engine) -> None:
    images = stripes(30, seed=3).images
    rebuilt, unexplained = engine.reconstruct(images)
    assert rebuilt.shape == (30, 8, 6, 1)
    assert unexplained.shape == (30,)
    originals = images.astype(np.float32) / 255
    deviations = originals - originals.mean((1, 2, 3), keepdims=True)
    error = ((originals - rebuilt) ** 2).sum((1, 2, 3)) / (deviations**2).sum((1, 2, 3))
    np.testing.assert_allclose(unexplained, error, rtol=1e-3)
    assert 0 < unexplained.mean() < 1
    from_floats, _ = engine.reconstruct(originals)
    np.testing.assert_allclose(from_floats, rebuilt, atol=1e-6)


def test_a_reconstruction_from_the_largest_of_a_code_is_that_part_of_the_dictionary(
    trained: tuple[Autoencoder, Engine],
) -> None:
    model, engine = trained
    images = stripes(20, seed=4).images
    code = engine.encode(images)
    dictionary = model.connection.dictionary.detach().numpy()
    norms = np.linalg.norm(images.reshape(20, -1) / 255.0, axis=1, keepdims=True)
    for k in (1, 3):
        expected = select(code, k).astype(np.float64) @ dictionary.T * norms
        found, _ = engine.reconstruct(images, topk=k)
        np.testing.assert_allclose(found.reshape(20, -1), expected, atol=1e-5)
    whole = engine.reconstruct(images)
    for k in (16, 99):
        for some, all_of_it in zip(engine.reconstruct(images, topk=k), whole, strict=True):
            np.testing.assert_array_equal(some, all_of_it)


def test_of_equal_numbers_of_a_code_the_first_is_kept() -> None:
    code = torch.tensor([[1.0, -2.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert largest(code, 1).tolist() == [[0.0, -2.0, 0.0, 0.0], [0.0] * 4]
    assert largest(code, 2).tolist() == [[0.0, -2.0, 2.0, 0.0], [0.0] * 4]


def test_probabilities_sum_to_one(engine: Engine) -> None:
    np.testing.assert_allclose(engine.classify(stripes(9).images).sum(1), 1, atol=1e-6)


def test_an_image_of_zeros_has_a_code_of_zeros_or_nearly_and_is_rebuilt(engine: Engine) -> None:
    black = np.zeros((2, 8, 6, 1), np.uint8)
    rebuilt, unexplained = engine.reconstruct(black)
    assert np.isfinite(engine.classify(black)).all()
    assert not rebuilt.any()
    assert not unexplained.any()


def test_more_passes_give_another_code_and_the_trained_number_the_same(engine: Engine) -> None:
    images = stripes(5).images
    np.testing.assert_array_equal(engine.encode(images, passes=4), engine.encode(images))
    assert not np.allclose(engine.encode(images, passes=1), engine.encode(images))
    assert np.isfinite(engine.encode(images, passes=200)).all()


def test_no_images_give_no_features(engine: Engine) -> None:
    assert engine.encode(np.zeros((0, 8, 6, 1), np.uint8)).shape == (0, 16)


def test_what_the_model_cannot_take_is_refused_with_both_sides(engine: Engine) -> None:
    with pytest.raises(ValueError, match=r"\(8, 5, 1\); the model takes \(8, 6, 1\)"):
        engine.encode(np.zeros((1, 8, 5, 1), np.uint8))
    with pytest.raises(ValueError, match=r"int64; uint8 and float32 are allowed"):
        engine.encode(np.zeros((1, 8, 6, 1), np.int64))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="not finite"):
            engine.reconstruct(np.full((1, 8, 6, 1), bad, np.float32))
    for passes in (0, 201):
        with pytest.raises(ValueError, match=f"passes is {passes}; 1 to 200"):
            engine.classify(stripes(1).images, passes)


def test_a_model_without_a_classifier_does_not_classify() -> None:
    spec = small_spec(model={"classifier": {"kind": "none"}})
    preprocessor = Preprocessor(spec.preprocessing, (8, 6, 1))
    engine = Engine(fresh_model(spec.model, torch.rand(4, 48), None, 0), spec, preprocessor)
    assert engine.classes is None
    with pytest.raises(ValueError, match="no classifier"):
        engine.classify(stripes(1).images)


def test_a_missing_or_broken_bundle_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Engine.load(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"broken")
    with pytest.raises(ValueError, match="cannot be read"):
        Engine.load(tmp_path)
