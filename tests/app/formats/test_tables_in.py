"""Tables of images: Arrow streams to encode, Parquet and Arrow as data sets; what is read and what is refused."""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from table_files import PICTURES, TABLES, parquet, stream, structs
from upload_files import convert_here, gray, many, picture, stored

from app.formats.inputs import decode_inputs, fit
from app.formats.limits import Limits
from pinwheel.errors import InvalidDataset, PayloadTooLarge, PinwheelError
from pinwheel.settings import Settings

SERVER = Settings(max_encode_bytes=2**20, max_image_pixels=10_000, max_encode_images=20)
SHAPE = (5, 4, 1)


def read(body: bytes) -> np.ndarray:
    return fit(decode_inputs(body, "application/vnd.apache.arrow.stream", SERVER), SHAPE)


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
@pytest.mark.parametrize("name", TABLES)
def test_an_arrow_stream_gives_an_image_for_each_row(name: str, compression: str | None) -> None:
    table, images = TABLES[name]
    assert np.array_equal(read(stream(table, compression))[..., 0], images)


def test_numbers_of_any_width_are_pixels() -> None:
    for kind in (pa.uint8(), pa.int64(), pa.float16(), pa.float64()):
        values = pa.array((many().ravel() // 2).astype(kind.to_pandas_dtype()), kind)
        found = read(stream(pa.table({"x": pa.FixedSizeListArray.from_arrays(values, 20)})))
        assert found.dtype == (np.uint8 if pa.types.is_integer(kind) else np.float32)
        assert np.array_equal(found[..., 0], many() // 2)


def test_a_permuted_tensor_is_put_in_order() -> None:
    kind = pa.fixed_shape_tensor(pa.uint8(), (4, 5), permutation=[1, 0])
    swapped = np.ascontiguousarray(many().transpose(0, 2, 1)).reshape(-1)
    column = pa.ExtensionArray.from_storage(kind, pa.FixedSizeListArray.from_arrays(pa.array(swapped), 20))
    assert np.array_equal(read(stream(pa.table({"x": column})))[..., 0], many())


def test_rows_are_images_even_where_all_together_look_like_one() -> None:
    five = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(20, np.uint8)), 4)
    with pytest.raises(InvalidDataset, match=r"Image 0 has the shape \(4,\)"):
        read(stream(pa.table({"x": five})))


def column(values: Any, kind: Any = None) -> bytes:
    return stream(pa.table({"x": pa.array(values, kind)}))


def lists(values: np.ndarray) -> bytes:
    return stream(pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(values), 20)}))


