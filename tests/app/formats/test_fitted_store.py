"""The body of a request that becomes a job is understood as the same body is in memory."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_files import TABLES, stream
from upload_files import LIMITS, colour, gray, many, npy, npy_saying, npz, picture, stack, zipped

from app.formats.convert import convert
from app.formats.fit import ModelInputs
from app.formats.fitted_store import store_fitted
from app.formats.inputs import decode_inputs, decode_parts, fit
from app.formats.limits import Limits
from app.formats.options import DatasetOptions
from pinwheel.errors import InvalidDataset, InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from pinwheel.settings import Settings

GRAY, RGB = ModelInputs((5, 4, 1), False), ModelInputs((5, 4, 3), False)
DEEP = picture(gray().astype(np.uint16) * 257)


def store(folder: Path, field: str, bodies: list[bytes], model: ModelInputs, limits: Limits = LIMITS) -> np.ndarray:
    out = folder / "out"
    out.mkdir()
    files = []
    for number, body in enumerate(bodies):
        (folder / str(number)).write_bytes(body)
        files.append((folder / str(number), f"part {number}"))
    store_fitted({field: files}, model, out, folder, limits)
    images: np.ndarray = np.load(out / "images.npy")
    return images


BODIES: dict[str, tuple[bytes, ModelInputs]] = {
    "png": (picture(gray()), GRAY),
    "gray for a model of colour": (picture(gray()), RGB),
    "stack": (stack([gray(), gray(seed=1)]), GRAY),
    "npy": (npy(many()), GRAY),
    "npy of colour": (npy(np.stack([colour(), colour(seed=1)]) / 255), GRAY),
    "npy by columns": (npy(np.asfortranarray(many().astype(">f8"))), GRAY),
    "one image as npy": (npy(gray()), GRAY),
    "one vector as npy": (npy(gray().ravel()), GRAY),
    "vectors": (npy(many().reshape(7, 20)), GRAY),
    "vectors for a model of colour": (npy(np.arange(120, dtype=np.uint8).reshape(2, 60)), RGB),
    "npz": (npz(images=many(), other=many(1)), GRAY),
    "packed npz": (npz(compressed=True, only=many()), GRAY),
    "zip": (zipped({"b.png": picture(gray()), "a.bmp": picture(gray(seed=1), "BMP")}), GRAY),
    "zip of 8 and 16 bits": (zipped({"a.png": picture(gray()), "b.png": DEEP}), GRAY),
    "larger images": (npy(np.arange(2 * 7 * 6, dtype=np.uint8).reshape(2, 7, 6)), ModelInputs((5, 4, 1), True)),
    **{f"arrow {name}": (stream(table), GRAY) for name, (table, _) in TABLES.items()},
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_gives_the_same_images_as_in_memory(tmp_path: Path, name: str) -> None:
    body, model = BODIES[name]
    expected = fit(decode_inputs(body, "", Settings()), *model)
    found = store(tmp_path, "body", [body], model)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


def test_parts_and_json_too(tmp_path: Path) -> None:
    parts = [picture(gray()), DEEP, stack([gray(seed=1)])]
    (tmp_path / "parts").mkdir()
    found = store(tmp_path / "parts", "image", parts, GRAY)
    assert np.array_equal(found, fit(decode_parts(parts, Settings()), *GRAY))
    body = json.dumps({"inputs": [{"array": gray().tolist()}, {"array": (gray() / 255).tolist()}]}).encode()
    (tmp_path / "json").mkdir()
    found = store(tmp_path / "json", "json", [body], GRAY)
    assert np.array_equal(found, fit(decode_inputs(body, "application/json", Settings()), *GRAY))


REFUSED: dict[str, tuple[bytes, type[Exception], str]] = {
    "another size": (npy(many(height=6)), InvalidDataset, r"\(7, 6, 4\); the model takes images of height 5"),
    "cut short": (npy(many())[:-1], InvalidDataset, "cut short"),
    "too long": (npy(many()) + b"x", InvalidDataset, "goes on after its last value"),
    "no image": (npy(np.zeros((0, 5, 4))), InvalidDataset, "it holds no image"),
    "too many": (npy(np.zeros((10_001, 5, 4), np.uint8)), PayloadTooLarge, "10001 images or more; at most 10000"),
    "too much": (npy_saying(b"", shape="(4000000, 5, 4)"), PayloadTooLarge, "80000000 bytes; at most 67108864"),
    "absurd": (npy_saying(b"", shape=f"({2**62}, {2**62})"), PayloadTooLarge, "at most"),
    "NaN": (npy(np.full((2, 5, 4), np.nan)), InvalidDataset, "nan at image 0"),
    "text": (npy(np.array(["a"])), InvalidDataset, "dtype <U1"),
    "nothing known": (b"hello", UnsupportedMediaType, "b'hello'"),
    "nothing": (b"", InvalidRequest, "empty"),
    "an empty zip": (zipped({}), InvalidDataset, "holds no file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_in_memory_is_refused_here(tmp_path: Path, name: str) -> None:
    body, kind, words = REFUSED[name]
    with pytest.raises(kind, match=words):
        store(tmp_path, "body", [body], GRAY)


def test_the_child_does_it(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(stream(TABLES["{bytes, path}"][0]))
    options, settings = DatasetOptions.model_validate({}), Settings()
    run: Any = convert({"body": [tmp_path / "body"]}, {}, options, tmp_path / "out", settings, GRAY)
    assert asyncio.run(run)["images"]["count"] == 7
    assert np.load(tmp_path / "out" / "images.npy").shape == (7, 5, 4, 1)
