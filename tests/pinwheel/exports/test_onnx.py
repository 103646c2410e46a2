"""ONNX files against torch: every recipe, every combination of parts, every preprocessing, in onnxruntime.

Equal within 1e-5, as a share of the largest feature where that is above 1.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from model_parts import valid, valid_on_images
from numpy.typing import NDArray
from onnx_cases import difference, exported, of_model, published, ran
from stack_cases import DENSE, FIRST, LABELS, SECOND, stack
from training_cases import SMALL_RECIPES, merge, small_recipe, spec_of, stripes

from pinwheel.exports.encoder import onnx_bytes
from pinwheel.exports.weights import Weights
from pinwheel.recipes import RECIPES
from pinwheel.specs import ANY_SPEC, Exact, Model, Solver, TrainSpec
from worker.data.reader import from_arrays

ALL = {name: model for name, model in {**valid(), **valid_on_images()}.items() if not name.count("softmax")}
IMAGES = np.asarray(stripes(24, seed=9).images)


def photographs(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    """Images (n, H, W, C) with an even part and an edge."""
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    images[0] = 77
    images[1, : shape[1] // 2] = 200
    return images


@pytest.mark.parametrize("name", SMALL_RECIPES)
def test_every_recipe_encodes_as_in_torch(tmp_path: Path, name: str) -> None:
    path, engine = published(tmp_path, small_recipe(name))
    expected = engine.encode(IMAGES)
    assert difference(ran(exported(path, pixels="uint8"), IMAGES), expected) < 1e-5
    floats = IMAGES.astype(np.float32) / 255
    assert difference(ran(exported(path), floats), expected) < 1e-5
    assert expected.any()


def test_the_recipes_are_all_there_is_but_for_the_stack() -> None:
    assert set(RECIPES) - set(SMALL_RECIPES) == {"stacked"}


@pytest.mark.parametrize("part", range(8))
def test_every_combination_of_parts_encodes_as_in_torch(tmp_path: Path, part: int) -> None:
    wrong = {}
    for number, (name, model) in enumerate(list(ALL.items())[part::8]):
        path, engine = published(tmp_path / str(number), of_model(model))
        found = difference(ran(exported(path, pixels="uint8"), IMAGES), engine.encode(IMAGES))
        if not found < 1e-5:
            wrong[name] = found
    assert wrong == {}


WHITENINGS: list[dict[str, Any]] = [
    {"whiten": "zca"},
    {"whiten": "lcn", "lcn_sigma": 1.5},
    {"whiten": "lcn", "lcn_sigma": 6.0},
    {"whiten": "fourier", "cutoff": 0.3, "lcn_sigma": 2.0},
]


@pytest.mark.parametrize("scale", ["none", "unit-norm", "standard"])
@pytest.mark.parametrize("whiten", WHITENINGS)
def test_preprocessing_is_in_the_file_and_patches_of_images_of_any_size(
    tmp_path: Path, whiten: dict[str, Any], scale: str
) -> None:
    data = from_arrays(photographs((8, 15, 11, 3)), np.arange(8) % 2)
    given = {"patch_size": 6, "patches_per_image": 60, "scale": scale, **whiten}
    spec = spec_of("drsae", {"preprocessing": given, "model": {"connection": {"units": 20}}})
    path, engine = published(tmp_path, spec, data)
    runtime = exported(path, pixels="uint8")
    for shape in [(4, 6, 6, 3), (3, 17, 9, 3), (2, 6, 40, 3), (5, 12, 18, 3)]:
        images = photographs(shape, 3)
        assert difference(ran(runtime, images), engine.encode(images)) < 1e-5, shape
    with pytest.raises(Exception, match=r"index|indices"):
        ran(runtime, photographs((2, 5, 9, 3)))
    with pytest.raises(Exception, match="dimension"):
        ran(runtime, photographs((2, 9, 9, 1)))


def test_whole_images_of_one_row_are_normalised(tmp_path: Path) -> None:
    images = photographs((9, 1, 12, 1))
    spec = spec_of("sparse-coding", {"preprocessing": {"patch_size": None, "patches_per_image": None}})
    spec = TrainSpec.model_validate(merge(spec.model_dump(), {"preprocessing": {"whiten": "fourier", "scale": "none"}}))
    path, engine = published(tmp_path, spec, from_arrays(images, np.arange(9) % 2))
    assert difference(ran(exported(path, pixels="uint8"), images), engine.encode(images)) < 1e-5


def test_a_gray_model_takes_colour_and_gray(tmp_path: Path) -> None:
    data = from_arrays(photographs((8, 9, 9, 3)), np.arange(8) % 2)
    spec = spec_of("psd", {"preprocessing": {"color": "gray", "patch_size": 5, "whiten": "lcn"}})
    path, engine = published(tmp_path, spec, data)
    runtime = exported(path, pixels="uint8")
    for channels in (1, 3):
        images = photographs((4, 9, 13, channels), 5)
        assert difference(ran(runtime, images), engine.encode(images)) < 1e-5
    with pytest.raises(Exception, match=r"index|indices"):
        ran(runtime, photographs((2, 9, 9, 4)))


def test_every_layer_of_a_stack(tmp_path: Path) -> None:
    path, engine = published(tmp_path, stack(FIRST, SECOND, DENSE, LABELS))
    for layer in (None, 0, 1, 2):
        found = ran(exported(path, layer=layer, pixels="uint8"), IMAGES)
        assert difference(found, engine.encode(IMAGES, layer=layer)) < 1e-5
    with pytest.raises(ValueError, match="layer is 3; this model has 3, 0 to 2"):
        exported(path, layer=3)


def test_batches_of_any_size_even_none(tmp_path: Path) -> None:
    for name in ("drsae", "sparse-coding", "inhibition", "tree", "conv-group", "local"):
        path, engine = published(tmp_path / name, small_recipe(name))
        runtime = exported(path, pixels="uint8")
        together = ran(runtime, IMAGES)
        for count in (0, 1, 7):
            found = ran(runtime, IMAGES[:count])
            assert found.shape == (count, engine.num_features())
            np.testing.assert_allclose(found, together[:count], atol=1e-5)


def test_the_largest_features_are_those_of_the_service(tmp_path: Path) -> None:
    path, _ = published(tmp_path, small_recipe("lista"))
    features, indices, values = exported(path, topk=5, pixels="uint8").run(None, {"images": IMAGES})
    order = np.argsort(-np.abs(features), axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(values, np.take_along_axis(features, order, 1))
    for wrong in (0, 17):
        with pytest.raises(ValueError, match=f"topk is {wrong}; 1 to 16 features"):
            exported(path, topk=wrong)


def test_a_tight_solver_and_many_iterations_end_at_the_same_minimum(tmp_path: Path) -> None:
    model = {"connection": {"units": 40}, "sparsity": {"weight": 0.05}}
    solver = {"max_iterations": 1003, "tolerance": 1e-6}
    spec = small_recipe("sparse-coding", model={**model, "encoder": {"solver": solver}})
    path, engine = published(tmp_path, spec)
    assert difference(ran(exported(path, pixels="uint8"), IMAGES), engine.encode(IMAGES)) < 1e-4


def test_an_active_set_is_refused_with_the_reason(tmp_path: Path) -> None:
    spec = small_recipe("sparse-coding")
    exact = Exact(solver=Solver(method="active-set"))
    model = Model.model_validate(spec.model.model_dump() | {"encoder": exact.model_dump()})
    path, _ = published(tmp_path, spec.model_copy(update={"model": model}))
    with pytest.raises(ValueError, match="'active-set' takes units in and out"):
        exported(path)


def test_the_file_has_standard_operators_and_says_what_it_is(tmp_path: Path) -> None:
    path, _ = published(tmp_path, small_recipe("tree"))
    content = onnx_bytes(Weights.load(path))
    model = onnx.load_from_string(content)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    assert not model.functions
    told = {each.key: each.value for each in model.metadata_props}
    assert ANY_SPEC.validate_json(told["spec"]) == small_recipe("tree")
    assert content == onnx_bytes(Weights.load(path))
