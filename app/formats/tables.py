"""Features as tables: an Arrow stream or a Parquet file with one column, `features`, and a row for each image.

Dense rows are lists of a fixed length, sparse ones lists of {unit, value}. The schema's metadata say whose features
they are and how long a row is, which a sparse one does not show.
"""

import json
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.formats.rows import Csr, Rows

if TYPE_CHECKING:
    from app.formats.features import About

COLUMN = "features"


def schema(rows: Rows, sparse: bool, about: "About") -> pa.Schema:
    number = pa.from_numpy_dtype(rows.dtype)
    kind = (
        pa.list_(pa.field("item", _pair(number), False))
        if sparse
        else pa.list_(pa.field("item", number, False), rows.shape[1])
    )
    words = {
        "object": "features",
        "model": about.model,
        "version": about.version,
        "shape": list(rows.shape),
        "format": "csr" if sparse else "dense",
    }
    return pa.schema([pa.field(COLUMN, kind, False)], {"pinwheel": json.dumps(words)})


def _pair(number: Any) -> Any:
    return pa.struct([pa.field("unit", pa.int32(), False), pa.field("value", number, False)])


def _batches(rows: Rows, sparse: bool, shown: pa.Schema) -> Iterator[pa.RecordBatch]:
    kind = shown.field(COLUMN).type
    if sparse:
        for block in rows.sparse():
            yield pa.record_batch([_lists(block, kind)], schema=shown)
        return
    for dense in rows.dense():
        numbers = pa.array(np.ascontiguousarray(dense).reshape(-1))
        yield pa.record_batch([pa.FixedSizeListArray.from_arrays(numbers, type=kind)], schema=shown)


def _lists(block: Csr, kind: Any) -> Any:
    pairs = pa.StructArray.from_arrays([pa.array(block.indices), pa.array(block.values)], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(block.indptr.astype(np.int32)), pairs, type=kind)


def write_arrow(out: IO[bytes], rows: Rows, sparse: bool, about: "About") -> None:
    shown = schema(rows, sparse, about)
    with pa.ipc.new_stream(out, shown) as writer:
        for batch in _batches(rows, sparse, shown):
            writer.write_batch(batch)


def write_parquet(out: IO[bytes], rows: Rows, sparse: bool, about: "About") -> None:
    shown = schema(rows, sparse, about)
    with pq.ParquetWriter(out, shown, compression="zstd") as writer:
        for batch in _batches(rows, sparse, shown):
            writer.write_batch(batch)
