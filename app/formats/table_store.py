"""Tables of images → the one stored form: Parquet files and Arrow streams. Runs inside the converter's child.

Columns of images are as in `app/formats/columns.py`; `images_key` and `labels_key` name others. Labels are whole
numbers, or text, whose values in sorted order are the classes. Names of classes that Hugging Face's `datasets` keep in
the schema's metadata are taken over.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.formats.arrays import check_shape, find_layout, to_images
from app.formats.arrow import read_batches, reading_tables
from app.formats.color import in_color
from app.formats.columns import check_no_null, encoded, find_column, is_encoded, numbers, pages_of, shape_of
from app.formats.limits import MOST_CLASSES, Limits
from app.formats.options import DatasetOptions
from app.formats.sniff import Kind
from app.formats.store_form import MOST_NAME, StoreWriter
from pinwheel.errors import InvalidDataset

LABELS = ("label", "labels")
BATCH_ROWS = 64  # a row may be a large file

Found = tuple[NDArray[np.int64] | None, list[str] | None]


def store_table(
    kind: Kind, path: Path, name: str, writer: StoreWriter, options: DatasetOptions, limits: Limits
) -> Found:
    """Store every row; gives labels and class names where there are any."""
    labels: _Labels | None = None
    first = 0
    for batch in _parquet(path, name, options, limits) if kind == "parquet" else _stream(path, name, limits):
        with reading_tables(name):
            if first == 0:
                labels = _Labels.of(batch.schema, options, name)
            image = batch.column(find_column(batch.schema, _wanted(options.images_key, "images_key"), name))
            for row, images in _rows(image, first, options, limits, writer):
                writer.add(images, f"Row {row} of {name}")
                if labels:
                    labels.take(batch, row - first, len(images))
        first += len(batch)
        limits.check_images(first)
    return labels.finish() if labels and first else (None, None)


def _wanted(given: str, option: str) -> str | None:
    """A name that was asked for; None for the one that stands there by itself."""
    return None if given == DatasetOptions.model_fields[option].default else given


def _stream(path: Path, name: str, limits: Limits) -> Iterator[Any]:
    with path.open("rb") as file:
        yield from read_batches(file, name, limits.max_bytes)


def _parquet(path: Path, name: str, options: DatasetOptions, limits: Limits) -> Iterator[Any]:
    """Validated batches of the columns that are needed; the child's limits bound what a page unpacks to."""
    with reading_tables(name):
        file = pq.ParquetFile(path, pre_buffer=False)
        limits.check_images(file.metadata.num_rows)
        schema = file.schema_arrow
        columns = [find_column(schema, _wanted(options.images_key, "images_key"), name)]
        labels = _label_column(schema, options, name)
        batches = file.iter_batches(BATCH_ROWS, columns=columns + ([labels] if labels else []), use_threads=False)
    while True:
        with reading_tables(name):
            batch = next(batches, None)
            if batch is None:
                return
            batch = batch.replace_schema_metadata(schema.metadata)
            batch.validate(full=True)
        yield batch


def _rows(
    column: Any, first: int, options: DatasetOptions, limits: Limits, writer: StoreWriter
) -> Iterator[tuple[int, NDArray[Any]]]:
    """(row, its images (n, H, W, C)): one, or each page of a TIFF."""
    if is_encoded(column.type):
        for row, name, body in encoded(column, first):
            try:
                pages = list(pages_of(name, body, options.color, limits))
            except InvalidDataset as error:
                if options.on_bad_file == "fail":
                    raise
                writer.skip(name, error.detail)
                continue
            for image in pages:
                yield row, image[None]
        return
    shape = shape_of(column, first)
    layout = find_layout(shape, options.layout, "The column")
    check_shape(shape, layout, limits, "The column")
    images = to_images(numbers(column, first, shape), layout)
    images = in_color(images, "keep" if layout == "NC" else options.color)
    for number, image in enumerate(images):
        yield first + number, image[None]


def _label_column(schema: Any, options: DatasetOptions, name: str) -> str | None:
    wanted = _wanted(options.labels_key, "labels_key")
    if wanted is not None and wanted not in schema.names:
        raise InvalidDataset(f"{name} has no column {wanted!r}; its columns are: {', '.join(schema.names)[:500]}.")
    return wanted or next((each for each in LABELS if each in schema.names), None)


class _Labels:
    """The labels of the images as they are taken."""

    def __init__(self, column: str, kind: Any, names: list[str] | None) -> None:
        self._column = column
        self._kind = kind
        self._names = names
        self._found: list[Any] = []

    @classmethod
    def of(cls, schema: Any, options: DatasetOptions, name: str) -> "_Labels | None":
        column = _label_column(schema, options, name)
        if column is None:
            return None
        kind = schema.field(column).type
        if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise InvalidDataset(f"The column {column!r} holds {kind}; labels are whole numbers or text.")
        return cls(column, kind, _class_names(schema, column))

    def take(self, batch: Any, row: int, count: int) -> None:
        values = batch.column(self._column)
        check_no_null(values, row, "The label")
        self._found += [values[row].as_py()] * count

    def finish(self) -> Found:
        if not pa.types.is_integer(self._kind):
            names = sorted(set(self._found))
            _check_names(names)
            numbers = {name: number for number, name in enumerate(names)}
            return np.array([numbers[name] for name in self._found], np.int64), [name[:MOST_NAME] for name in names]
        if any(not 0 <= label < MOST_CLASSES for label in self._found):
            bad = next(label for label in self._found if not 0 <= label < MOST_CLASSES)
            raise InvalidDataset(f"A label is {bad}; labels lie in 0..{MOST_CLASSES - 1}.")
        labels = np.array(self._found, np.int64)
        fitting = self._names is not None and (not len(labels) or labels.max() < len(self._names))
        return labels, self._names if fitting else None


def _check_names(names: list[str]) -> None:
    if len(names) > MOST_CLASSES:
        raise InvalidDataset(f"There are {len(names)} classes; at most {MOST_CLASSES} are allowed.")


def _class_names(schema: Any, column: str) -> list[str] | None:
    """Names of classes as `datasets` keeps them: {"info": {"features": {column: {"names": […]}}}}."""
    try:
        kept = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = kept["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    if not isinstance(names, list) or not 0 < len(names) <= MOST_CLASSES:
        return None
    return [str(name)[:MOST_NAME] for name in names]
