"""Images of data sets, some or one, read from the one stored form."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.errors import Gone, NotFound


def some_images(folder: Path, count: int) -> list[NDArray[Any]]:
    """At most `count` images (H, W, C), evenly spaced over the data set. Raises `Gone` where they are no more."""
    images, shapes = _opened(folder)
    total = len(images) if shapes is None else len(shapes)
    chosen = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
    if shapes is None:
        return [np.array(images[row]) for row in chosen]
    offsets = np.load(folder / "offsets.npy")
    return [_cut(images, offsets, shapes, row) for row in chosen]


def one_image(folder: Path, row: int) -> NDArray[Any]:
    """The image (H, W, C) of one row, from 0. Raises `Gone` where they are no more, `NotFound` for no such row."""
    images, shapes = _opened(folder)
    total = len(images) if shapes is None else len(shapes)
    if not 0 <= row < total:
        detail = f"The data set has the images 0 to {total - 1}, and row is {row}."
        raise NotFound(detail, errors=[{"pointer": "#/path/row", "code": "out_of_range", "detail": detail}])
    if shapes is None:
        return np.array(images[row])
    return _cut(images, np.load(folder / "offsets.npy"), shapes, row)


def _opened(folder: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """What is stored, and the shapes of images of several sizes, which lie there one after another."""
    try:
        images: NDArray[Any] = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise Gone("The images of this data set are no longer there.") from None
    varied = (folder / "offsets.npy").exists()
    return images, np.load(folder / "shapes.npy") if varied else None


def _cut(images: NDArray[Any], offsets: NDArray[Any], shapes: NDArray[Any], row: int) -> NDArray[Any]:
    return np.array(images[offsets[row] : offsets[row + 1]]).reshape(shapes[row])
