"""The one stored form of a data set, opened memory-mapped.

images.npy     uint8 (value / 255) or float32 (taken as it is), (N, H, W, C); vectors are (N, 1, D, 1)
labels.npy     int64 (N,), where there are labels: 0..classes − 1
manifest.json  counts, shapes, class names, digest
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Images: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True)
class Dataset:
    images: Images  # (N, H, W, C)
    labels: NDArray[np.int64] | None = None  # (N,)
    classes: int | None = None
    class_names: list[str] | None = None
    digest: str | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        height, width, channels = self.images.shape[1:]
        return height, width, channels


def open_dataset(folder: Path) -> Dataset:
    """The data set stored in `folder`. Raises ValueError where its files do not agree, naming both sides."""
    manifest = read_manifest(folder)
    if manifest["images"]["variable_size"]:
        raise ValueError("the images are of different sizes; this model needs all images of one size")
    images = load(folder / "images.npy")
    stated = (manifest["images"]["count"], *manifest["images"]["shape"])
    if images.shape != stated:
        raise ValueError(f"images.npy has the shape {images.shape}, the manifest says {stated}")
    labels = manifest["labels"]
    if labels is None:
        return from_arrays(images, digest=manifest.get("digest"))
    return from_arrays(
        images,
        load(folder / "labels.npy"),
        classes=labels["classes"],
        class_names=labels.get("names"),
        digest=manifest.get("digest"),
    )


def from_arrays(
    images: NDArray[Any],
    labels: NDArray[Any] | None = None,
    *,
    classes: int | None = None,
    class_names: list[str] | None = None,
    digest: str | None = None,
) -> Dataset:
    """A data set from arrays: images (N, H, W, C), (N, H, W) or (N, D); whole-number labels (N,)."""
    images = as_images(images)
    if len(images) < 1:
        raise ValueError("the data set has 0 images; at least 1 is needed")
    if labels is None:
        return Dataset(images, digest=digest)
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels are {labels.dtype} {labels.shape}; {len(images)} images need integers ({len(images)},)"
        )
    labels = labels.astype(np.int64, copy=False)
    classes = int(labels.max()) + 1 if classes is None else classes
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels go from {labels.min()} to {labels.max()}; {classes} classes allow 0 to {classes - 1}")
    return Dataset(images, labels, classes, class_names, digest)


def as_images(array: NDArray[Any]) -> Images:
    """(N, H, W, C) from images with or without channels, or from vectors. Raises ValueError on another type."""
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.dtype not in (np.uint8, np.float32):
        raise ValueError(f"images are {array.dtype}; uint8 and float32 are allowed")
    if array.ndim == 2:
        return array[:, None, :, None]
    if array.ndim == 3:
        return array[..., None]
    if array.ndim == 4:
        return array
    raise ValueError(f"images have the shape {array.shape}; (N, H, W, C), (N, H, W) and (N, D) are allowed")


def read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    except FileNotFoundError:
        raise ValueError(f"there is no data set in {folder.name}: manifest.json is missing") from None
    return manifest


def load(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"the data set is incomplete: {path.name} is missing") from None
    return array
