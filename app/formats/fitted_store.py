"""The body of an encode request, whatever its size, → the one stored form in the model's shape.

Runs inside the converter's child, for requests that become jobs. What is read, and how it is understood, is what
`app/formats/inputs.py` does in memory; arrays are taken in chunks, everything else image by image.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.formats import archives, arrow
from app.formats.arrays import ArraySource
from app.formats.budget import Budget
from app.formats.fit import ModelInputs, as_floats, fit_one, fitted, misfit
from app.formats.images import read_images
from app.formats.inputs import body_kind, check_holds, check_part, images_key
from app.formats.json_inputs import json_images
from app.formats.limits import Limits
from app.formats.npy import member_keys, open_member, open_npy, open_npz
from app.formats.pixels import stored_dtype, to_stored
from app.formats.reading import check_end, read_exactly
from app.formats.sniff import HEAD_BYTES, holds_arrays
from app.formats.store_form import StoreWriter
from pinwheel.errors import InvalidRequest, PayloadTooLarge

Blocks: TypeAlias = Iterator[NDArray[Any]]  # (n, H, W, C) in the model's shape
Files: TypeAlias = dict[str, list[tuple[Path, str]]]  # path and name, by field: body, json, or image of each part


class _Mixed(Exception):
    """uint8 and float32 side by side: all become float32, from the first on."""


def store_fitted(files: Files, model: ModelInputs, target: Path, scratch: Path, limits: Limits) -> dict[str, Any]:
    """Convert and give the manifest. Raises what `decode_inputs` raises."""
    try:
        return _store(files, model, target, scratch, limits, floats=False)
    except _Mixed:
        return _store(files, model, target, scratch, limits, floats=True)


def _store(
    files: Files, model: ModelInputs, target: Path, scratch: Path, limits: Limits, *, floats: bool
) -> dict[str, Any]:
    dtype = None
    with StoreWriter(target, limits) as writer:
        for block in _blocks(files, model, scratch, limits):
            wanted = as_floats(block) if floats else block
            if dtype not in (None, wanted.dtype):
                raise _Mixed
            dtype = wanted.dtype
            writer.add(wanted, "The request")
        return writer.finish()


def _blocks(files: Files, model: ModelInputs, scratch: Path, limits: Limits) -> Blocks:
    if "image" in files:
        for number, image in enumerate(_parts(files["image"], limits)):
            yield fit_one(image, *model, f"Image {number}")[None]
        return
    [(field, [(path, _)])] = files.items()
    if field == "json":
        for number, image in enumerate(json_images(path.read_bytes(), Budget(limits, limits.max_bytes))):
            yield fit_one(image, *model, f"Image {number}")[None]
        return
    yield from _body(path, model, scratch, limits)


def _parts(parts: list[tuple[Path, str]], limits: Limits) -> Blocks:
    if not parts:
        raise InvalidRequest("There is no image; send at least 1 part named image.")
    for number, (path, _) in enumerate(parts):
        with path.open("rb") as file:
            check_part(file.read(HEAD_BYTES), number)
            file.seek(0)
            yield from read_images(file, f"Part {number}", "keep", limits)


def _body(path: Path, model: ModelInputs, scratch: Path, limits: Limits) -> Blocks:
    with path.open("rb") as file:
        kind = body_kind(file.read(HEAD_BYTES), "")
        file.seek(0)
        if kind == "zip" and holds_arrays(file, "The body"):
            file.seek(0)
            with open_npz(file, "The npz file") as archive:
                key = images_key(member_keys(archive))
                with open_member(archive, key, "the npz file") as source:
                    yield from _array(source, model, scratch, limits)
            return
        file.seek(0)
        if kind == "npy":
            yield from _array(open_npy(file, "The array"), model, scratch, limits)
            return
        for number, image in enumerate(_images(kind, file, limits)):
            yield fit_one(image, *model, f"Image {number}")[None]


def _images(kind: str, file: Any, limits: Limits) -> Blocks:
    if kind == "image":
        yield from read_images(file, "The image", "keep", limits)
    elif kind == "arrow":
        yield from arrow.stream_images(file, "The table", Budget(limits, limits.max_bytes))
    else:
        with archives.open_zip(file, "The zip") as archive:
            entries = archives.zip_entries(archive, "the zip", limits)
            yield from archives.archive_images(entries, "The zip", limits)


def _array(source: ArraySource, model: ModelInputs, scratch: Path, limits: Limits) -> Blocks:
    """The array in chunks of images, or as the one image that it is."""
    check_holds(source)
    dtype = stored_dtype(source.dtype, source.name)
    limits.check_bytes(int(np.prod(source.shape, dtype=object)) * dtype.itemsize, f"{source.name} as {dtype}")
    if len(source.shape) > 1 and fitted(np.empty((0, *source.shape[1:]), dtype), *model) is not None:
        limits.check_images(source.shape[0])
        for first, rows in source.rows(scratch):
            block = fitted(to_stored(rows, first, source.name), *model)
            assert block is not None  # every chunk has the shape that was looked at
            yield block
        return
    if fitted(np.empty((0, *source.shape), dtype), *model) is None:
        raise misfit(source.name, source.shape, *model)
    if source.size_bytes > limits.max_bytes:
        raise PayloadTooLarge(f"{source.name}: {source.size_bytes} bytes; at most {limits.max_bytes} are read.")
    data = read_exactly(source.stream, source.size_bytes, source.name)
    check_end(source.stream, source.name)
    values = np.frombuffer(data, source.dtype).reshape(source.shape, order="F" if source.fortran else "C")
    image = fitted(to_stored(values.astype(source.dtype.newbyteorder("="))[None], 0, source.name), *model)
    assert image is not None
    yield image
