"""Zip and tar files of images. No path in them is ever opened; what they unpack to is counted as it is read.

Images are taken in the sorted order of their names, so that a zip and a tar of one folder are one data set. Hidden
files and `__MACOSX` are passed over. Labels come from folder names: below the folder that all images share, the first
folder of each image is its class, provided that every image lies in one. Classes are numbered in sorted order.
"""

import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from app.formats.images import read_images
from app.formats.limits import MOST_RATIO, RATIO_CHECKED_FROM, Limits
from app.formats.npy import check_entry
from app.formats.options import Color, DatasetOptions
from app.formats.reading import BLOCK_BYTES, reading
from app.formats.sniff import HEAD_BYTES, READ, is_image, is_packed
from app.formats.store_form import MOST_NAME, StoreWriter
from pinwheel.errors import InvalidDataset, PayloadTooLarge

KEPT_IN_MEMORY = 16 * BLOCK_BYTES
SYSTEM_FILES = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Entry:
    """A file in an archive: its name there, how many bytes it takes there, and how to open it."""

    name: str
    packed_bytes: int
    open: Callable[[], IO[bytes]]


class Unpacked:
    """Counts what has been unpacked from one upload, and stops when it passes a limit."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.size_bytes = 0

    def copy(self, source: IO[bytes], target: IO[bytes], name: str, packed_bytes: int | None = None) -> int:
        """Copy `source` to its end; gives its size. Raises `PayloadTooLarge` as soon as a limit is passed."""
        size = 0
        with reading(name):
            while part := source.read(BLOCK_BYTES):
                size += len(part)
                self.size_bytes += len(part)
                self._limits.check_bytes(self.size_bytes, f"The upload unpacked as far as {name}")
                if packed_bytes is not None and size > max(RATIO_CHECKED_FROM, MOST_RATIO * packed_bytes):
                    raise PayloadTooLarge(
                        f"{name} unpacks to more than {size} bytes from {packed_bytes}; at most {MOST_RATIO} times its "
                        "size is allowed."
                    )
                target.write(part)
        return size


def store_archive(
    entries: list[Entry], writer: StoreWriter, options: DatasetOptions, limits: Limits, unpacked: Unpacked
) -> tuple[NDArray[np.int64] | None, list[str] | None]:
    """Store every image of the archive; gives labels and class names where folders name classes."""
    paths: list[PurePosixPath] = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        before = writer.count
        _store_entry(entry, writer, options, limits, unpacked)
        paths += [PurePosixPath(entry.name)] * (writer.count - before)
    return folder_labels(paths)


def _store_entry(
    entry: Entry, writer: StoreWriter, options: DatasetOptions, limits: Limits, unpacked: Unpacked
) -> None:
    label = repr(entry.name[:MOST_NAME])
    head = _head(entry, label)
    # Only what reading raises is about this file alone; what `add` raises is about the data set, and is never skipped.
    for image in _readable(_images_of(entry, label, head, options.color, limits, unpacked), entry, writer, options):
        writer.add(image[None], label)


def archive_images(entries: list[Entry], name: str, limits: Limits) -> Iterator[NDArray[Any]]:
    """The images of an archive, in the sorted order of their names. A file that is no image is refused."""
    if not entries:
        raise InvalidDataset(f"{name} holds no file; at least 1 image is needed.")
    unpacked = Unpacked(limits)
    for entry in sorted(entries, key=lambda entry: entry.name):
        label = repr(entry.name[:MOST_NAME])
        yield from _images_of(entry, label, _head(entry, label), "keep", limits, unpacked)


def _head(entry: Entry, label: str) -> bytes:
    """The first bytes of a file in an archive. Raises `InvalidDataset` for an archive in it."""
    with _opened(entry, label) as source, reading(label):
        head = source.read(HEAD_BYTES)
    if is_packed(head):
        raise InvalidDataset(f"{label} is an archive inside the archive; only images are read in there.")
    return head


def _readable(
    images: Iterator[NDArray[Any]], entry: Entry, writer: StoreWriter, options: DatasetOptions
) -> Iterator[NDArray[Any]]:
    try:
        yield from images
    except InvalidDataset as error:
        if options.on_bad_file == "fail":
            raise
        writer.skip(entry.name, error.detail)


def _images_of(
    entry: Entry, label: str, head: bytes, color: Color, limits: Limits, unpacked: Unpacked
) -> Iterator[NDArray[Any]]:
    if not is_image(head):
        raise InvalidDataset(
            f"{label} is no image (it starts with {head[:8]!r}); on_bad_file=skip leaves such files out. "
            f"Read are: {READ}."
        )
    with tempfile.SpooledTemporaryFile(KEPT_IN_MEMORY) as file, _opened(entry, label) as source:
        unpacked.copy(source, file, label, entry.packed_bytes)
        file.seek(0)
        yield from read_images(file, label, color, limits)


@contextmanager
def _opened(entry: Entry, label: str) -> Iterator[IO[bytes]]:
    with reading(label):
        source = entry.open()
    with source:
        yield source


def folder_labels(paths: list[PurePosixPath]) -> tuple[NDArray[np.int64] | None, list[str] | None]:
    """Labels (N,) and class names of images at these paths, or nothing where the folders name no classes."""
    if not paths:
        return None, None
    shared = 0
    shortest = min(len(path.parts) for path in paths) - 1
    while shared < shortest and len({path.parts[shared] for path in paths}) == 1:
        shared += 1
    if shared == shortest:
        return None, None
    folders = [path.parts[shared][:MOST_NAME] for path in paths]
    names = sorted(set(folders))
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[folder] for folder in folders], dtype=np.int64), names


def zip_entries(archive: zipfile.ZipFile, name: str, limits: Limits) -> list[Entry]:
    """The files of a zip that may be images. Raises on paths that climb out, links, and encryption."""
    found = []
    for info in archive.infolist():
        check_path(info.filename, name)
        if info.is_dir() or _is_hidden(info.filename):
            continue
        check_entry(info, name)
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise InvalidDataset(f"{info.filename[:MOST_NAME]!r} in {name} is a link or a device; only files are read.")
        found.append(Entry(info.filename, info.compress_size, lambda info=info: archive.open(info)))  # type: ignore[misc]
        limits.check_images(len(found))
    return found


def tar_entries(archive: tarfile.TarFile, name: str, limits: Limits) -> list[Entry]:
    """The files of a tar that may be images. Raises on paths that climb out, links, devices and sparse files."""
    found = []
    with reading(name):
        for info in archive:
            check_path(info.name, name)
            if info.isdir() or _is_hidden(info.name):
                continue
            if not info.isreg() or info.issparse():
                raise InvalidDataset(f"{info.name[:MOST_NAME]!r} in {name} is a link or a device; only files are read.")
            found.append(Entry(info.name, info.size, lambda info=info: _tar_file(archive, info)))  # type: ignore[misc]
            limits.check_images(len(found))
        _check_tar_end(archive, name)
    return found


def _check_tar_end(archive: tarfile.TarFile, name: str) -> None:
    """tarfile takes a damaged header for the end of the archive; the true end is a block of zeros."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise InvalidDataset(f"{name} is damaged or cut short: there is no end mark at byte {archive.offset}.")


def _tar_file(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    assert file is not None  # only regular files become entries
    return file


def check_path(path: str, name: str) -> None:
    """Raises `InvalidDataset` for a path that leads out of the archive, though none is ever opened."""
    parts = path.replace("\\", "/").split("/")
    if ".." in parts or path.startswith(("/", "\\")) or (len(path) > 1 and path[1] == ":"):
        raise InvalidDataset(f"{name} holds the path {path[:MOST_NAME]!r}; only paths inside the archive are allowed.")


def _is_hidden(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return any(part.startswith(".") or part in SYSTEM_FILES for part in parts)


@contextmanager
def open_zip(path: Path | IO[bytes], name: str) -> Iterator[zipfile.ZipFile]:
    with reading(name):
        archive = zipfile.ZipFile(path)
    with archive:
        yield archive


@contextmanager
def open_tar(path: Path, name: str) -> Iterator[tarfile.TarFile]:
    with reading(name):
        archive = tarfile.open(path, mode="r:")  # noqa: SIM115  # closed below; opening alone is guarded
    with archive:
        yield archive
