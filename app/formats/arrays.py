"""One array on its way in, whatever file it came from: a shape, a dtype and a stream of its bytes, read in chunks."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.formats.limits import Limits
from app.formats.options import Layout
from app.formats.pixels import stored_dtype
from app.formats.reading import BLOCK_BYTES, check_end, read_exactly
from pinwheel.errors import InvalidDataset, PayloadTooLarge

CHUNK_BYTES = 4 * BLOCK_BYTES
MOST_GUESSED_CHANNELS = 4
AXES: dict[int, Layout] = {2: "NC", 3: "NHW", 4: "NHWC"}


@dataclass(frozen=True)
class ArraySource:
    """`stream` stands at the first byte of the values; `name` is for messages."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stream: BinaryIO
    fortran: bool = False

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def rows(self, scratch: Path) -> Iterator[tuple[int, NDArray[Any]]]:
        """(number of the first row, rows (n, …)) in native byte order; about `CHUNK_BYTES` or one row at a time."""
        native = self.dtype.newbyteorder("=")
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        step = max(1, CHUNK_BYTES // row_bytes)
        whole = self._by_columns(scratch) if self.fortran else None
        for first in range(0, self.shape[0], step):
            count = min(step, self.shape[0] - first)
            if whole is not None:
                values = np.ascontiguousarray(whole[first : first + count])
            else:
                data = read_exactly(self.stream, count * row_bytes, self.name)
                values = np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])
            yield first, values.astype(native, copy=False)
        check_end(self.stream, self.name)

    def _by_columns(self, scratch: Path) -> NDArray[Any]:
        """The array in Fortran order, mapped from a copy of its bytes: its rows lie scattered."""
        path = scratch / "columns"
        with path.open("wb") as file:
            missing = self.size_bytes
            while missing:
                part = read_exactly(self.stream, min(missing, BLOCK_BYTES), self.name)
                file.write(part)
                missing -= len(part)
        return np.memmap(path, self.dtype, mode="r", shape=self.shape, order="F")


def check_shape(shape: tuple[int, ...], layout: Layout, limits: Limits, name: str) -> tuple[int, int, int]:
    """(H, W, C) of each image of an array. Raises for none at all, too many, or too large ones."""
    if shape[0] == 0:
        raise InvalidDataset(f"{name} has the shape {shape}: it holds no image; at least 1 is needed.")
    limits.check_images(shape[0])
    height, width, channels = image_shape(shape, layout)
    limits.check_image(height, width, channels, f"Each image of {name}")
    return height, width, channels


def check_pixels(source: ArraySource, layout: Layout, limits: Limits) -> tuple[int, int, int]:
    """(H, W, C) of each image. Raises before anything is read: no images, too many, too large, or no numbers."""
    stored = stored_dtype(source.dtype, source.name)
    height, width, channels = check_shape(source.shape, layout, limits, source.name)
    limits.check_bytes(math.prod(source.shape) * stored.itemsize, f"{source.name} as {stored}")
    if source.size_bytes > 2 * limits.max_bytes:
        raise PayloadTooLarge(f"{source.name}: {source.size_bytes} bytes; at most {2 * limits.max_bytes} are read.")
    return height, width, channels


def find_layout(shape: tuple[int, ...], wanted: Layout | None, name: str) -> Layout:
    """`wanted` where it fits the number of axes, else the guess that `DatasetOptions.layout` describes."""
    if wanted is not None:
        if len(wanted) != len(shape):
            raise InvalidDataset(
                f"{name} has the shape {shape}, {len(shape)} axes; layout={wanted} needs {len(wanted)} axes."
            )
        return wanted
    if len(shape) not in AXES:
        raise InvalidDataset(
            f"{name} has the shape {shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W), vectors are (N, D)."
        )
    if len(shape) == 4 and shape[3] > MOST_GUESSED_CHANNELS >= shape[1]:
        return "NCHW"
    return AXES[len(shape)]


def image_shape(shape: tuple[int, ...], layout: Layout) -> tuple[int, int, int]:
    """(H, W, C) of each image in an array of this shape; vectors of D values are (1, D, 1)."""
    axes = dict(zip(layout, shape, strict=True))
    if layout == "NC":
        return 1, axes["C"], 1
    return axes["H"], axes["W"], axes.get("C", 1)


def to_images(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Rows in `layout` as (n, H, W, C)."""
    if layout == "NCHW":
        return np.ascontiguousarray(values.transpose(0, 2, 3, 1))
    return values.reshape(len(values), *image_shape(values.shape, layout))