REFUSED: dict[str, tuple[bytes, type[PinwheelError], str]] = {
    "no row": (stream(TABLES["binary"][0].slice(0, 0)), InvalidDataset, "has no row; at least 1"),
    "no column": (stream(pa.table({"a": [1], "b": ["x"]})), InvalidDataset, r"its columns are: 'a' \(int64\), 'b'"),
    "two columns": (
        stream(pa.table({"a": pa.array(PICTURES), "b": pa.array(PICTURES)})),
        InvalidDataset,
        "no column 'image' and not just one",
    ),
    "one name twice": (
        stream(pa.table([pa.array(PICTURES)] * 2, names=["image", "image"])),
        InvalidDataset,
        "columns of one name",
    ),
    "text": (stream(pa.table({"image": ["a.png"]})), InvalidDataset, "The column 'image' of The table holds string"),
    "paths alone": (
        stream(pa.table({"image": pa.array([{"bytes": None, "path": "/etc/passwd"}], structs([b""]).type)})),
        InvalidDataset,
        "`bytes` of the image is null in row 0",
    ),
    "a null": (column([PICTURES[0], None]), InvalidDataset, "The image is null in row 1"),
    "a null number": (column([[1] * 20, [1] * 19 + [None]]), InvalidDataset, "A number of an image is null in row 39"),
    "no image": (column([b"abc"]), InvalidDataset, "The image of row 0 starts with b'abc', which is no image"),
    "nothing": (column([b""]), InvalidDataset, "The image of row 0 is empty"),
    "half an image": (column([PICTURES[0][:-30]]), InvalidDataset, "The image of row 0 is no image that can be read"),
    "ragged": (column([[1, 2], [3]]), InvalidDataset, "different lengths, 2 and 1"),
    "empty lists": (column([[]], pa.list_(pa.float32())), InvalidDataset, "they hold no number"),
    "NaN": (lists(np.full(20, np.nan)), InvalidDataset, "holds nan at image 0"),
    "out of range": (lists(np.full(20, 256)), InvalidDataset, "values from 256 to 256"),
    "too many": (lists(np.zeros(20 * 21, np.uint8)), PayloadTooLarge, "There are 21 images or more; 20 are allowed"),
    "a huge picture": (
        column([picture(np.zeros((101, 100), np.uint8))]),
        PayloadTooLarge,
        "101×100 = 10100 pixels; at most 10000",
    ),
    "a dictionary": (
        stream(pa.table({"x": pa.array(PICTURES).dictionary_encode()})),
        InvalidDataset,
        "dictionary",
    ),
    "cut in the schema": (stream(TABLES["binary"][0])[:40], InvalidDataset, "damaged or cut short"),
    "cut in a batch": (stream(TABLES["binary"][0])[:-60], InvalidDataset, "damaged or cut short"),
    "a file of Arrow": (b"ARROW1\0\0" + bytes(100), PinwheelError, "no format that is read here"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_holds_no_images_is_refused(case: str) -> None:
    body, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words) as refusal:
        read(body)
    assert 400 <= refusal.value.status < 500


def test_a_stream_that_unpacks_to_too_much_is_refused_before_it_is_unpacked() -> None:
    zeros = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(10**6)), 20)
    out = io.BytesIO()
    with pa.ipc.new_stream(
        out, pa.schema({"x": zeros.type}), options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as writer:
        writer.write_batch(pa.record_batch([zeros], ["x"]))
    body = out.getvalue()
    assert len(body) < 5000
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(PayloadTooLarge, match="A batch of The table unpacks to 8000000 bytes; at most 4194304"):
        read(body)
    assert pa.default_memory_pool().max_memory() == before


# data sets


@pytest.mark.parametrize("pack", [parquet, stream])
@pytest.mark.parametrize("name", [name for name in TABLES if name != "vectors"])
def test_tables_become_data_sets(tmp_path: Path, name: str, pack: Any) -> None:
    table, images = TABLES[name]
    manifest = convert_here(tmp_path, {"body": pack(table)})
    assert manifest["images"] == {"count": 7, "shape": [5, 4, 1], "dtype": "uint8", "variable_size": False}
    assert np.array_equal(stored(tmp_path)[..., 0], images)


def test_lists_of_numbers_are_vectors(tmp_path: Path) -> None:
    manifest = convert_here(tmp_path, {"body": parquet(TABLES["vectors"][0])})
    assert manifest["images"]["shape"] == [1, 20, 1]


def test_labels_are_numbers_with_the_names_that_hugging_face_keeps(tmp_path: Path) -> None:
    names = {"info": {"features": {"label": {"names": ["cat", "dog", "owl"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": structs(PICTURES[:3]), "label": [2, 0, 2]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
    manifest = convert_here(tmp_path, {"body": parquet(table)})
    assert manifest["labels"] == {"count": 3, "classes": 3, "names": ["cat", "dog", "owl"]}
    assert stored(tmp_path, "labels").tolist() == [2, 0, 2]


def test_labels_that_are_text_are_classes_in_sorted_order(tmp_path: Path) -> None:
    table = pa.table({"pixels": structs(PICTURES[:3]), "what": ["owl", "cat", "owl"]})
    options = {"images_key": "pixels", "labels_key": "what"}
    manifest = convert_here(tmp_path, {"body": parquet(table)}, **options)
    assert manifest["labels"] == {"count": 3, "classes": 2, "names": ["cat", "owl"]}
    assert stored(tmp_path, "labels").tolist() == [1, 0, 1]


def test_rows_that_are_no_images_are_skipped_with_their_labels(tmp_path: Path) -> None:
    table = pa.table({"image": pa.array([PICTURES[0], b"abc", PICTURES[1]]), "label": [0, 1, 2]})
    with pytest.raises(InvalidDataset, match="The image of row 1 starts with b'abc'"):
        convert_here(tmp_path / "fail", {"body": parquet(table)})
    manifest = convert_here(tmp_path / "skip", {"body": parquet(table)}, on_bad_file="skip")
    assert manifest["skipped"][0]["name"] == "The image of row 1"
    assert stored(tmp_path / "skip", "labels").tolist() == [0, 2]


def test_a_parquet_file_that_says_too_much_is_refused(tmp_path: Path) -> None:
    table = TABLES["binary"][0]
    few = Limits(max_bytes=2**20, max_images=5, max_pixels=1000)
    with pytest.raises(PayloadTooLarge, match="There are 7 images or more; at most 5"):
        convert_here(tmp_path / "many", {"body": parquet(table)}, few)
    with pytest.raises(InvalidDataset, match="damaged or cut short"):
        convert_here(tmp_path / "cut", {"body": parquet(table)[:-20]})
    for labels, words in (([-1] * 7, "A label is -1"), ([0.5] * 7, "holds double; labels are whole"), ([None] * 7, "")):
        bad = table.append_column("label", pa.array(labels, pa.int64() if None in labels else None))
        with pytest.raises(InvalidDataset, match=words or "The label is null"):
            convert_here(tmp_path / str(labels[0]), {"body": parquet(bad)})
    with pytest.raises(InvalidDataset, match=re.escape("has no column 'y'; its columns are: x")):
        convert_here(tmp_path / "key", {"body": parquet(table)}, labels_key="y")


def test_pages_are_images_of_one_row(tmp_path: Path) -> None:
    from upload_files import stack

    table = pa.table({"image": pa.array([stack([gray(), gray(seed=1)]), PICTURES[2]]), "label": [3, 1]})
    convert_here(tmp_path, {"body": parquet(table)})
    assert stored(tmp_path, "labels").tolist() == [3, 3, 1]
