"""NumPy's .npy and .npz, read as streams. Headers are checked before a byte of data is believed; nothing is unpickled.

Format: magic, version, length of the header, a Python literal {descr, fortran_order, shape}, the values
(NEP 1, https://numpy.org/neps/nep-0001-npy-format.html). npz: a zip of such files.
"""

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np

from app.formats.arrays import ArraySource
from app.formats.reading import read_exactly, reading
from pinwheel.errors import InvalidDataset, PayloadTooLarge

MAGIC = b"\x93NUMPY"
MOST_HEADER_BYTES, SHORT_HEADER_BYTES = 10_000, 256
METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
ENCRYPTED = 0x1
END, END_BYTES = b"PK\x05\x06", 22
ZIP64_LOCATOR = b"PK\x06\x07"
DIRECTORY_BYTES = 512  # of an entry with a long name


def open_npy(stream: BinaryIO, name: str) -> ArraySource:
    """The array at whose start `stream` stands. Raises `InvalidDataset` for a header that cannot be true."""
    head = read_exactly(stream, len(MAGIC) + 2, name)
    if not head.startswith(MAGIC):
        raise InvalidDataset(f"{name} is no .npy file: it starts with {head!r}, not with {MAGIC!r}.")
    if head[6] not in (1, 2):
        raise InvalidDataset(f"{name} has the .npy version {head[6]}.{head[7]}; 1.0 and 2.0 are read.")
    length_format = "<H" if head[6] == 1 else "<I"
    length = read_exactly(stream, struct.calcsize(length_format), name)
    (size,) = struct.unpack(length_format, length)
    if size > MOST_HEADER_BYTES:
        raise InvalidDataset(f"{name} has a header of {size} bytes; at most {MOST_HEADER_BYTES} are allowed.")
    header = length + read_exactly(stream, size, name)
    try:
        shape, fortran, dtype = (_read_often if len(header) <= SHORT_HEADER_BYTES else _read)(head[6], header)
    except Exception as error:  # numpy evaluates a literal: what a hostile one raises has no bound
        raise InvalidDataset(f"{name} has a header that cannot be read ({type(error).__name__}).") from None
    return _checked(ArraySource(name, shape, dtype, stream, fortran))


def _read(version: int, header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and number format, from a header that begins with its length."""
    read = np.lib.format.read_array_header_1_0 if version == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(io.BytesIO(header), max_header_size=MOST_HEADER_BYTES)
    return tuple(int(side) for side in shape), bool(fortran), dtype


_read_often = lru_cache(maxsize=256)(_read)  # many requests have arrays of one shape


def _checked(source: ArraySource) -> ArraySource:
    if source.dtype.hasobject:
        raise InvalidDataset(f"{source.name} holds pickled Python objects, which are never read; send plain numbers.")
    if not source.shape or any(side < 0 for side in source.shape):
        raise InvalidDataset(
            f"{source.name} has the shape {source.shape}; an array needs at least one axis, none below 0."
        )
    if source.dtype.itemsize == 0:
        raise InvalidDataset(f"{source.name} has the dtype {source.dtype}, which holds nothing.")
    # One axis, or all but one of length 1: both orders are the same bytes.
    if source.fortran and sum(side > 1 for side in source.shape) <= 1:
        return ArraySource(source.name, source.shape, source.dtype, source.stream)
    return source


def check_directory(file: BinaryIO, name: str, most_entries: int) -> None:
    """Raises where a zip says that its directory is far longer than so many entries need: it is read whole.

    The directory's length is that of the end record (APPNOTE 4.3.16), which is looked for as `zipfile` does. A zip64 of
    this size has no reason to be one.
    """
    size = file.seek(0, io.SEEK_END)
    start = max(0, size - END_BYTES - 65_536)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    plain = tail[-END_BYTES:]
    at = len(tail) - END_BYTES if plain.startswith(END) and plain.endswith(b"\0\0") else tail.rfind(END)
    if at < 0 or len(tail) - at < END_BYTES:
        raise InvalidDataset(f"{name} is damaged or cut short: it has no directory at its end.")
    (length,) = struct.unpack_from("<I", tail, at + 12)
    if tail[at - 20 : at].startswith(ZIP64_LOCATOR) or length > DIRECTORY_BYTES * (most_entries + 1):
        raise PayloadTooLarge(f"{name} has a directory of more than {most_entries} files, which are allowed.")


@contextmanager
def open_npz(file: BinaryIO, name: str) -> Iterator[zipfile.ZipFile]:
    """The zip, with entries that are stored or deflated and not encrypted."""
    with reading(name):
        archive = zipfile.ZipFile(file)
    with archive:
        for entry in archive.infolist():
            check_entry(entry, name)
        yield archive


def check_entry(entry: zipfile.ZipInfo, name: str) -> None:
    """Raises `InvalidDataset` for entries that are encrypted, or packed so that unpacking has no bound in memory."""
    if entry.flag_bits & ENCRYPTED:
        raise InvalidDataset(f"{entry.filename[:200]!r} in {name} is encrypted; send the archive without a password.")
    if entry.compress_type not in METHODS:
        raise InvalidDataset(
            f"{entry.filename[:200]!r} in {name} is packed by method {entry.compress_type}; "
            f"{' and '.join(METHODS.values())} are read."
        )


@contextmanager
def open_member(archive: zipfile.ZipFile, key: str, name: str) -> Iterator[ArraySource]:
    """The array `key` of an npz. Raises `InvalidDataset` that names the arrays there are."""
    keys = member_keys(archive)
    if key not in keys:
        raise InvalidDataset(
            f"{name} has no array {key!r}; it has: {', '.join(repr(each[:100]) for each in keys[:20])}."
        )
    label = f"{key!r} in {name}"
    with reading(label):
        stream = archive.open(f"{key}.npy")
    with stream:
        yield open_npy(stream, label)  # type: ignore[arg-type]  # a ZipExtFile reads like a BinaryIO


def member_keys(archive: zipfile.ZipFile) -> list[str]:
    return [entry.removesuffix(".npy") for entry in archive.namelist()]
