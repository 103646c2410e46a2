"""The stored form: written, read back, and refused where its files do not agree."""

import json
from pathlib import Path

import numpy as np
import pytest

from pinwheel.specs import Preprocessing
from worker.data.inputs import Inputs
from worker.data.preprocess import Preprocessor
from worker.data.reader import VariedImages, from_arrays, of_images, open_dataset
from worker.data.store import read_npz, write_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (12, 4, 3, 1), dtype=np.uint8)
    write_dataset(from_arrays(images, np.arange(12) % 3), tmp_path / "data")
    return tmp_path / "data"


def change_manifest(folder: Path, part: str, **values: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest[part].update(values)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_what_is_written_is_read_back(folder: Path) -> None:
    dataset = open_dataset(folder)
    assert (len(dataset), dataset.shape, dataset.classes) == (12, (4, 3, 1), 3)
    assert dataset.labels is not None
    assert dataset.labels.dtype == np.int64
    assert dataset.digest is not None
    assert isinstance(dataset.images, np.memmap)


def test_a_manifest_that_says_something_else_is_refused(folder: Path) -> None:
    change_manifest(folder, "images", count=13)
    with pytest.raises(ValueError, match=r"\(12, 4, 3, 1\), the manifest says \(13, 4, 3, 1\)"):
        open_dataset(folder)


def varied() -> VariedImages:
    generator = np.random.default_rng(1)
    sides = [(5, 9), (7, 4), (6, 6), (9, 5)]
    return VariedImages.of([generator.integers(0, 256, (*side, 3), dtype=np.uint8) for side in sides])


def test_images_of_different_sizes_are_read_back_one_by_one(tmp_path: Path) -> None:
    images = varied()
    write_dataset(of_images(images, np.array([0, 1, 1, 0])), tmp_path)
    dataset = open_dataset(tmp_path)
    assert (len(dataset), dataset.channels, dataset.classes) == (4, 3, 2)
    assert dataset.sides(np.array([3, 1])).tolist() == [[9, 5], [7, 4]]
    assert isinstance(dataset.images, VariedImages)
    for row in range(4):
        np.testing.assert_array_equal(dataset.images[row], images[row])


def test_a_part_of_images_of_different_sizes_is_stored_as_a_whole_of_its_own(tmp_path: Path) -> None:
    part = varied()[1:3]
    write_dataset(of_images(part), tmp_path)
    dataset = open_dataset(tmp_path)
    assert isinstance(dataset.images, VariedImages)
    assert [image.shape for image in (dataset.images[0], dataset.images[1])] == [(7, 4, 3), (6, 6, 3)]
    np.testing.assert_array_equal(dataset.images[1], varied()[2])
    assert len(varied()[3:1]) == 0


def test_images_of_different_sizes_have_no_shape_in_common() -> None:
    with pytest.raises(ValueError, match=r"different sizes.*preprocessing\.patch_size"):
        _ = of_images(varied()).shape


def test_a_model_of_whole_images_refuses_images_of_different_sizes() -> None:
    with pytest.raises(ValueError, match="different sizes"):
        Preprocessor.fitted(Preprocessing(), of_images(varied()))


def test_files_of_different_sizes_that_do_not_agree_are_refused(tmp_path: Path) -> None:
    write_dataset(of_images(varied()), tmp_path)
    change_manifest(tmp_path, "images", count=5)
    with pytest.raises(ValueError, match=r"shapes\.npy has 4 images, the manifest says 5"):
        open_dataset(tmp_path)
    np.save(tmp_path / "offsets.npy", np.array([0, 1, 2, 3, 4]))
    with pytest.raises(ValueError, match="do not belong together"):
        open_dataset(tmp_path)


def test_labels_outside_their_classes_are_refused(folder: Path) -> None:
    change_manifest(folder, "labels", classes=2)
    with pytest.raises(ValueError, match="labels go from 0 to 2; 2 classes allow 0 to 1"):
        open_dataset(folder)


def test_missing_files_are_named(folder: Path) -> None:
    (folder / "labels.npy").unlink()
    with pytest.raises(ValueError, match=r"labels\.npy is missing"):
        open_dataset(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"manifest\.json is missing"):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("images", "labels", "reason"),
    [
        (np.zeros((0, 2, 2, 1), np.uint8), None, "0 images"),
        (np.zeros((3, 2, 2, 1), np.int32), None, "int32"),
        (np.zeros(3, np.uint8), None, r"shape \(3,\)"),
        (np.zeros((3, 2), np.uint8), np.zeros(2, np.int64), r"\(2,\)"),
        (np.zeros((3, 2), np.uint8), np.zeros(3), "float64"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(images: np.ndarray, labels: np.ndarray | None, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        from_arrays(images, labels)


def test_vectors_and_images_without_channels_get_four_dimensions() -> None:
    assert from_arrays(np.zeros((5, 7), np.float64)).shape == (1, 7, 1)
    assert from_arrays(np.zeros((5, 7, 6), np.uint8)).shape == (7, 6, 1)


def test_an_npz_without_images_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", pictures=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="pictures; `images` is needed"):
        read_npz(tmp_path / "x.npz")


def test_inputs_read_batch_by_batch_equal_those_kept_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from worker.data import inputs

    dataset, rows, picked = open_dataset(folder), torch.tensor([1, 5, 7, 8, 11]), torch.tensor([4, 0, 2])
    preprocessor = Preprocessor.fitted(Preprocessing(scale="unit-norm"), dataset, rows)
    kept = Inputs(dataset, preprocessor, rows)
    monkeypatch.setattr(inputs, "RESIDENT_BYTES", 0)
    read = Inputs(dataset, preprocessor, rows)
    assert kept.resident is not None
    assert read.resident is None
    for a, b in zip(kept.take(picked), read.take(picked), strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)


def test_pixels_that_are_not_finite_are_refused() -> None:
    images = np.zeros((3, 2), np.float32)
    images[1, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        Inputs(from_arrays(images), Preprocessor(Preprocessing(scale="none"), (1, 2, 1)))
