"""Features written in parts, whatever the parts, are those of the whole."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from app.formats import features, rows
from app.formats.rows import Rows, to_csr
from pinwheel.errors import PayloadTooLarge

ABOUT = features.About("m", 1)


def csr(parts: Any, shape: tuple[int, int]) -> np.ndarray:
    matrix = scipy.sparse.csr_matrix(
        (np.asarray(parts["values"], np.float32), parts["indices"], parts["indptr"]), shape
    )
    matrix.check_format()
    dense: np.ndarray = matrix.toarray()
    return dense


def pairs(column: list[Any], shape: tuple[int, int]) -> np.ndarray:
    found = np.zeros(shape)
    for number, row in enumerate(column):
        for pair in row:
            found[number, pair["unit"]] = pair["value"]
    return found


READ: dict[tuple[str, bool], Callable[[bytes, tuple[int, int]], Any]] = {
    ("json", False): lambda body, shape: json.loads(body)["data"],
    ("json", True): lambda body, shape: csr(json.loads(body), shape),
    ("npy", False): lambda body, shape: np.load(io.BytesIO(body)),
    ("npz", False): lambda body, shape: np.load(io.BytesIO(body))["features"],
    ("npz", True): lambda body, shape: scipy.sparse.load_npz(io.BytesIO(body)).toarray(),
    ("arrow", False): lambda body, shape: pa.ipc.open_stream(body).read_all()["features"].to_pylist(),
    ("arrow", True): lambda body, shape: pairs(pa.ipc.open_stream(body).read_all()["features"].to_pylist(), shape),
    ("parquet", False): lambda body, shape: pq.read_table(io.BytesIO(body))["features"].to_pylist(),
    ("parquet", True): lambda body, shape: pairs(pq.read_table(io.BytesIO(body))["features"].to_pylist(), shape),
    ("safetensors", False): lambda body, shape: safetensors.numpy.load(body)["features"],
    ("safetensors", True): lambda body, shape: csr(safetensors.numpy.load(body), shape),
}


@settings(max_examples=60, deadline=None)
@given(
    form=st.sampled_from(sorted(READ)),
    count=st.integers(1, 40),
    columns=st.integers(1, 9),
    density=st.sampled_from([0.0, 0.2, 1.0]),
    cuts=st.sets(st.integers(1, 39)),
    sparse_parts=st.booleans(),
    block_bytes=st.sampled_from([1, 100, 10**6]),
    dtype=st.sampled_from(["float32", "float16"]),
)
def test_parts_are_put_together(
    form: tuple[str, bool],
    count: int,
    columns: int,
    density: float,
    cuts: set[int],
    sparse_parts: bool,
    block_bytes: int,
    dtype: str,
) -> None:
    random = np.random.default_rng(count * columns)
    whole = random.standard_normal((count, columns)).astype(np.float16).astype(np.float32)
    whole *= random.random((count, columns)) < density
    dense = np.split(whole, sorted(cut for cut in cuts if cut < count))
    parts = [to_csr(part) if sparse_parts else part for part in dense]
    source = Rows(whole.shape, int(np.count_nonzero(whole)), np.dtype(dtype), lambda: parts)
    out = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "BLOCK_BYTES", block_bytes)
        features.write(out, form[0], source, form[1], ABOUT)
    found = np.asarray(READ[form](out.getvalue(), whole.shape)).astype(dtype)  # JSON has as few digits as that needs
    assert np.array_equal(found.reshape(whole.shape), whole)


def test_a_sparse_result_that_is_too_large_when_dense_is_refused() -> None:
    one = features.Csr((60_000, 25_600), np.zeros(60_001, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    source = Rows.of(one, np.dtype(np.float32))
    with pytest.raises(PayloadTooLarge, match=r"60000 × 25600 features take 6144000000 bytes; at most 4294967296"):
        features.write(io.BytesIO(), "npy", source, False, ABOUT)
    out = io.BytesIO()
    features.write(out, "json", source, True, ABOUT)
    assert json.loads(out.getvalue())["shape"] == [60_000, 25_600]


def test_safetensors_begin_where_they_are_aligned() -> None:
    body, _ = features.encode(np.eye(3, dtype=np.float32), "safetensors", True, np.dtype(np.float16), "m", 1)
    length = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + length])
    assert (8 + length) % 8 == 0
    assert all(header[name]["data_offsets"][0] % size == 0 for name, size in (("indptr", 8), ("indices", 4)))
    assert header["__metadata__"] == {"model": "m", "version": "1", "format": "csr", "shape": "[3, 3]"}
