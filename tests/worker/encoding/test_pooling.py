"""Features of patches and of places, pooled: against loops in double precision."""

from typing import Any

import numpy as np
import pytest
import torch
from training_cases import small_recipe

from pinwheel.specs.jobs import Pool
from worker.data.preprocess import Preprocessor
from worker.data.reader import VariedImages
from worker.encoding.engine import Engine
from worker.encoding.pooling import Pooling
from worker.training.build import fresh_model

PATCH, UNITS, PASSES = 6, 20, 3
CONV = {"kind": "conv", "units": 4, "kernel_size": 3}
RELU = {"kind": "feedforward", "activation": "relu"}
POOLS: list[Pool] = ["mean", "max", "l2"]


def by_hand(values: np.ndarray, pool: str) -> np.ndarray:
    """(n, …, units) → (n, units)"""
    flat = values.astype(np.float64).reshape(len(values), -1, values.shape[-1])
    if pool == "l2":
        return np.asarray(np.sqrt((flat**2).sum(1)))
    return np.asarray(flat.max(1) if pool == "max" else flat.mean(1))


def engine_of(model: dict[str, Any], channels: int = 1, recipe: str = "drsae") -> Engine:
    preprocessing = {"patch_size": PATCH, "patches_per_image": 50, "scale": "standard", "whiten": "none"}
    spec = small_recipe(recipe, model=model, preprocessing=preprocessing, training={"input_dropout": 0.0})
    examples = torch.rand(50, PATCH * PATCH * channels, generator=torch.Generator().manual_seed(0)) - 0.5
    shape = (PATCH, PATCH, channels)
    return Engine(fresh_model(spec.model, examples, 2, 0, shape), spec, Preprocessor(spec.preprocessing, shape))


def dense() -> Engine:
    return engine_of({"connection": {"units": UNITS}, "encoder": {"passes": PASSES}, "classifier": {"kind": "none"}})


def conv() -> Engine:
    return engine_of({"connection": CONV, "encoder": RELU, "sparsity": {"kind": "l1"}}, recipe="sparse-coding")


def images(count: int = 3, height: int = 15, width: int = 11) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 1), dtype=np.uint8)


def cut(image: np.ndarray, stride: int) -> tuple[np.ndarray, int]:
    """(patches, 6, 6, 1) and how many there are in a row, with loops; the last ones end at the border."""
    tops, lefts = ([*range(0, length - PATCH, stride), length - PATCH] for length in image.shape[:2])
    return np.stack([image[top : top + PATCH, left : left + PATCH] for top in tops for left in lefts]), len(lefts)


def reference(engine: Engine, patches: np.ndarray) -> np.ndarray:
    """The codes of a recurrent encoder, from its tensors, in double precision: (patches, units)."""
    x = patches.reshape(len(patches), -1).astype(np.float64) / 255
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    encoder = engine.model.layer(0).recurrent
    assert encoder is not None
    rows, away, bias = (t.detach().double().numpy() for t in (encoder.encoder, encoder.matrix(), encoder.bias))
    drive = x @ rows.T - bias
    code = np.maximum(0, drive)
    for _ in range(PASSES - 1):
        code = np.maximum(0, drive + code @ away.T)
    return np.asarray(code)


@pytest.mark.parametrize("stride", [1, 4, 6])
def test_patches_are_cut_at_the_stride_encoded_alone_and_pooled(stride: int) -> None:
    engine, several = dense(), images()
    codes = np.stack([reference(engine, cut(image, stride)[0]) for image in several])
    assert (codes > 0).any()
    kept = engine.encode(several, pool="none", stride=stride)
    assert engine.columns(several, None, "none", stride) == kept.shape[1] == codes.shape[1] * UNITS
    np.testing.assert_allclose(kept.reshape(codes.shape), codes, atol=1e-5)
    for pool in POOLS:
        found = engine.encode(several, pool=pool, stride=stride)
        np.testing.assert_allclose(found, by_hand(codes, pool), atol=1e-5, rtol=1e-5)
        assert engine.columns(several, None, pool, stride) == UNITS


def test_without_a_pool_patches_side_by_side_are_averaged() -> None:
    engine, several = dense(), images()
    codes = np.stack([reference(engine, cut(image, PATCH)[0]) for image in several])
    np.testing.assert_allclose(engine.encode(several), codes.mean(1), atol=1e-5)


@pytest.mark.parametrize("pool", POOLS)
def test_the_places_of_a_convolution_are_pooled_with_the_patches(pool: Pool) -> None:
    engine, several = conv(), images(height=8, width=6)
    places = engine.encode(np.concatenate([cut(image, 2)[0] for image in several]), pool="none")
    side = PATCH - 2  # of the code of a patch
    assert places.shape == (3 * 2, side * side * 4)
    of_images = places.reshape(3, 2 * side * side, 4)
    found = engine.encode(several, pool=pool, stride=2)
    np.testing.assert_allclose(found, by_hand(of_images, pool), atol=1e-5, rtol=1e-5)
    # without a pool places stay
    np.testing.assert_allclose(engine.encode(several, stride=2), places.reshape(3, 2, -1).mean(1), atol=1e-5)


@pytest.mark.parametrize("pool", [None, "none", *POOLS])
def test_a_small_chunk_gives_the_same(pool: Pool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, several = dense(), images(5)
    together = engine.encode(several, pool=pool, stride=3)
    monkeypatch.setattr(engine, "chunk", 7)
    np.testing.assert_allclose(engine.encode(several, pool=pool, stride=3), together, atol=1e-6)
    for row in range(5):
        alone = engine.encode(several[row : row + 1], pool=pool, stride=3)
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


def test_images_of_several_sizes_are_pooled_and_refused_where_nothing_is() -> None:
    engine = dense()
    varied = VariedImages.of([images(1, 15, 11)[0], images(1, 9, 20)[0]])
    for pool in (None, *POOLS):
        found = engine.encode(varied, pool=pool, stride=2)
        for row in range(2):
            np.testing.assert_allclose(found[row], engine.encode(varied[row][None], pool=pool, stride=2)[0], atol=1e-6)
    for ask in (engine.encode, lambda given, pool: engine.columns(given, None, pool, None)):
        with pytest.raises(ValueError, match="image 1 is 9 × 20 and image 0 15 × 11; with pool 'none'"):
            ask(varied, pool="none")  # type: ignore[operator]


def test_a_stride_that_a_model_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="stride is 7; 1 to 6 is allowed"):
        dense().encode(images(), stride=7)
    with pytest.raises(ValueError, match="stride is 0; 1 to 6"):
        dense().encode(images(), stride=0)


def test_pools_of_signed_codes() -> None:
    codes = torch.tensor([[-3.0, 1.0], [-1.0, -2.0], [-5.0, 0.0], [4.0, -4.0]])
    expected = {"mean": [[-2, -0.5], [-0.5, -2]], "max": [[-1, 1], [4, 0]], "l2": [[10**0.5, 5**0.5], [41**0.5, 4]]}
    for pool, wanted in expected.items():
        pooling = Pooling(pool, 2, 2, 2, 1, torch.device("cpu"))  # type: ignore[arg-type]
        pooling.add(0, codes[:3])
        pooling.add(3, codes[3:])
        torch.testing.assert_close(pooling.result(), torch.tensor(wanted, dtype=torch.float32))
