"""The one stored form of a data set, written piece by piece so that memory stays flat.

    images.npy     uint8 or float32, (N, H, W, C); images of different sizes: one flat array, with
    offsets.npy    (N + 1,) int64, where each image starts, and
    shapes.npy     (N, 3) int32, its height, width and channels
    labels.npy     (N,) int64, only when labelled
    manifest.json  counts, shapes, class names, digest, bytes on disk, what was skipped

The digest is over the content and not over the files it came from: equal images, labels and class names have equal
digests, whether they came as IDX or as npz. It is sha256 of the JSON {dtype, count, shape or the shapes' sha256,
pixels' sha256, labels' sha256, class names}, with sorted keys and no blanks;
pixels, shapes and labels as little-endian bytes.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from app.formats.limits import MOST_CLASSES, Limits
from pinwheel.errors import InvalidDataset

# Room for a version 1.0 header, which is written when the number of images is known.
HEADER_BYTES = 128
MOST_SKIPPED = 1000
MOST_NAME = 200


class StoreWriter:
    """`add` images in their order, then `finish`. Use it as a context, which closes its file."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._file = (folder / "images.npy").open("wb")
        self._file.write(bytes(HEADER_BYTES))
        self._hash = hashlib.sha256()
        self._runs: list[tuple[int, tuple[int, int, int]]] = []
        self._skipped: list[dict[str, str]] = []
        self._more_skipped = 0
        self._dtype: np.dtype[Any] | None = None
        self.count = 0
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, images: NDArray[Any], name: str) -> None:
        """Append (n, H, W, C), uint8 or float32, of the dtype and channels of those before. Raises past a limit."""
        shape = images.shape[1], images.shape[2], images.shape[3]
        self._check_like_before(images.dtype, shape[2], name)
        self._limits.check_image(*shape, name)
        self._limits.check_images(self.count + len(images))
        self._limits.check_bytes(self.size_bytes + images.nbytes, "The data set with its images unpacked")
        data = np.ascontiguousarray(images, images.dtype.newbyteorder("<")).data
        self._file.write(data)
        self._hash.update(data)
        self.count += len(images)
        self.size_bytes += images.nbytes
        before = self._runs.pop() if self._runs and self._runs[-1][1] == shape else (0, shape)
        self._runs.append((before[0] + len(images), shape))

    def skip(self, name: str, reason: str) -> None:
        """Note a file that was left out; the list holds `MOST_SKIPPED`, the rest is counted."""
        if len(self._skipped) == MOST_SKIPPED:
            self._more_skipped += 1
            return
        self._skipped.append({"name": name[:MOST_NAME], "reason": reason[: 2 * MOST_NAME]})

    def finish(self, labels: NDArray[np.int64] | None = None, names: list[str] | None = None) -> dict[str, Any]:
        """Write the rest and give the manifest. Raises `InvalidDataset` when there is no image."""
        if self._dtype is None:
            reason = f" The first was refused: {self._skipped[0]['reason']}" if self._skipped else ""
            raise InvalidDataset(f"The upload holds no image; at least 1 is needed.{reason}")
        shapes = sorted({shape for _, shape in self._runs})
        one_shape = shapes[0] if len(shapes) == 1 else None
        self._write_header((self.count, *one_shape) if one_shape else (self.size_bytes // self._dtype.itemsize,))
        if one_shape is None:
            self._write_shapes()
        if labels is not None:
            self._write_labels(labels)
        manifest = self._manifest(one_shape, labels, names)
        (self._folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
        return manifest

    def _check_like_before(self, dtype: np.dtype[Any], channels: int, name: str) -> None:
        if self._dtype is None:
            self._dtype = dtype
            return
        before = self._runs[-1][1][2]
        if channels != before:
            raise InvalidDataset(
                f"{name} has {channels} channels, the images before it have {before}; "
                "color=gray or color=rgb makes them alike."
            )
        if dtype != self._dtype:
            raise InvalidDataset(
                f"{name} holds {dtype} pixels, the images before it hold {self._dtype}; "
                "a data set has one number format (8 bits are uint8, more are float32)."
            )

    def _write_header(self, shape: tuple[int, ...]) -> None:
        assert self._dtype is not None
        header = repr({"descr": self._dtype.newbyteorder("<").str, "fortran_order": False, "shape": shape}).encode()
        start = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
        self._file.seek(0)
        self._file.write((start + header).ljust(HEADER_BYTES - 1) + b"\n")
        self._file.flush()

    def _shapes(self) -> NDArray[np.int32]:
        counts = [count for count, _ in self._runs]
        return np.repeat(np.array([shape for _, shape in self._runs], "<i4"), counts, axis=0)

    def _write_shapes(self) -> None:
        shapes = self._shapes()
        offsets = np.concatenate([[0], np.cumsum(shapes.astype(np.int64).prod(axis=1))])
        np.save(self._folder / "shapes.npy", shapes)
        np.save(self._folder / "offsets.npy", offsets.astype("<i8"))

    def _write_labels(self, labels: NDArray[np.int64]) -> None:
        if len(labels) != self.count:
            raise InvalidDataset(f"There are {self.count} images and {len(labels)} labels; each image needs one label.")
        np.save(self._folder / "labels.npy", labels.astype("<i8"))

    def _manifest(
        self, shape: tuple[int, int, int] | None, labels: NDArray[np.int64] | None, names: list[str] | None
    ) -> dict[str, Any]:
        classes = None if labels is None else len(names) if names else int(labels.max()) + 1
        if classes is not None and classes > MOST_CLASSES:
            raise InvalidDataset(f"There are {classes} classes; at most {MOST_CLASSES} are allowed.")
        more = [{"name": "…", "reason": f"and {self._more_skipped} more"}] if self._more_skipped else []
        return {
            "images": {
                "count": self.count,
                "shape": list(shape) if shape else None,
                "dtype": str(self._dtype),
                "variable_size": shape is None,
                **({} if shape else self._sizes()),
            },
            "labels": None if labels is None else {"count": len(labels), "classes": classes, "names": names},
            "digest": self._digest(shape, labels, names),
            "bytes": sum(path.stat().st_size for path in self._folder.glob("*.npy")),
            "skipped": self._skipped + more,
        }

    def _sizes(self) -> dict[str, Any]:
        """What is known of images of different sizes: the least height, the least width, and the channels."""
        heights, widths, channels = zip(*(shape for _, shape in self._runs), strict=True)
        return {"smallest": [min(heights), min(widths)], "channels": channels[0]}

    def _digest(
        self, shape: tuple[int, int, int] | None, labels: NDArray[np.int64] | None, names: list[str] | None
    ) -> str:
        content = {
            "dtype": str(self._dtype),
            "count": self.count,
            "shape": list(shape) if shape else hashlib.sha256(self._shapes().tobytes()).hexdigest(),
            "pixels": self._hash.hexdigest(),
            "labels": None if labels is None else hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest(),
            "names": names,
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        return "sha256:" + hashlib.sha256(canonical).hexdigest()
