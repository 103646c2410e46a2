"""What the client makes of images, files, folders and labels before it sends them."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pinwheel.client.bodies import dataset_body, file_bytes, image_body, npy_bytes, read_npy

GRAY = np.arange(20, dtype=np.uint8).reshape(4, 5)
COLOR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def names(stack: ExitStack, data: Any, labels: Any = None) -> list[str]:
    """Of the files in the zip that is sent."""
    content = dataset_body(stack, data, labels)()["content"]
    with zipfile.ZipFile(content) as archive:
        return archive.namelist()


def write(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GRAY).save(folder / path, "PNG")


def test_a_folder_is_a_zip_of_its_images_in_the_order_of_their_names(stack: ExitStack, tmp_path: Path) -> None:
    write(tmp_path, "dogs/2.png", "dogs/10.PNG", "cats/deep/1.jpg")
    write(tmp_path, ".cache/1.png", "__MACOSX/dogs/2.png", "dogs/.2.png")
    (tmp_path / "dogs" / "notes.txt").write_text("no image")
    assert names(stack, tmp_path) == ["cats/deep/1.jpg", "dogs/10.PNG", "dogs/2.png"]
    assert names(stack, str(tmp_path)) == names(stack, tmp_path)


def test_a_folder_is_the_same_zip_at_any_time(stack: ExitStack, tmp_path: Path) -> None:
    write(tmp_path, "a/1.png", "b/1.png")
    first = dataset_body(stack, tmp_path, None)()["content"].read()
    (tmp_path / "a" / "1.png").touch()
    assert dataset_body(stack, tmp_path, None)()["content"].read() == first


def test_a_folder_has_images_and_no_other_labels(stack: ExitStack, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no image in the folder.*\.png"):
        dataset_body(stack, tmp_path, None)
    write(tmp_path, "1.png")
    with pytest.raises(ValueError, match="names of the folders"):
        dataset_body(stack, tmp_path, [0])
    with pytest.raises(FileNotFoundError):
        dataset_body(stack, tmp_path / "missing.npz", None)


def test_images_of_one_shape_are_one_array_whatever_they_are(stack: ExitStack) -> None:
    for images in ([GRAY, GRAY], [Image.fromarray(GRAY)] * 2, [GRAY, Image.fromarray(GRAY)]):
        sent = dataset_body(stack, images, None)()["content"].read()
        assert (read_npy(sent) == np.stack([GRAY, GRAY])).all()
        assert image_body(images)()["content"] == npy_bytes(np.stack([GRAY, GRAY]))
    with np.load(dataset_body(stack, [GRAY, GRAY], [1, 0])()["content"]) as archive:
        assert archive["labels"].tolist() == [1, 0]


def test_images_of_different_shapes_are_files_in_their_order(stack: ExitStack, tmp_path: Path) -> None:
    write(tmp_path, "x.png")
    images = [GRAY, COLOR, Image.fromarray(COLOR), tmp_path / "x.png", file_bytes(GRAY)]
    assert names(stack, images) == [f"{number:09d}" for number in range(5)]
    parts = image_body(images)()["files"]
    assert [np.asarray(Image.open(io.BytesIO(part[1][1]))).shape for part in parts] == [
        (4, 5), (3, 4, 3), (3, 4, 3), (4, 5), (4, 5),
    ]  # fmt: skip
    assert (np.asarray(Image.open(io.BytesIO(parts[0][1][1]))) == GRAY).all()


def test_labels_of_files_are_folders_that_sort_as_they_do(stack: ExitStack) -> None:
    assert names(stack, [GRAY, COLOR, GRAY], np.array([1, 0, 1])) == [
        "000000/000000001", "000001/000000000", "000001/000000002",
    ]  # fmt: skip
    assert names(stack, [GRAY, COLOR], ["dog", "cat"]) == ["cat/000000001", "dog/000000000"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 2], r"without a gap, not \[0, 2\]"),
        ([1, 1], "two classes"),
        ([0], r"int64 \(1,\); 2 images"),
        ([0.5, 1.0], "whole numbers or names"),
        (["a/b", "c"], "'a/b' cannot be"),
        ("labels.npy", "one for each image"),
    ],
)
def test_labels_that_no_folders_can_give_are_refused(stack: ExitStack, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataset_body(stack, [GRAY, COLOR], labels)


def test_an_array_that_is_no_picture_is_refused_in_a_list_of_files() -> None:
    with pytest.raises(ValueError, match=r"float64 \(2, 2\).*uint8"):
        image_body([GRAY, np.zeros((2, 2))])
    with pytest.raises(ValueError, match="no image in the list"):
        image_body([])
    with pytest.raises(ValueError, match="not float64"):
        dataset_body(ExitStack(), np.zeros((2, 2)), [0.5, 1])
