"""The one stored form of a data set, opened memory-mapped.

images.npy     uint8 (value / 255) or float32 (taken as it is), (N, H, W, C); vectors are (N, 1, D, 1); images of
               different sizes: one flat array, with
offsets.npy    int64 (N + 1,), where each image starts, and
shapes.npy     int32 (N, 3), its height, width and channels
labels.npy     int64 (N,), where there are labels: 0..classes − 1
manifest.json  counts, shapes, class names, digest
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

Images: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]


class VariedImages:
    """Images of different sizes and one number of channels: `images[i]` is (H, W, C), a slice some of them."""

    def __init__(self, pixels: Images, offsets: NDArray[np.int64], shapes: NDArray[np.int32]) -> None:
        sizes = shapes.astype(np.int64).prod(1)
        if offsets.shape != (len(shapes) + 1,) or (np.diff(offsets) != sizes).any() or offsets[-1] > pixels.size:
            raise ValueError(
                f"{pixels.size} pixels, {len(offsets)} offsets and {len(shapes)} shapes of {sizes.sum()} pixels do not "
                "belong together"
            )
        self.pixels, self.offsets, self.shapes = pixels, offsets, shapes

    @classmethod
    def of(cls, images: list[Images]) -> "VariedImages":
        """From images (H, W, C) of one number format and one number of channels."""
        kinds = {(image.dtype, image.shape[2]) for image in images}
        if len(kinds) != 1:
            raise ValueError(f"images of different formats or channels: {sorted(map(str, kinds))}")
        shapes = np.array([image.shape for image in images], np.int32)
        offsets = np.concatenate([[0], np.cumsum(shapes.astype(np.int64).prod(1))])
        return cls(np.concatenate([image.ravel() for image in images]), offsets, shapes)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.pixels.dtype

    def __len__(self) -> int:
        return len(self.shapes)

    @overload
    def __getitem__(self, index: int) -> Images: ...
    @overload
    def __getitem__(self, index: slice) -> "VariedImages": ...
    def __getitem__(self, index: int | slice) -> "Images | VariedImages":
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"images of different sizes are sliced in steps of 1, not {step}")
            return VariedImages(self.pixels, self.offsets[start : max(start, stop) + 1], self.shapes[start:stop])
        image: Images = self.pixels[self.offsets[index] : self.offsets[index + 1]]
        return image.reshape(self.shapes[index])


@dataclass(frozen=True)
class Dataset:
    images: Images | VariedImages  # (N, H, W, C)
    labels: NDArray[np.int64] | None = None  # (N,)
    classes: int | None = None
    class_names: list[str] | None = None
    digest: str | None = None
    id: str | None = None  # where it is stored

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image. Raises ValueError where they differ."""
        if isinstance(self.images, VariedImages):
            raise ValueError(
                "the images are of different sizes; a model of whole images needs all of one size, one of patches "
                "(preprocessing.patch_size) does not"
            )
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @property
    def channels(self) -> int:
        images = self.images
        return int(images.shapes[0, 2] if isinstance(images, VariedImages) else images.shape[3])

    def sides(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, 2) height and width of the images at `rows`."""
        if isinstance(self.images, VariedImages):
            return self.images.shapes[rows, :2].astype(np.int64)
        return np.broadcast_to(np.array(self.images.shape[1:3]), (len(rows), 2))

    def blocks(self, rows: NDArray[np.int64], pixels: int) -> Iterator[tuple[list[int], Images]]:
        """The images at `rows` with their rows, (n, H, W, C) of one size and at most about `pixels` at a time."""
        if isinstance(self.images, VariedImages):
            for row in rows.tolist():
                yield [row], self.images[row][None]
            return
        some = max(1, pixels // self.images[0].size)
        for start in range(0, len(rows), some):
            picked = rows[start : start + some]
            yield picked.tolist(), self.images[picked]


def open_dataset(folder: Path) -> Dataset:
    """The data set stored in `folder`. Raises ValueError where its files do not agree, naming both sides."""
    manifest = read_manifest(folder)
    images = open_images(folder, manifest["images"])
    labels = manifest["labels"]
    if labels is None:
        return replace(of_images(images, digest=manifest.get("digest")), id=folder.name)
    found = of_images(
        images,
        load(folder / "labels.npy"),
        classes=labels["classes"],
        class_names=labels.get("names"),
        digest=manifest.get("digest"),
    )
    return replace(found, id=folder.name)


def open_images(folder: Path, stated: dict[str, Any]) -> Images | VariedImages:
    pixels = load(folder / "images.npy")
    if stated["variable_size"]:
        images = VariedImages(pixels, load(folder / "offsets.npy"), load(folder / "shapes.npy"))
        if len(images) != stated["count"]:
            raise ValueError(f"shapes.npy has {len(images)} images, the manifest says {stated['count']}")
        return images
    shape = (stated["count"], *stated["shape"])
    if pixels.shape != shape:
        raise ValueError(f"images.npy has the shape {pixels.shape}, the manifest says {shape}")
    return as_images(pixels)


def from_arrays(
    images: NDArray[Any],
    labels: NDArray[Any] | None = None,
    *,
    classes: int | None = None,
    class_names: list[str] | None = None,
    digest: str | None = None,
) -> Dataset:
    """A data set from arrays: images (N, H, W, C), (N, H, W) or (N, D); whole-number labels (N,)."""
    return of_images(as_images(images), labels, classes=classes, class_names=class_names, digest=digest)


def of_images(
    images: Images | VariedImages,
    labels: NDArray[Any] | None = None,
    *,
    classes: int | None = None,
    class_names: list[str] | None = None,
    digest: str | None = None,
) -> Dataset:
    """A data set of images, of one size or not, and whole-number labels (N,). Raises ValueError for others."""
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
