"""Uploads of .npy, .npz and IDX: what is accepted and what is refused, with the words of the refusal."""

import io
import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from upload_files import LIMITS, convert_here, idx, many, npy, npy_saying, npz, packed, stored, zipped

from pinwheel.errors import InvalidDataset, PayloadTooLarge, UnsupportedMediaType


def test_npy_images_are_stored_as_they_are_with_an_axis_of_channels(tmp_path: Path) -> None:
    manifest = convert_here(tmp_path, {"body": npy(many())})
    assert manifest["images"] == {"count": 7, "shape": [5, 4, 1], "dtype": "uint8", "variable_size": False}
    assert manifest["labels"] is None
    assert np.array_equal(stored(tmp_path)[..., 0], many())
    assert manifest["bytes"] == (tmp_path / "out" / "images.npy").stat().st_size


def test_idx_npy_npz_and_their_packed_forms_of_one_content_have_one_digest(tmp_path: Path) -> None:
    images, labels = many(), np.array([0, 1, 2, 0, 1, 2, 0], np.uint8)
    ways = {
        "idx": {"images": idx(images), "labels": idx(labels)},
        "packed idx": {"images": packed(idx(images)), "labels": packed(idx(labels))},
        "mixed": {"images": npy(images), "labels": idx(labels.astype(np.int32))},
        "npz": {"body": npz(images=images[..., None], labels=labels.astype(np.int64))},
        "packed npz": {"file": npz(compressed=True, images=images.astype(np.int16), labels=labels)},
        "columns": {"images": npy(np.asfortranarray(images)), "labels": npy(labels)},
        "big-endian": {"body": npz(images=images.astype(">i4"), labels=labels.astype(">u2"))},
    }
    manifests = {way: convert_here(tmp_path / way, files) for way, files in ways.items()}
    assert len({manifest["digest"] for manifest in manifests.values()}) == 1
    assert all(manifest["labels"] == {"count": 7, "classes": 3, "names": None} for manifest in manifests.values())
    assert stored(tmp_path / "idx", "labels").tolist() == labels.tolist()
    assert stored(tmp_path / "idx", "labels").dtype == np.int64


def test_the_digest_tells_pixels_shapes_labels_and_number_formats_apart(tmp_path: Path) -> None:
    images = many(6, 4, 4)
    different = [
        npz(images=images),
        npz(images=images + np.uint8(1)),
        npz(images=images.reshape(6, 2, 8)),
        npz(images=images.astype(np.float32)),
        npz(images=images, labels=[0, 0, 0, 1, 1, 1]),
        npz(images=images, labels=[0, 0, 1, 1, 1, 1]),
    ]
    digests = {convert_here(tmp_path / str(n), {"body": body})["digest"] for n, body in enumerate(different)}
    assert len(digests) == len(different)


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">f8"])
def test_floats_of_any_width_and_byte_order_become_float32(tmp_path: Path, dtype: str) -> None:
    values = np.linspace(-1, 1, 24).reshape(2, 3, 4)
    assert convert_here(tmp_path, {"body": npy(values.astype(dtype))})["images"]["dtype"] == "float32"
    assert np.allclose(stored(tmp_path)[..., 0], values, atol=1e-3)


def test_booleans_become_black_and_white(tmp_path: Path) -> None:
    convert_here(tmp_path, {"body": npy(np.eye(3, dtype=bool)[None])})
    assert stored(tmp_path)[0, :, :, 0].tolist() == (255 * np.eye(3, dtype=int)).tolist()


def test_vectors_become_images_of_one_row(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert convert_here(tmp_path, {"body": npy(values)}, color="rgb")["images"]["shape"] == [1, 4, 1]
    assert stored(tmp_path).shape == (3, 1, 4, 1)


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((2, 8, 9), None, [8, 9, 1]),
        ((2, 8, 9, 3), None, [8, 9, 3]),
        ((2, 3, 8, 9), None, [8, 9, 3]),
        ((2, 3, 8, 3), None, [3, 8, 3]),
        ((2, 3, 8, 3), "NCHW", [8, 3, 3]),
        ((2, 3, 8, 9), "NHWC", [3, 8, 9]),
        ((2, 8), "NC", [1, 8, 1]),
    ],
)
def test_layouts_are_guessed_as_documented_or_taken_as_given(
    tmp_path: Path, shape: tuple[int, ...], layout: str | None, expected: list[int]
) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert convert_here(tmp_path, {"body": npy(values)}, layout=layout)["images"]["shape"] == expected
    if expected == [8, 9, 3] and shape[1] == 3:
        assert np.array_equal(stored(tmp_path), values.transpose(0, 2, 3, 1))


