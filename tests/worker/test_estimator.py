"""The transformer of this process: scikit-learn's own checks, without an exception, and what it does with images."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks
from training_cases import SMALL_RECIPES, stripes

from worker.estimator import SparseEncoder

QUICK: dict[str, Any] = {"units": 8, "epochs": 1, "device": "cpu", "threads": 1}
FEW_PASSES = {"model": {"encoder": {"passes": 3}}}


@parametrize_with_checks([SparseEncoder(spec=FEW_PASSES, **QUICK), SparseEncoder("psd", **QUICK)])
def test_the_checks_of_scikit_learn_hold(estimator: SparseEncoder, check: Callable[[Any], None]) -> None:
    check(estimator)


def images(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    data = stripes(count)
    assert data.labels is not None
    return np.asarray(data.images), data.labels


def test_images_and_their_rows_are_the_same_data() -> None:
    pictures, labels = images()
    rows = pictures.reshape(len(pictures), -1)
    by_rows = SparseEncoder(image_shape=(8, 6), spec=FEW_PASSES, **QUICK).fit(rows, labels)
    by_images = SparseEncoder(spec=FEW_PASSES, **QUICK).fit(pictures, labels)
    assert by_rows.image_shape_ == by_images.image_shape_ == (8, 6, 1)
    assert by_rows.n_features_in_ == by_images.n_features_in_ == 48
    assert (by_rows.transform(rows) == by_images.transform(pictures[..., 0])).all()
    assert by_rows.transform(rows).any()
    assert by_rows.components_.shape == (8, 48)


def test_bytes_are_parts_of_255_and_floats_are_taken_as_they_are() -> None:
    pictures, _ = images()
    spec = {"preprocessing": {"scale": "none", "whiten": "none"}}
    encoder = SparseEncoder("psd", weight=0.01, spec=spec, **QUICK).fit(pictures)
    assert encoder.transform(pictures / 255) == pytest.approx(encoder.transform(pictures), abs=1e-5)


@pytest.mark.parametrize("recipe", ["psd", "drsae", "noise", "inhibition-ring"])
def test_what_is_decoded_is_near_what_was_encoded(recipe: str) -> None:
    pictures, labels = images(200)
    rows = pictures.reshape(len(pictures), -1).astype(np.float32)
    spec = {"model": SMALL_RECIPES[recipe], "preprocessing": {"whiten": "zca" if recipe == "psd" else "none"}}
    encoder = SparseEncoder(recipe, epochs=20, batch_size=20, learning_rate=0.01, device="cpu", threads=1, spec=spec)
    features = encoder.fit(rows, labels).transform(rows)
    rebuilt = encoder.inverse_transform(features)
    assert rebuilt.shape == rows.shape
    scaled = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    if encoder.spec_["preprocessing"]["scale"] == "standard":
        scaled = (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)
    unexplained = ((rebuilt - scaled) ** 2).sum() / ((scaled - scaled.mean(0)) ** 2).sum()
    assert unexplained < 0.9
    if encoder.spec_["preprocessing"]["whiten"] == "none" and recipe != "noise":
        assert unexplained == pytest.approx(encoder.metrics_["unexplained_variance"], abs=0.02)


@pytest.mark.parametrize(
    ("recipe", "spec", "reason"),
    [
        ("stacked", None, "stack"),
        ("conv-group", None, "'conv'"),
        ("local", None, "'local'"),
        ("drsae", {"preprocessing": {"patch_size": 4, "patches_per_image": 2}}, "patches"),
        ("drsae", {"preprocessing": {"whiten": "lcn"}}, "'lcn'"),
    ],
)
def test_what_cannot_be_decoded_has_no_inverse_and_says_why(
    recipe: str, spec: dict[str, Any] | None, reason: str
) -> None:
    encoder = SparseEncoder(recipe, spec=spec)
    encoder._spec = encoder._resolved(0)
    assert not hasattr(encoder, "inverse_transform")
    with pytest.raises(AttributeError) as refused:
        _ = encoder.inverse_transform
    assert reason in str(refused.value.__cause__ or refused.value)


def test_patches_and_kernels_work_where_rows_have_a_shape() -> None:
    pictures, labels = images()
    patches = SparseEncoder(spec=FEW_PASSES | {"preprocessing": {"patch_size": 4, "patches_per_image": 4}}, **QUICK)
    assert patches.fit(pictures, labels).components_.shape == (8, 16)
    spec = {"model": SMALL_RECIPES["conv-group"], "preprocessing": {"whiten": "none"}}
    conv = SparseEncoder("conv-group", epochs=1, device="cpu", threads=1, spec=spec).fit(pictures)
    assert conv.components_.shape == (16, 16)
    assert conv.transform(pictures).shape == (60, conv.get_feature_names_out().size)


def test_parameters_that_fit_nothing_are_refused_with_the_value() -> None:
    pictures, labels = images()
    rows = pictures.reshape(len(pictures), -1)
    for given, message in (
        ({"recipe": "drsea"}, "no recipe 'drsea'; there are: drsae"),
        ({"units": 0}, "greater than or equal to 1"),
        ({"epochs": 1.5}, "epochs"),
        ({"spec": {"training": {"epoch": 3}}}, "epoch"),
        ({"image_shape": (8, 7)}, r"\(8, 7, 1\), 56 numbers; each row of X has 48"),
        ({"image_shape": (48,)}, r"\(height, width, channels\)"),
        ({"validation_fraction": 1.5}, "validation_fraction is 1.5"),
        ({"recipe": "stacked", "units": 3}, "several layers"),
        ({"device": "tpu"}, "cpu"),
    ):
        with pytest.raises(ValueError, match=message):
            SparseEncoder(**{**QUICK, "units": None, **given}).fit(rows, labels)
    with pytest.raises(ValueError, match=r"requires y.*'drsae' has a classifier"):
        SparseEncoder(**QUICK).fit(rows)
    with pytest.raises(ValueError, match="the images have the shape"):
        SparseEncoder(image_shape=(6, 8), **QUICK).fit(pictures, labels)
    with pytest.raises(NotFittedError):
        SparseEncoder().transform(rows)


def test_a_stack_takes_the_training_of_all_stages_and_parts_of_each() -> None:
    spec = {"stages": [{"model": {"connection": {"units": 4}}}, {"training": {"epochs": 2}}]}
    found = SparseEncoder("stacked", batch_size=7, random_state=3, spec=spec)._resolved(3)
    assert [stage.training.batch_size for stage in found.stages] == [7, 7]
    assert [stage.training.seed for stage in found.stages] == [3, 3]
    assert [stage.training.epochs for stage in found.stages] == [3, 2]
    assert found.model_dump()["stages"][0]["model"]["connection"]["units"] == 4


def test_a_share_that_is_held_out_is_what_the_metrics_are_of() -> None:
    pictures, labels = images()
    whole = SparseEncoder(spec=FEW_PASSES, **QUICK).fit(pictures, labels)
    held_out = SparseEncoder(spec=FEW_PASSES, validation_fraction=0.5, **QUICK).fit(pictures, labels)
    assert whole.metrics_["loss"] != held_out.metrics_["loss"]


def test_random_states_are_seeds_or_draw_them() -> None:
    pictures, labels = images()

    def fitted(random_state: Any) -> np.ndarray:
        encoder = SparseEncoder(spec=FEW_PASSES, random_state=random_state, **QUICK)
        return encoder.fit(pictures, labels).components_

    assert (fitted(1) == fitted(np.int64(1))).all()
    assert (fitted(np.random.RandomState(1)) == fitted(np.random.RandomState(1))).all()
    assert (fitted(1) != fitted(2)).any()


def test_copies_encode_alike_and_clones_know_nothing(tmp_path: Any) -> None:
    pictures, labels = images()
    encoder = SparseEncoder(spec=FEW_PASSES, topk=2, sparse_output=True, **QUICK).fit(pictures, labels)
    features = encoder.transform(pictures)
    assert features.format == "csr"
    assert features.dtype == np.float32
    assert (np.diff(features.indptr) <= 2).all()
    copied = pickle.loads(pickle.dumps(encoder))  # noqa: S301
    assert (copied.transform(pictures) != features).nnz == 0
    assert copied.classes_.tolist() == [0, 1]
    assert not hasattr(clone(encoder), "components_")
