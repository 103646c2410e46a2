"""Write a data set in the stored form: for training from a script, without the server."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.data.files import write_json
from worker.data.reader import Dataset, VariedImages, from_arrays


def read_npz(path: Path) -> Dataset:
    """`images` and, where there are any, `labels` of an .npz file."""
    with np.load(path, allow_pickle=False) as arrays:
        if "images" not in arrays:
            raise ValueError(f"{path.name} has the arrays {', '.join(arrays)}; `images` is needed")
        return from_arrays(arrays["images"], arrays.get("labels"))


def write_dataset(dataset: Dataset, folder: Path) -> None:
    """The files of the stored form (`reader`) in `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = write_images(dataset, folder)
    if dataset.labels is not None:
        np.save(folder / "labels.npy", dataset.labels)
    labels = {"count": len(dataset), "classes": dataset.classes, "names": dataset.class_names}
    manifest: dict[str, Any] = {
        "images": {"count": len(dataset), "dtype": str(pixels.dtype), **sizes(dataset)},
        "labels": labels if dataset.labels is not None else None,
        "digest": "sha256:" + hashlib.sha256(pixels.tobytes()).hexdigest(),
        "bytes": pixels.nbytes,
        "skipped": [],
    }
    write_json(folder / "manifest.json", manifest)


def write_images(dataset: Dataset, folder: Path) -> NDArray[Any]:
    """images.npy and, for images of different sizes, what tells them apart; gives what is in images.npy."""
    images = dataset.images
    pixels: NDArray[Any]
    if isinstance(images, VariedImages):
        start, stop = images.offsets[0], images.offsets[-1]
        np.save(folder / "offsets.npy", images.offsets - start)
        np.save(folder / "shapes.npy", images.shapes)
        pixels = np.ascontiguousarray(images.pixels[start:stop])
    else:
        pixels = np.ascontiguousarray(images)
    np.save(folder / "images.npy", pixels)
    return pixels


def sizes(dataset: Dataset) -> dict[str, Any]:
    """What the manifest says about the sizes of the images."""
    if not isinstance(dataset.images, VariedImages):
        return {"shape": list(dataset.shape), "variable_size": False}
    smallest = dataset.images.shapes[:, :2].min(0).tolist()
    return {"shape": None, "variable_size": True, "smallest": smallest, "channels": dataset.channels}
