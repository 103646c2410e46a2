"""Features out: every format gives the same numbers back, dense and sparse."""

import io
import json
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from app.formats import features
from pinwheel.errors import InvalidConfig, PayloadTooLarge

VALUES = np.array([[0, 1.5, 0, -2], [0, 0, 0, 0], [0.1, 0, 3e-8, 0]], np.float32)
F32, F16 = np.dtype(np.float32), np.dtype(np.float16)


def encoded(format: str, sparse: bool, dtype: np.dtype[Any] = F32) -> bytes:
    body, media_type = features.encode(VALUES, format, sparse, dtype, "digits", 3)
    assert media_type == features.FORMATS[format]
    return body


def test_json_is_nested_lists_with_what_they_are() -> None:
    answer = json.loads(encoded("json", sparse=False))
    assert np.array_equal(np.array(answer.pop("data"), np.float32), VALUES)
    assert answer == {
        "object": "features",
        "model": "digits",
        "version": 3,
        "shape": [3, 4],
        "dtype": "float32",
        "format": "dense",
    }


def test_json_numbers_have_no_more_digits_than_they_need() -> None:
    assert (
        '"data": [[0.0, 1.5, 0.0, -2.0], [0.0, 0.0, 0.0, 0.0], [0.1, 0.0, 3e-08, 0.0]]'
        in encoded("json", False).decode()
    )


def test_sparse_json_is_csr() -> None:
    answer = json.loads(encoded("json", sparse=True))
    assert (answer["format"], answer["shape"]) == ("csr", [3, 4])
    parts = (np.array(answer["values"], np.float32), answer["indices"], answer["indptr"])
    assert np.array_equal(scipy.sparse.csr_matrix(parts, shape=answer["shape"]).toarray(), VALUES)


@pytest.mark.parametrize("dtype", [F32, F16])
def test_npy_and_dense_npz_are_the_array(dtype: np.dtype[Any]) -> None:
    found = np.load(io.BytesIO(encoded("npy", False, dtype)))
    assert found.dtype == dtype
    assert np.array_equal(found, VALUES.astype(dtype))
    with np.load(io.BytesIO(encoded("npz", False, dtype))) as archive:
        assert np.array_equal(archive["features"], VALUES.astype(dtype))


@pytest.mark.parametrize("dtype", [F32, F16])
def test_scipy_reads_sparse_npz(dtype: np.dtype[Any]) -> None:
    matrix = scipy.sparse.load_npz(io.BytesIO(encoded("npz", True, dtype)))
    assert matrix.format == "csr"
    assert matrix.has_canonical_format
    assert np.array_equal(matrix.toarray(), VALUES.astype(dtype).astype(np.float32))


def test_csr_of_random_matrices_is_that_of_scipy_and_goes_back() -> None:
    random = np.random.default_rng(0)
    for rows, units in ((1, 1), (1, 9), (30, 17)):
        dense = random.standard_normal((rows, units)).astype(np.float32) * (random.random((rows, units)) < 0.2)
        mine, theirs = features.to_csr(dense), scipy.sparse.csr_matrix(dense)
        assert mine.shape == theirs.shape
        assert np.array_equal(mine.indptr, theirs.indptr)
        assert np.array_equal(mine.indices, theirs.indices)
        assert np.array_equal(mine.values, theirs.data)
        assert np.array_equal(features.to_dense(mine), dense)


def test_npy_has_no_sparse_form() -> None:
    with pytest.raises(InvalidConfig, match="format npy has no sparse form; take json or npz, or sparse=false"):
        encoded("npy", sparse=True)


def test_a_feature_that_float16_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="A feature of 70000 does not fit into float16, which ends at 65504"):
        features.encode(np.full((1, 1), 70_000, np.float32), "npy", False, F16, "m", 1)
    with pytest.raises(InvalidConfig, match="dtype is float64; there are: float32, float16"):
        encoded("npy", False, np.dtype(np.float64))


def test_json_of_too_many_numbers_is_refused() -> None:
    with pytest.raises(PayloadTooLarge, match="10000010 numbers as JSON; at most 10000000"):
        features.encode(np.zeros((2, 5_000_005), np.float32), "json", False, F32, "m", 1)


def test_topk_keeps_the_largest_amounts_and_the_threshold_drops_the_small() -> None:
    row = np.array([[1, -3, 2, 2, 0.5]], np.float32)
    assert features.select(row, topk=2).tolist() == [[0, -3, 2, 0, 0]]
    assert features.select(row, threshold=1).tolist() == [[0, -3, 2, 2, 0]]
    assert features.select(row, topk=3, threshold=2).tolist() == [[0, -3, 0, 0, 0]]
    assert features.select(row, topk=9).tolist() == row.tolist()
    assert features.select(row).tolist() == row.tolist()
    assert features.select(row, 2, 0.1).dtype == np.float32
