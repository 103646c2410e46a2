"""A column of images in a table, from Arrow or Parquet.

- {bytes, path} or binary: encoded image files. `path` is a name for people: no file is ever opened by it.
- lists of numbers, of fixed length or not, nested or not, and `arrow.fixed_shape_tensor`: arrays. In one batch all
  rows have one shape.

Its name is `image` or `images`, or else it is the only column that can be one.
"""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.formats.budget import Budget
from app.formats.images import read_images
from app.formats.limits import Limits
from app.formats.options import Color
from app.formats.pixels import stored_dtype, to_stored
from app.formats.sniff import HEAD_BYTES, is_image
from pinwheel.errors import InvalidDataset

NAMES = ("image", "images")
FIT = "{bytes, path}, binary, or lists of numbers"
MOST_AXES = 4


def find_column(schema: Any, wanted: str | None, name: str) -> str:
    """The column `wanted`, or the one that the head of this file describes. Raises `InvalidDataset`."""
    names = schema.names
    told = ", ".join(f"{field.name!r} ({field.type})"[:120] for field in list(schema)[:20]) or "none"
    if len(set(names)) < len(names):
        raise InvalidDataset(f"{name} has columns of one name; its columns are: {told}.")
    if wanted is not None and wanted not in names:
        raise InvalidDataset(f"{name} has no column {wanted!r}; its columns are: {told}.")
    fitting = [field.name for field in schema if is_encoded(field.type) or is_numbers(field.type)]
    chosen = wanted or next((each for each in NAMES if each in names), fitting[0] if len(fitting) == 1 else None)
    if chosen is None:
        raise InvalidDataset(f"{name} has no column 'image' and not just one of {FIT}; its columns are: {told}.")
    if chosen not in fitting:
        kind = str(schema.field(chosen).type)[:200]
        raise InvalidDataset(f"The column {chosen!r} of {name} holds {kind}; images are {FIT}.")
    return str(chosen)


def is_encoded(kind: Any) -> bool:
    return _is_binary(kind) or (pa.types.is_struct(kind) and _bytes_field(kind) is not None)


def _is_binary(kind: Any) -> bool:
    types = pa.types
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def _bytes_field(kind: Any) -> int | None:
    number = int(kind.get_field_index("bytes"))  # -1 also where there are two of them
    return number if number >= 0 and _is_binary(kind.field(number).type) else None


def is_numbers(kind: Any) -> bool:
    axes, inner = 0, kind.storage_type if isinstance(kind, pa.FixedShapeTensorType) else kind
    while _is_list(inner) and axes < MOST_AXES:
        axes, inner = axes + 1, inner.value_type
    number = pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_boolean(inner)
    return axes > 0 and bool(number)


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def check_no_null(column: Any, first: int, what: str) -> None:
    if column.null_count:
        row = first + int(np.argmin(np.asarray(column.is_valid())))
        raise InvalidDataset(f"{what} is null in row {row}; every row needs an image.")


def encoded(column: Any, first: int) -> Iterator[tuple[int, str, bytes]]:
    """(row, its name for messages, the bytes of its file) of a column of encoded images whose first row is `first`."""
    check_no_null(column, first, "The image")
    files = column
    if pa.types.is_struct(column.type):
        files = column.field(_bytes_field(column.type))
        check_no_null(files, first, "`bytes` of the image")
    for number in range(len(files)):
        yield first + number, f"The image of row {first + number}", files[number].as_buffer().to_pybytes()


def pages_of(name: str, body: bytes, color: Color, limits: Limits) -> Iterator[NDArray[Any]]:
    """The images of one encoded file."""
    if not is_image(body[:HEAD_BYTES]):
        start = f"starts with {body[:8]!r}" if body else "is empty"
        raise InvalidDataset(f"{name} {start}, which is no image. Read are: PNG, JPEG, WebP, TIFF, BMP.")
    return read_images(io.BytesIO(body), name, color, limits)


def shape_of(column: Any, first: int) -> tuple[int, ...]:
    """(rows, …) of a column of numbers. Raises `InvalidDataset` for rows of different shapes, and for nulls."""
    if isinstance(column.type, pa.FixedShapeTensorType):
        check_no_null(column, first, "The image")
        tensor = column.type
        shape = tuple(tensor.shape[axis] for axis in tensor.permutation or range(len(tensor.shape)))
        return len(column), *shape
    sides, inner = [len(column)], column
    while _is_list(inner.type):
        check_no_null(inner, first if len(sides) == 1 else 0, "The image" if len(sides) == 1 else "A list in an image")
        sides.append(_length(inner, first))
        inner = inner.flatten()
    check_no_null(inner, 0, "A number of an image")
    return tuple(sides)


def _length(lists: Any, first: int) -> int:
    """How long every list is."""
    if pa.types.is_fixed_size_list(lists.type):
        return int(lists.type.list_size)
    lengths = np.asarray(lists.value_lengths())
    if len(lengths) and (lengths != lengths[0]).any():
        other = int(np.argmax(lengths != lengths[0]))
        raise InvalidDataset(
            f"The lists of the images from row {first} have different lengths, {lengths[0]} and {lengths[other]}; "
            "numbers of images of different sizes come as encoded images."
        )
    return int(lengths[0]) if len(lengths) else 0


def numbers(column: Any, first: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """A column of numbers as uint8 or float32, of the shape that `shape_of` told."""
    name = f"The column from row {first}"
    if isinstance(column.type, pa.FixedShapeTensorType):
        values = column.to_numpy_ndarray()
    else:
        inner = column
        while _is_list(inner.type):
            inner = inner.flatten()
        values = inner.to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(to_stored(values.reshape(shape), first, name))


def column_images(column: Any, first: int, budget: Budget) -> Iterator[NDArray[Any]]:
    """One image after the other, of rows from `first` on."""
    if is_encoded(column.type):
        for _, name, body in encoded(column, first):
            for image in pages_of(name, body, "keep", budget.limits):
                budget.take(1, image.nbytes)
                yield image
        return
    shape = shape_of(column, first)
    if 0 in shape[1:]:
        raise InvalidDataset(f"The rows from row {first} have the shape {shape[1:]}: they hold no number.")
    budget.take(shape[0], int(np.prod(shape, dtype=np.int64)) * stored_dtype(_number(column), "The column").itemsize)
    yield from numbers(column, first, shape)


def _number(column: Any) -> np.dtype[Any]:
    kind = column.type.storage_type if isinstance(column.type, pa.FixedShapeTensorType) else column.type
    while _is_list(kind):
        kind = kind.value_type
    number: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    return number
