"""Pictures of data sets, read from the one stored form."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.errors import Gone


def some_images(folder: Path, count: int) -> list[NDArray[Any]]:
    """At most `count` images (H, W, C), evenly spaced over the data set."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise Gone("The images of this data set are no longer there.") from None
    if not (folder / "offsets.npy").exists():
        chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))
        return [np.array(images[index]) for index in chosen]
    offsets, shapes = np.load(folder / "offsets.npy"), np.load(folder / "shapes.npy")
    chosen = np.unique(np.linspace(0, len(shapes) - 1, min(count, len(shapes))).astype(int))
    return [np.array(images[offsets[index] : offsets[index + 1]]).reshape(shapes[index]) for index in chosen]