def test_a_layout_of_other_axes_is_refused_with_both(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"shape \(7, 5, 4\), 3 axes; layout=NHWC needs 4"):
        convert_here(tmp_path, {"body": npy(many())}, layout="NHWC")


def test_colour_arrays_become_gray_by_luma_and_gray_ones_rgb(tmp_path: Path) -> None:
    pure = np.array([[[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]], np.uint8)
    convert_here(tmp_path / "gray", {"body": npy(pure)}, color="gray", layout="NHWC")
    assert stored(tmp_path / "gray").ravel().tolist() == [76, 150, 29]
    convert_here(tmp_path / "rgb", {"body": npy(many())}, color="rgb")
    assert np.array_equal(stored(tmp_path / "rgb")[..., 1], many())
    with pytest.raises(InvalidDataset, match="color=gray needs images of 1 or 3 channels; these have 2"):
        convert_here(tmp_path / "two", {"body": npy(np.zeros((2, 5, 5, 2)))}, color="gray")


def test_arrays_larger_than_a_chunk_come_through_whole_in_both_orders(tmp_path: Path) -> None:
    images = many(300, 200, 200)
    convert_here(tmp_path / "rows", {"body": npy(images)})
    convert_here(tmp_path / "columns", {"body": npy(np.asfortranarray(images))})
    assert np.array_equal(stored(tmp_path / "rows")[..., 0], images)
    assert np.array_equal(stored(tmp_path / "columns")[..., 0], images)


def test_an_npz_is_read_by_the_keys_that_are_asked_for(tmp_path: Path) -> None:
    body = npz(x=many(), y=np.arange(7), labels=np.zeros(7, int))
    manifest = convert_here(tmp_path / "a", {"body": body}, images_key="x", labels_key="y")
    assert manifest["labels"]["classes"] == 7
    with pytest.raises(InvalidDataset, match=r"no array 'images'; it has: 'x', 'y', 'labels'"):
        convert_here(tmp_path / "b", {"body": body})
    with pytest.raises(InvalidDataset, match=r"no array 'z'; it has: 'x', 'y', 'labels'"):
        convert_here(tmp_path / "c", {"body": body}, images_key="x", labels_key="z")


NAN_AT_FOUR = np.zeros((7, 5, 4))
NAN_AT_FOUR[4, 1, 1] = np.nan
INFINITE = np.zeros((7, 5, 4), np.float32)
INFINITE[6] = -np.inf
TOO_WIDE = np.zeros((3, 5, 4))
TOO_WIDE[2] = 1e300

REFUSED_ARRAYS = {
    "not a number": (npy(NAN_AT_FOUR), r"holds nan at image 4; every pixel must be a finite float32"),
    "infinite": (npy(INFINITE), r"holds -inf at image 6"),
    "beyond float32": (npy(TOO_WIDE), r"holds 1e\+300 at image 2"),
    "wide integers": (
        npy(np.full((2, 3, 3), 256, np.int16)),
        r"dtype int16 with values from 256 to 256 .* must lie in 0\.\.255",
    ),
    "negative": (npy(np.full((2, 3, 3), -1)), r"dtype int64 with values from -1 to -1 \(first at image 0\)"),
    "complex": (npy(np.zeros((2, 3, 3), complex)), r"dtype complex128; booleans, integers in 0\.\.255 and floats"),
    "text": (npy(np.array([["a"]])), r"dtype <U1; booleans"),
    "dates": (npy(np.zeros((2, 3, 3), "M8[s]")), r"dtype datetime64\[s\]"),
    "records": (npy(np.zeros((2, 3), [("a", "u1"), ("b", "f4")])), r"dtype \[\('a', 'u1'\), \('b', '<f4'\)\]"),
    "objects": (npy(np.array([[{}]], object), allow_pickle=True), "pickled Python objects, which are never read"),
    "one axis": (npy(np.zeros(5)), r"shape \(5,\); images are \(N, H, W\)"),
    "five axes": (npy(np.zeros((1, 1, 1, 1, 1))), r"shape \(1, 1, 1, 1, 1\); images are"),
    "no axis": (npy(np.float32(1)), r"shape \(\); an array needs at least one axis"),
    "no image": (npy(np.zeros((0, 5, 4))), r"shape \(0, 5, 4\): it holds no image; at least 1"),
    "empty images": (npy(np.zeros((3, 0, 4))), r"0×4×1: every side must be at least 1"),
    "cut short": (npy(many())[:-3], r"cut short: 140 bytes were expected here, 137 are there"),
    "too long": (npy(many()) + b"x", "goes on after its last value"),
    "header cut": (npy(many())[:40], "cut short: 118 bytes were expected here, 30"),
    "negative side": (npy_saying(bytes(24), shape="(-2, 3, 4)"), r"shape \(-2, 3, 4\); .* none below 0"),
    "no literal": (npy_saying(bytes(24), shape="(2, 3, open('x'))"), "header that cannot be read"),
    "unknown dtype": (npy_saying(bytes(24), descr="|zz9"), "header that cannot be read"),
    "nothing dtype": (npy_saying(bytes(24), descr="|S0"), "holds nothing"),
    "version 3": (b"\x93NUMPY\x03\x00" + npy(many())[8:], r"\.npy version 3\.0; 1\.0 and 2\.0 are read"),
    "long header": (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31), r"header of 2147483648 bytes; at most 10000"),
    "columns cut short": (npy(np.asfortranarray(many()))[:-3], "cut short"),
}


