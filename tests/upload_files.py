"""Files for the tests of formats: every one is made here, byte by byte where it must lie."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.formats.limits import Limits
from app.formats.options import DatasetOptions
from app.formats.stored import Request, store

LIMITS = Limits(max_bytes=64 * 2**20, max_images=10_000, max_pixels=1_000_000)
IDX_TYPES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}


def convert_here(
    folder: Path, files: dict[str, bytes | list[bytes]], limits: Limits = LIMITS, **options: Any
) -> dict[str, Any]:
    """Convert without the child: the manifest; the stored form lies in `folder / "out"`."""
    out, scratch = folder / "out", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    staged: dict[str, list[Path]] = {}
    for field, bodies in files.items():
        for number, body in enumerate(bodies if isinstance(bodies, list) else [bodies]):
            path = folder / f"{field}-{number}"
            path.write_bytes(body)
            staged.setdefault(field, []).append(path)
    names = {field: [f"{field}-{number}.bin" for number in range(len(paths))] for field, paths in staged.items()}
    names |= {"body": ["body"]} if "body" in staged else {}
    return store(Request(staged, names, DatasetOptions(**options), out, scratch, limits))


def stored(folder: Path, name: str = "images") -> np.ndarray:
    array: np.ndarray = np.load(folder / "out" / f"{name}.npy", allow_pickle=False)
    return array


def npy(array: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def npy_saying(data: bytes, descr: str = "|u1", shape: str = "(2, 3, 4)", fortran: str = "False") -> bytes:
    """A .npy file whose header says what it is told to."""
    header = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def npz(compressed: bool = False, **arrays: Any) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **arrays)
    return out.getvalue()


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, IDX_TYPES[array.dtype.name], array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def packed(body: bytes) -> bytes:
    return gzip.compress(body, 1)


def picture(array: Any, format: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    image = array if isinstance(array, Image.Image) else Image.fromarray(np.asarray(array))
    out = io.BytesIO()
    (image.convert(mode) if mode else image).save(out, format, **options)
    return out.getvalue()


def stack(pages: list[np.ndarray]) -> bytes:
    first, *others = [Image.fromarray(page) for page in pages]
    return picture(first, "TIFF", save_all=True, append_images=others)


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return out.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w", members: list[tarfile.TarInfo] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        for member in members or []:
            archive.addfile(member)
    return out.getvalue()


def bomb(start: bytes, size: int) -> bytes:
    """A zip whose one entry, `bomb.bmp`, starts like a picture and unpacks to `size` zeros more."""
    part = 2**20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(part)) + packer.flush(zlib.Z_FULL_FLUSH)
    data += zeros * (size // part) + packer.flush(zlib.Z_FINISH)
    claimed = min(len(start) + size, 2**32 - 2)
    name = b"bomb.bmp"
    common = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(data), claimed, len(name), 0)
    local = b"PK\x03\x04" + common + name + data
    central = b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    return local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def gray(height: int = 5, width: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def colour(height: int = 5, width: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def many(count: int = 7, height: int = 5, width: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width), dtype=np.uint8)
