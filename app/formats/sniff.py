"""What a body is, by its first bytes. The name and the content type that a client gives are not asked.

zip     PK\\3\\4 (npz: a zip that holds nothing but .npy entries)      npy    \\x93NUMPY
tar     a header whose check sum is right (POSIX.1-1988, ustar)       gzip   \\x1f\\x8b around tar or IDX
IDX     0, 0, a type of 8, 9, 11-14, the number of axes               PNG, JPEG, WebP, TIFF, BMP by their magic numbers
Arrow   a stream: the mark of its first message, \xff\xff\xff\xff       Parquet PAR1
"""

import gzip
import zipfile
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from app.formats.reading import reading
from pinwheel.errors import UnsupportedMediaType

Kind: TypeAlias = Literal["zip", "tar", "npy", "npz", "idx", "image", "parquet", "arrow"]
Packing: TypeAlias = Literal["gzip"] | None

HEAD_BYTES = 512
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
ARROW = b"\xff\xff\xff\xff"
IDX_TYPES = frozenset({0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E})
IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM")
# Archives and packed files that would be unpacked a second time.
PACKED = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    GZIP,
    b"BZh",
    b"\xfd7zXZ\0",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!",
    b"\x28\xb5\x2f\xfd",
    PARQUET,
)
READ = (
    "zip or tar of images (also .tar.gz), .npy, .npz, IDX (also gzip), Parquet, Arrow streams, "
    "PNG, JPEG, WebP, TIFF, BMP"
)


def sniff(path: Path, name: str) -> tuple[Kind, Packing]:
    """What the file at `path` is, and whether it is packed. `UnsupportedMediaType` names what is read."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if head.startswith(GZIP):
            return _inside_gzip(file, name)
        kind = kind_of(head)
        if kind == "zip" and holds_arrays(file, name):
            kind = "npz"
    return known(kind, head, name), None


def known(kind: Kind | None, head: bytes, name: str) -> Kind:
    """`kind`, or `UnsupportedMediaType` when there is none."""
    if kind is None:
        start = f"starts with {head[:8]!r}" if head else "is empty"
        raise UnsupportedMediaType(f"{name} {start}, which is no format that is read. Read are: {READ}.")
    return kind


def kind_of(head: bytes) -> Kind | None:
    """The kind that the first 512 bytes show; npz cannot be told from zip here."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if is_image(head):
        return "image"
    if head.startswith(PARQUET):
        return "parquet"
    if head.startswith(ARROW) and len(head) >= 8:
        return "arrow"
    if len(head) >= 4 and head[:2] == b"\0\0" and head[2] in IDX_TYPES and 1 <= head[3] <= 8:
        return "idx"
    return "tar" if is_tar(head) else None


def is_image(head: bytes) -> bool:
    return head.startswith(IMAGES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def is_packed(head: bytes) -> bool:
    return head.startswith(PACKED) or is_tar(head)


def is_tar(head: bytes) -> bool:
    """Whether the check sum in a tar header (octal at byte 148, its own bytes counted as blanks) is right."""
    if len(head) < HEAD_BYTES:
        return False
    try:
        stated = int(head[148:156].split(b"\0")[0].strip() or b"x", 8)
    except ValueError:
        return False
    return stated == sum(head[:148]) + 8 * 32 + sum(head[156:HEAD_BYTES])


def holds_arrays(file: BinaryIO, name: str) -> bool:
    """Whether the zip holds nothing but .npy entries, and at least one."""
    with reading(name), zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        return bool(names) and all(entry.endswith(".npy") for entry in names)


def _inside_gzip(file: BinaryIO, name: str) -> tuple[Kind, Packing]:
    file.seek(0)
    with reading(name), gzip.GzipFile(fileobj=file) as unpacked:
        head = unpacked.read(HEAD_BYTES)
    kind = kind_of(head)
    if kind not in ("tar", "idx"):
        raise UnsupportedMediaType(f"{name} is gzip around something that is neither tar nor IDX. Read are: {READ}.")
    return kind, "gzip"