@pytest.mark.parametrize("case", REFUSED_ARRAYS)
def test_arrays_that_cannot_be_pictures_are_refused_with_what_they_are(tmp_path: Path, case: str) -> None:
    body, words = REFUSED_ARRAYS[case]
    with pytest.raises(InvalidDataset, match=words):
        convert_here(tmp_path, {"body": body})


def test_a_header_that_claims_terabytes_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    lie = npy_saying(b"abc", shape="(9000, 1000, 1000)")
    with pytest.raises(PayloadTooLarge, match=rf"9000000000 bytes; at most {LIMITS.max_bytes} bytes"):
        convert_here(tmp_path / "npy", {"body": lie})
    lie = struct.pack(">HBBIII", 0, 8, 3, 9000, 1000, 1000) + b"abc"
    with pytest.raises(PayloadTooLarge, match="9000000000 bytes"):
        convert_here(tmp_path / "idx", {"body": lie})
    with pytest.raises(PayloadTooLarge, match="9000000000 bytes"):
        convert_here(tmp_path / "npz", {"body": zipped({"images.npy": npy_saying(b"", shape="(9000, 1000, 1000)")})})


def test_limits_of_images_and_pixels_are_named_with_what_was_sent(tmp_path: Path) -> None:
    few = replace(LIMITS, max_images=6)
    with pytest.raises(PayloadTooLarge, match="7 images or more; at most 6"):
        convert_here(tmp_path / "count", {"body": npy(many())}, few)
    small = replace(LIMITS, max_pixels=19)
    with pytest.raises(PayloadTooLarge, match="5×4 = 20 pixels; at most 19"):
        convert_here(tmp_path / "pixels", {"body": npy(many())}, small)
    with pytest.raises(PayloadTooLarge, match="180 values; at most 80"):
        convert_here(tmp_path / "values", {"body": npy(np.zeros((2, 5, 4, 9)))}, replace(small, max_pixels=20))


REFUSED_LABELS = {
    "fewer": (np.zeros(6, int), "There are 7 images and 6 labels"),
    "more": (np.zeros(8, np.uint8), "There are 7 images and 8 labels"),
    "negative": (np.array([0, 1, -1, 0, 0, 0, 0]), "holds -1 at image 2; labels go from 0 to 99999"),
    "huge": (np.array([0, 0, 0, 0, 0, 0, 2**63], np.uint64), "holds 9223372036854775808 at image 6"),
    "one too many": (np.full(7, 100_000), "holds 100000 at image 0"),
    "floats": (np.zeros(7), "dtype float64; labels are whole numbers"),
    "booleans": (np.zeros(7, bool), "dtype bool; labels are whole numbers"),
    "one-hot": (np.eye(7, dtype=int), r"shape \(7, 7\); labels are one whole number for each image"),
}


