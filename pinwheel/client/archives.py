"""Folders and lists of images as one zip, which the service reads the labels of from the names of its folders."""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # one folder is one zip, whenever it was written


def zip_folder(target: IO[bytes], folder: Path) -> None:
    """Every image below `folder` by its path there, in sorted order; hidden and other files are passed over.

    Where all images lie in folders of `folder`, the service takes the names of these for their labels. Raises
    ValueError where there is no image.
    """
    paths = pictures_in(folder)
    with zipfile.ZipFile(target, "w") as archive:
        for path in paths:
            _write(archive, path.relative_to(folder).as_posix(), path.read_bytes())


def pictures_in(folder: Path) -> list[Path]:
    """Every image below a folder, by its path there. Raises ValueError where there is none."""
    paths = sorted(image_files(folder), key=lambda path: path.relative_to(folder).as_posix())
    if not paths:
        raise ValueError(f"there is no image in the folder {folder}; files are taken that end in {', '.join(SUFFIXES)}")
    return paths


def image_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


def zip_images(target: IO[bytes], images: Sequence[Callable[[], bytes]], labels: Any) -> None:
    """Files in their order, each in the folder of its label. Raises ValueError for labels that folders cannot give."""
    order: Sequence[int] = range(len(images))
    folders = [""] * len(images)
    if labels is not None:
        folders = _folders(labels, len(images))
        order = sorted(order, key=lambda number: folders[number])
    with zipfile.ZipFile(target, "w") as archive:
        for number in order:
            _write(archive, f"{folders[number]}{number:09d}", images[number]())


def _folders(labels: Any, count: int) -> list[str]:
    if isinstance(labels, bytes | str | Path):
        raise ValueError("the labels of a list of images are a list or an array, one for each image")
    found = np.asarray(labels)
    if found.shape != (count,) or found.dtype.kind not in "iuU":
        raise ValueError(
            f"labels are {found.dtype} {found.shape}; {count} images need whole numbers or names ({count},)"
        )
    classes = np.unique(found)
    if len(classes) < 2:
        raise ValueError(f"all labels are {found[0]!r}; the labels of a list of files are of two classes at least")
    if found.dtype.kind == "U":
        return [f"{_safe(name)}/" for name in found.tolist()]
    if classes[0] != 0 or classes[-1] != len(classes) - 1:
        raise ValueError(f"the labels of files are whole numbers from 0 without a gap, not {classes.tolist()[:20]}")
    return [f"{number:06d}/" for number in found.tolist()]


def _safe(name: str) -> str:
    if not name or name.startswith(".") or any(letter in name for letter in "/\\:"):
        raise ValueError(f"the label {name!r} cannot be the name of a folder")
    return name


def _write(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # stored: image files are packed already, and the service refuses what unpacks to far more
    archive.writestr(zipfile.ZipInfo(name, LONG_AGO), content)
