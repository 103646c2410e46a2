"""IDX, the format of the MNIST files (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/).

0, 0, type, number of axes, one big-endian uint32 for each axis, then the values, big-endian, last axis fastest
"""

import struct
from typing import Any, BinaryIO

import numpy as np

from app.formats.arrays import ArraySource
from app.formats.reading import read_exactly
from pinwheel.errors import InvalidDataset

TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
MOST_AXES = 8


def open_idx(stream: BinaryIO, name: str) -> ArraySource:
    """The array whose file `stream` stands at the start of; a gzip stream serves as well."""
    zero, kind, axes = struct.unpack(">HBB", read_exactly(stream, 4, name))
    if zero or kind not in TYPES:
        allowed = ", ".join(f"0x{each:02X}" for each in TYPES)
        raise InvalidDataset(f"{name} is no IDX file that is read: its type is 0x{kind:02X}; there are {allowed}.")
    if not 1 <= axes <= MOST_AXES:
        raise InvalidDataset(f"{name} has {axes} axes; an IDX file has 1 to {MOST_AXES}.")
    shape = struct.unpack(f">{axes}I", read_exactly(stream, 4 * axes, name))
    return ArraySource(name, shape, TYPES[kind], stream)