@pytest.mark.parametrize("case", REFUSED_LABELS)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, case: str) -> None:
    labels, words = REFUSED_LABELS[case]
    with pytest.raises(InvalidDataset, match=words):
        convert_here(tmp_path / "npz", {"body": npz(images=many(), labels=labels)})
    with pytest.raises(InvalidDataset, match=words):
        convert_here(tmp_path / "pair", {"images": idx(many()), "labels": npy(labels)})


REFUSED_IDX = {
    "cut short": (idx(many())[:-1], "140 bytes were expected here, 139 are there"),
    "too long": (idx(many()) + b"x", "goes on after its last value"),
    "packed and cut short": (packed(idx(many()))[:-9], "damaged or cut short|cut short"),
    "packed, sum wrong": (packed(idx(many()))[:-8] + bytes(8), "damaged or cut short: CRC check failed"),
    "labels alone": (idx(np.zeros(7, np.uint8)), r"shape \(7,\); images are"),
    "header cut": (idx(many())[:10], "12 bytes were expected here, 6 are there"),
}


@pytest.mark.parametrize("case", REFUSED_IDX)
def test_idx_files_that_lie_are_refused(tmp_path: Path, case: str) -> None:
    body, words = REFUSED_IDX[case]
    with pytest.raises(InvalidDataset, match=words):
        convert_here(tmp_path, {"body": body})


def test_npz_with_a_damaged_encrypted_or_oddly_packed_entry_is_refused(tmp_path: Path) -> None:
    damaged = bytearray(npz(images=many()))
    damaged[300] ^= 255
    with pytest.raises(InvalidDataset, match="'images' in The body is damaged or cut short: Bad CRC-32"):
        convert_here(tmp_path / "crc", {"body": bytes(damaged)})
    slow = zipped({"images.npy": npy(many())}, zipfile.ZIP_BZIP2)
    with pytest.raises(InvalidDataset, match=r"'images.npy' in The body is packed by method 12; stored and deflated"):
        convert_here(tmp_path / "bz2", {"body": slow})
    locked = bytearray(npz(images=many()))
    with zipfile.ZipFile(io.BytesIO(bytes(locked))) as archive:
        start = archive.start_dir
    locked[start + 8] |= 1
    with pytest.raises(InvalidDataset, match=r"'images.npy' in The body is encrypted"):
        convert_here(tmp_path / "key", {"body": bytes(locked)})


@pytest.mark.parametrize(
    "body",
    [b"", b"%PDF-1.7", packed(b"plain text"), packed(npy(many())), b"GIF89a"],
    ids=["nothing", "pdf", "packed text", "packed npy", "gif"],
)
def test_formats_that_are_not_read_are_told_which_are(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(UnsupportedMediaType, match=re.escape("zip or tar of images (also .tar.gz), .npy, .npz, IDX")):
        convert_here(tmp_path, {"body": body})


FIELDS = {
    "labels alone": ({"labels": idx(np.zeros(7, np.uint8))}, "labels without images"),
    "unknown": ({"pictures": npy(many())}, "no file field 'pictures'; there are: body, file, images, labels"),
    "two images": ({"images": [npy(many()), npy(many())]}, "images holds 2 files; 1 is allowed"),
    "both": ({"file": npy(many()), "images": npy(many())}, "the fields sent are: file, images"),
    "nothing": ({}, "fields sent are: none"),
}


@pytest.mark.parametrize("case", FIELDS)
def test_fields_that_mean_nothing_together_are_refused(tmp_path: Path, case: str) -> None:
    files, words = FIELDS[case]
    with pytest.raises(InvalidDataset, match=words):
        convert_here(tmp_path, files)


def test_images_with_labels_apart_must_be_arrays(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMediaType, match=r"is npz; images with labels apart are read as IDX or .npy"):
        convert_here(tmp_path, {"images": npz(images=many()), "labels": npy(np.zeros(7, int))})
