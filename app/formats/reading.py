"""Reading hostile files: what a damaged one raises becomes one clear error, and nothing is read without a bound."""

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from pinwheel.errors import InvalidDataset, PinwheelError, StoreUnavailable, is_full

BLOCK_BYTES = 1024 * 1024
DAMAGE = (
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    OverflowError,
    LookupError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what the readers of the standard library raise about a damaged file into `InvalidDataset`."""
    try:
        yield
    except PinwheelError:
        raise
    except DAMAGE as error:
        if is_full(error):
            raise no_space() from None
        raise InvalidDataset(f"{name} is damaged or cut short: {brief(error)}.") from None


def no_space() -> StoreUnavailable:
    """For an upload that cannot be unpacked because the disk is full."""
    return StoreUnavailable("There is no space left to unpack the upload.", retry_after_seconds=60)


def brief(error: BaseException, most: int = 200) -> str:
    """The error's text on one line, no longer than `most` characters; its kind where it has no text."""
    text = " ".join(str(error).split()).rstrip(".")
    return text[:most] if text else type(error).__name__


def read_exactly(stream: BinaryIO, size: int, name: str) -> bytes:
    """`size` bytes, or `InvalidDataset` with how many there are. Memory grows with what is there, not with `size`."""
    parts: list[bytes] = []
    missing = size
    with reading(name):
        while missing and (part := stream.read(min(missing, BLOCK_BYTES))):
            parts.append(part)
            missing -= len(part)
    if missing:
        raise InvalidDataset(f"{name} is cut short: {size} bytes were expected here, {size - missing} are there.")
    return b"".join(parts)


def check_end(stream: BinaryIO, name: str) -> None:
    """Raises `InvalidDataset` when bytes follow; reading to the end also checks the sums of zip and gzip."""
    with reading(name):
        extra = stream.read(1)
    if extra:
        raise InvalidDataset(
            f"{name} goes on after its last value: its header says there are fewer bytes than there are."
        )
