"""The images of an encode request: what is read, what is refused, and how they are brought to a model's shape."""

import base64
import json
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image
from upload_files import colour, gray, many, npy, npy_saying, npz, picture, stack, zipped

from app.formats.inputs import Inputs, decode_inputs, decode_parts, fit
from pinwheel.errors import InvalidDataset, InvalidRequest, PayloadTooLarge, PinwheelError, UnsupportedMediaType
from pinwheel.settings import Settings

SERVER = Settings(max_encode_bytes=2**20, max_body_bytes=2**18, max_image_pixels=10_000, max_encode_images=20)


def read(body: bytes, shape: tuple[int, int, int] = (5, 4, 1), content_type: str = "") -> np.ndarray:
    return fit(decode_inputs(body, content_type, SERVER), shape)


def read_json(value: Any, shape: tuple[int, int, int] = (5, 4, 1)) -> np.ndarray:
    return read(json.dumps(value).encode(), shape, "application/json; charset=utf-8")


def data_url(body: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(body).decode()


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", "", "text/plain"])
def test_one_image_file_is_read_whatever_its_content_type_says(content_type: str) -> None:
    assert np.array_equal(read(picture(gray()), content_type=content_type)[0, :, :, 0], gray())


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP", "JPEG"])
def test_every_image_format_is_read(format: str) -> None:
    assert read(picture(colour(), format), (5, 4, 3)).shape == (1, 5, 4, 3)


def test_a_tiff_stack_is_several_images() -> None:
    assert np.array_equal(read(stack([gray(), gray(seed=1)]))[..., 0], [gray(), gray(seed=1)])


@pytest.mark.parametrize(
    "body", [npy(many()), npz(images=many(), other=many(1)), npz(any=many()), npy(many()[..., None])]
)
def test_arrays_are_read_from_npy_and_npz(body: bytes) -> None:
    images = read(body)
    assert (images.shape, images.dtype) == ((7, 5, 4, 1), np.uint8)
    assert np.array_equal(images[..., 0], many())


@pytest.mark.parametrize(
    ("array", "shape", "count"),
    [
        (many(), (5, 4, 1), 7),
        (many()[0], (5, 4, 1), 1),
        (many().reshape(7, 20), (5, 4, 1), 7),
        (many()[0].ravel(), (5, 4, 1), 1),
        (many().reshape(7, 20), (1, 20, 1), 7),
        (np.asfortranarray(many().astype(">f8")), (5, 4, 1), 7),
        (colour(), (5, 4, 3), 1),
        (colour().ravel()[None], (5, 4, 3), 1),
    ],
)
def test_missing_axes_are_added_and_vectors_folded(array: np.ndarray, shape: tuple[int, int, int], count: int) -> None:
    images = read(npy(array), shape)
    assert images.shape == (count, *shape)
    assert np.array_equal(images.ravel(), array.ravel())
    assert images.dtype in (np.uint8, np.float32)


def test_gray_and_colour_are_turned_into_each_other() -> None:
    assert np.array_equal(read(picture(gray()), (5, 4, 3)), np.repeat(gray()[None, ..., None], 3, axis=-1))
    luma = np.rint(colour() @ np.array([0.299, 0.587, 0.114]))
    assert np.abs(read(picture(colour()))[0, :, :, 0] - luma).max() <= 1
    floats = read(npy(colour()[None] / 255))
    assert floats.dtype == np.float32
    assert np.allclose(floats[0, :, :, 0] * 255, colour() @ np.array([0.299, 0.587, 0.114]), atol=1e-3)


def test_json_holds_data_urls_and_arrays_side_by_side() -> None:
    images = read_json({"inputs": [data_url(picture(gray())), {"array": gray().tolist()}]})
    assert images.dtype == np.uint8
    assert np.array_equal(images[0], images[1])


def test_whole_numbers_in_json_are_bytes_and_fractions_are_floats_unless_said_otherwise() -> None:
    whole = [[0, 1], [255, 7]]
    assert read_json({"inputs": [{"array": whole}]}, (2, 2, 1)).dtype == np.uint8
    floats = read_json({"inputs": [{"array": whole, "dtype": "float32"}]}, (2, 2, 1))
    assert (floats.dtype, floats.max()) == (np.float32, 255)
    assert read_json({"inputs": [{"array": [[0.0, 255.0]], "dtype": "uint8"}]}, (1, 2, 1)).dtype == np.uint8
    mixed = read_json({"inputs": [{"array": [[255, 0]]}, {"array": [[0.5, 2]]}]}, (1, 2, 1))
    assert mixed.ravel().tolist() == [1, 0, 0.5, 2]


def test_parts_are_images_in_their_order() -> None:
    images = fit(decode_parts([picture(gray()), stack([gray(seed=1), gray(seed=2)])], SERVER), (5, 4, 1))
    assert np.array_equal(images[..., 0], [gray(), gray(seed=1), gray(seed=2)])


ITEM = {"array": [[1]]}
REFUSED_JSON: dict[str, tuple[Any, type[PinwheelError], str]] = {
    "a list": ([1], InvalidRequest, r'The body is a list; it must be an object: \{"inputs"'),
    "unknown key": ({"inputs": [ITEM], "foo": 1}, InvalidRequest, "no field 'foo'; there are: inputs."),
    "typo": ({"input": [ITEM]}, InvalidRequest, "no field 'input'; there are: inputs. Did you mean 'inputs'"),
    "no inputs": ({}, InvalidRequest, "inputs is missing; it must be a list of at least 1 image"),
    "empty": ({"inputs": []}, InvalidRequest, "inputs is empty; it must be a list of at least 1"),
    "a number": ({"inputs": [5]}, InvalidRequest, r"inputs\[0\] is a number; it must be a data URL"),
    "unknown key inside": (
        {"inputs": [{"arrays": [[1]]}]},
        InvalidRequest,
        "'arrays'; there are: array, dtype.*'array'",
    ),
    "no array": ({"inputs": [{"dtype": "uint8"}]}, InvalidRequest, r"inputs\[0\] has no array"),
    "unknown dtype": ({"inputs": [ITEM | {"dtype": "int8"}]}, InvalidRequest, "'int8'; there are: uint8, float32"),
    "listed dtype": ({"inputs": [ITEM | {"dtype": ["uint8"]}]}, InvalidRequest, "there are: uint8, float32"),
    "array is text": ({"inputs": [{"array": "abc"}]}, InvalidRequest, r"inputs\[0\].array is text; it must be a list"),
    "ragged": ({"inputs": [ITEM, {"array": [[1, 2], [3]]}]}, InvalidDataset, r"inputs\[1\].array is ragged"),
    "a long text among short ones": (
        {"inputs": [{"array": ["x" * 10**5, *["1"] * 10**4]}]},
        InvalidDataset,
        "holds text",
    ),
    "text inside": ({"inputs": [{"array": [["1"]]}]}, InvalidDataset, "holds text; only numbers"),
    "null inside": ({"inputs": [{"array": [[None]]}]}, InvalidDataset, "something that is no number"),
    "booleans": ({"inputs": [{"array": [[True]]}]}, InvalidDataset, "holds booleans; only numbers"),
    "nothing inside": ({"inputs": [{"array": [[]]}]}, InvalidDataset, r"shape \(1, 0\): it holds no number"),
    "out of range": ({"inputs": [{"array": [[300]]}]}, InvalidDataset, r"values from 300 to 300 .* 0\.\.255"),
    "fraction": (
        {"inputs": [{"array": [[0.5]], "dtype": "uint8"}]},
        InvalidDataset,
        "fractions; dtype uint8 allows whole",
    ),
    "beyond float32": ({"inputs": [{"array": [[1e300]]}]}, InvalidDataset, r"holds 1e\+300"),
    "beyond all": ({"inputs": [{"array": [[10**400, 0.5]]}]}, InvalidDataset, "ragged|no number|only numbers"),
    "no data url": (
        {"inputs": ["http://x/y.png"]},
        InvalidRequest,
        "'http://x/y.png'; it must start with data:image/png",
    ),
    "no base64": ({"inputs": ["data:image/png;base64,!!"]}, InvalidRequest, r"inputs\[0\] is no base64"),
    "no image": ({"inputs": [data_url(b"abc")]}, UnsupportedMediaType, r"starts with b'abc', which is no image"),
    "cut short": (
        {"inputs": [data_url(picture(gray())[:-30])]},
        InvalidDataset,
        r"inputs\[0\] is no image that can be read",
    ),
    "too many": ({"inputs": [ITEM] * 21}, PayloadTooLarge, "21 images or more; 20 are allowed.*encode job"),
}


@pytest.mark.parametrize("case", REFUSED_JSON)
def test_json_that_means_no_images_is_refused_by_place_and_value(case: str) -> None:
    value, kind, words = REFUSED_JSON[case]
    with pytest.raises(kind, match=words):
        read_json(value, (1, 1, 1))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"inputs": [' + b"9" * 5000 + b"]}"])
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="no JSON that can be read"):
        read(body, content_type="application/json")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_not_finite_are_refused(word: str) -> None:
    with pytest.raises(InvalidDataset, match=f"holds {word}, which is no number in JSON"):
        read(f'{{"inputs": [{{"array": [[{word}]]}}]}}'.encode(), content_type="application/json")
    with pytest.raises(InvalidDataset, match="at image 1"):
        read(npy(np.array([[1, 2], [np.nan, 3]])), (1, 2, 1))


REFUSED: dict[str, tuple[bytes, type[PinwheelError], str]] = {
    "empty": (b"", InvalidRequest, "The body is empty; send images"),
    "unknown": (b"hello", UnsupportedMediaType, r"starts with b'hello' \(content type 'x/y'\).*Read are: PNG, JPEG"),
    "zip of text": (zipped({"a.txt": b"abc"}), InvalidDataset, r"'a.txt' is no image \(it starts with b'abc'\)"),
    "zip in a zip": (zipped({"a.zip": zipped({"a.png": b""})}), InvalidDataset, "an archive inside the archive"),
    "an empty zip": (zipped({}), InvalidDataset, "The zip holds no file; at least 1 image is needed"),
    "zip of many names": (
        zipped({f"{'x' * 600}{number}.png": b"" for number in range(21)}),
        PayloadTooLarge,
        "a directory of more than 20 files",
    ),
    "zip with half a directory": (zipped({"a.png": b""})[:-20], InvalidDataset, "has no directory at its end"),
    "Parquet": (b"PAR1....PAR1", UnsupportedMediaType, "Parquet is read as a data set; here send the table as"),
    "a broken zip": (b"PK\x03\x04rubbish", InvalidDataset, "damaged or cut short"),
    "truncated": (npy(many())[:-1], InvalidDataset, "cut short: 140 bytes were expected here, 139"),
    "trailing": (npy(many()) + b"x", InvalidDataset, "goes on after its last value"),
    "no image": (npy(np.zeros((0, 5, 4))), InvalidDataset, "it holds no image"),
    "objects": (npy(np.array([{}], object), allow_pickle=True), InvalidDataset, "pickled Python objects"),
    "lie": (npy_saying(b"", shape="(100000, 100000)"), PayloadTooLarge, "unpack to 10000000000 bytes or more; 4194304"),
    "pixels": (picture(Image.new("L", (101, 100))), PayloadTooLarge, "100×101 = 10100 pixels; at most 10000"),
    "bytes": (bytes(2**20 + 1), PayloadTooLarge, "The body has 1048577 bytes; at most 1048576 are allowed"),
    "no key": (npz(a=many(), b=many()), InvalidDataset, "no array 'images'; it has: 'a', 'b'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bodies_that_hold_no_images_are_refused(case: str) -> None:
    body, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        read(body, content_type="x/y")


def test_a_json_body_has_a_limit_of_its_own() -> None:
    with pytest.raises(PayloadTooLarge, match="The JSON body has 262145 bytes; at most 262144"):
        read(b" " * (2**18 + 1), content_type="application/json")


def test_images_that_unpack_to_too_much_together_are_refused() -> None:
    server = Settings(max_encode_bytes=1024)
    blank = picture(Image.new("RGB", (30, 30)))
    with pytest.raises(PayloadTooLarge, match="unpack to 5400 bytes or more; 4096 are allowed"):
        decode_parts([blank, blank], server)


def test_parts_that_are_no_images_are_refused_by_number() -> None:
    with pytest.raises(UnsupportedMediaType, match="Part 1 starts with b'abc', which is no image"):
        decode_parts([picture(gray()), b"abc"], SERVER)
    with pytest.raises(UnsupportedMediaType, match="Part 0 is empty"):
        decode_parts([b""], SERVER)
    with pytest.raises(InvalidRequest, match="at least 1 part named image"):
        decode_parts([], SERVER)
    with pytest.raises(PayloadTooLarge, match="The multipart body has 1200000 bytes; at most 1048576"):
        decode_parts([bytes(600_000)] * 2, SERVER)


@pytest.mark.parametrize(
    "array", [many(), many().reshape(7, 20), gray(), np.zeros((2, 28, 28, 2)), np.zeros((2, 1, 28, 28))]
)
def test_another_size_is_refused_with_both_shapes(array: np.ndarray) -> None:
    words = re.escape(f"The array has the shape {array.shape}; the model takes images of height 28, width 28")
    with pytest.raises(InvalidDataset, match=words + r".*\(28, 28, 1\), or vectors of 784 values"):
        read(npy(array), (28, 28, 1))
    with pytest.raises(InvalidDataset, match=re.escape("Image 0 has the shape (5, 4, 1); the model takes")):
        read(picture(gray()), (28, 28, 1))


def test_inputs_hold_what_was_sent_before_it_is_fitted() -> None:
    inputs = decode_parts([picture(gray(3, 3)), picture(colour(4, 2))], SERVER)
    assert isinstance(inputs, Inputs)
    assert [image.shape for image in inputs.images] == [(3, 3, 1), (4, 2, 3)]
