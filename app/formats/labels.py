"""Labels that come as an array: whole numbers (N,) from 0, one for each image."""

import numpy as np
from numpy.typing import NDArray

from app.formats.arrays import ArraySource
from app.formats.limits import MOST_CLASSES
from app.formats.reading import check_end, read_exactly
from pinwheel.errors import InvalidDataset


def check_labels(source: ArraySource, images: int) -> None:
    """Raises `InvalidDataset` when the header alone shows that these are no labels of `images` images."""
    if len(source.shape) != 1:
        raise InvalidDataset(
            f"{source.name} has the shape {source.shape}; labels are one whole number for each image (N,)."
        )
    if source.dtype.kind not in "iu":
        raise InvalidDataset(f"{source.name} has the dtype {source.dtype}; labels are whole numbers from 0.")
    if source.shape[0] != images:
        raise InvalidDataset(f"There are {images} images and {source.shape[0]} labels; each image needs one label.")


def read_labels(source: ArraySource, images: int) -> NDArray[np.int64]:
    """(N,) int64 in 0..classes−1. Raises `InvalidDataset` that names the first label out of bounds."""
    check_labels(source, images)
    data = read_exactly(source.stream, source.size_bytes, source.name)
    check_end(source.stream, source.name)
    labels = np.frombuffer(data, source.dtype)
    bad = np.flatnonzero((labels < 0) | (labels >= MOST_CLASSES))
    if len(bad):
        raise InvalidDataset(
            f"{source.name} holds {labels[bad[0]]} at image {bad[0]}; labels go from 0 to {MOST_CLASSES - 1} at most."
        )
    return labels.astype(np.int64)
