"""A checksum inside a safetensors file, so that a torn or altered checkpoint is known before it is used.

The metadata entry `sha256` is the digest of the whole file with 64 zeros in that entry's place. No torch: the
supervisor looks at seals too.
"""

import hashlib
import json
from pathlib import Path

SEAL = "sha256"
BLANK = "0" * 64
CHUNK_BYTES = 1 << 20
MOST_HEADER_BYTES = 100_000_000  # the limit of the safetensors library


def seal(path: Path) -> None:
    """Put the digest into a file that was written with `BLANK` as the metadata entry `SEAL`."""
    start, header = _header(path)
    at = start + header.index(BLANK.encode())
    digest = _digest(path, start, header)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(digest.encode())


def intact(path: Path) -> bool:
    """Whether the file is there and as it was written; a file without a seal is not."""
    try:
        start, header = _header(path)
        sealed = json.loads(header)["__metadata__"][SEAL]
        return header.count(sealed.encode()) == 1 and sealed == _digest(
            path, start, header.replace(sealed.encode(), BLANK.encode())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _header(path: Path) -> tuple[int, bytes]:
    """Where the JSON header begins, and its bytes. Raises ValueError where the file is shorter than it says."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > MOST_HEADER_BYTES:
            raise ValueError(f"a header of {size} bytes; {MOST_HEADER_BYTES} are allowed")
        header = file.read(size)
    if len(header) != size:
        raise ValueError(f"the header has {len(header)} bytes of {size}")
    return 8, header


def _digest(path: Path, start: int, header: bytes) -> str:
    digest = hashlib.sha256(len(header).to_bytes(start, "little") + header)
    with path.open("rb") as file:
        file.seek(start + len(header))
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
