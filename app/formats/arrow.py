"""Arrow streams (IPC), read message by message so that nothing is unpacked before it is counted.

Every batch is validated in full before its values are touched. Buffers of a batch may be compressed: each then says
first how long it will be (Message.fbs, BodyCompression), and all of a batch together are counted before Arrow makes
room for them. Dictionaries, which may stand for any number of copies, are not read.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
from numpy.typing import NDArray

from app.formats.budget import Budget
from app.formats.columns import column_images, find_column
from app.formats.reading import reading
from pinwheel.errors import InvalidDataset, PayloadTooLarge

# Where a field stands in its flatbuffer's table.
HEADER, BUFFERS, COMPRESSION = 2, 2, 3


@contextmanager
def reading_tables(name: str) -> Iterator[None]:
    """What Arrow raises about a damaged table, as `InvalidDataset`."""
    with reading(name):
        try:
            yield
        except MemoryError:
            raise InvalidDataset(f"{name} needs more memory than is allowed.") from None


def stream_images(source: BinaryIO, name: str, budget: Budget) -> Iterator[NDArray[Any]]:
    """The images of a stream, one after the other. Raises `InvalidDataset` and `PayloadTooLarge`."""
    first = 0
    for batch in read_batches(source, name, budget.limits.max_bytes):
        with reading_tables(name):
            images = column_images(batch.column(find_column(batch.schema, None, name)), first, budget)
        while True:
            with reading_tables(name):
                image = next(images, None)
            if image is None:
                break
            yield image
        first += len(batch)
    if first == 0:
        raise InvalidDataset(f"{name} has no row; at least 1 is needed.")


def read_batches(source: BinaryIO, name: str, most_bytes: int) -> Iterator[Any]:
    """The validated record batches of a stream, each of at most `most_bytes` unpacked."""
    with reading_tables(name):
        messages = pa.ipc.MessageReader.open_stream(source)
        head = _next(messages)
        if head is None or head.type != "schema":
            raise InvalidDataset(f"{name} is an Arrow stream without a schema at its start.")
        schema = pa.ipc.read_schema(head)
    while True:
        with reading_tables(name):
            message = _next(messages)
            if message is None:
                return
            batch = _batch(message, schema, name, most_bytes)
        yield batch


def _next(messages: Any) -> Any:
    try:
        return messages.read_next_message()
    except StopIteration:
        return None


def _batch(message: Any, schema: Any, name: str, most_bytes: int) -> Any:
    if message.type != "record batch":
        raise InvalidDataset(f"{name} holds a {message.type}; columns that are plain, without dictionaries, are read.")
    unpacked = unpacked_bytes(message.metadata.to_pybytes(), message.body)
    if unpacked > most_bytes:
        raise PayloadTooLarge(f"A batch of {name} unpacks to {unpacked} bytes; at most {most_bytes} are allowed.")
    batch = pa.ipc.read_record_batch(message, schema)
    batch.validate(full=True)
    return batch


def unpacked_bytes(metadata: bytes, body: Any) -> int:
    """How many bytes Arrow will make room for: of compressed buffers what they say, 0 where nothing is compressed.

    Raises struct.error, IndexError or ValueError for metadata that point outside themselves.
    """
    batch = _follow(metadata, _field(metadata, _follow(metadata, 0), HEADER))
    if _field(metadata, batch, COMPRESSION) is None:
        return 0
    start = _field(metadata, batch, BUFFERS)
    if start is None:
        return 0
    buffers = _follow(metadata, start)
    (count,) = struct.unpack_from("<I", metadata, buffers)
    if count > len(metadata) // 16:
        raise ValueError(f"{count} buffers are more than its metadata hold")
    total = 0
    for number in range(count):
        offset, length = struct.unpack_from("<qq", metadata, buffers + 4 + 16 * number)
        if length >= 8:
            (unpacked,) = struct.unpack("<q", body.slice(offset, 8).to_pybytes())
            total += length if unpacked == -1 else max(unpacked, 0)  # -1: kept as it is
    return total


def _follow(data: bytes, position: int | None) -> int:
    """Where the offset at `position` leads."""
    if position is None:
        raise ValueError("the metadata have no header")
    return position + int(struct.unpack_from("<I", data, position)[0])


def _field(data: bytes, table: int, number: int) -> int | None:
    """Position of a field of the table at `table`, None where it is left out."""
    vtable = table - int(struct.unpack_from("<i", data, table)[0])
    (size,) = struct.unpack_from("<H", data, vtable)
    if 4 + 2 * number >= size:
        return None
    (offset,) = struct.unpack_from("<H", data, vtable + 4 + 2 * number)
    return table + int(offset) if offset else None
