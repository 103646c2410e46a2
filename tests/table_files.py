"""Arrow streams and Parquet files for tests: one column of images, told in every way that is read."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from upload_files import gray, many, picture

PICTURES = [picture(gray(seed=seed)) for seed in range(7)]
ENCODED = np.stack([gray(seed=seed) for seed in range(7)])


def structs(bodies: list[bytes]) -> Any:
    return pa.array([{"bytes": body, "path": f"/etc/{number}.png"} for number, body in enumerate(bodies)])


TABLES: dict[str, tuple[Any, np.ndarray]] = {
    "{bytes, path}": (pa.table({"id": list("abcdefg"), "image": structs(PICTURES)}), ENCODED),
    "binary": (pa.table({"x": pa.array(PICTURES, pa.binary())}), ENCODED),
    "large binary": (pa.table({"x": pa.array(PICTURES, pa.large_binary())}), ENCODED),
    "vectors": (pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(many().ravel()), 20)}), many()),
    "nested lists": (pa.table({"x": pa.array(many().tolist(), pa.list_(pa.list_(pa.int64())))}), many()),
    "tensors": (pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(many())}), many()),
}


def stream(table: Any, compression: str | None = None) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=3)
    return out.getvalue()


def parquet(table: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()
