"""One filter of a file: read alone, drawn as it is among all."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import app.one_filter
from app.one_filter import OneFilter, check_unit, position_of
from pinwheel.errors import InvalidRequest, NotFound
from pinwheel.pictures.mosaic import MosaicOptions, filter_pixels
from pinwheel.pictures.unit_map import UnitMap

TEXTS = {"model": "m", "version": "1", "step": "2", "unit": "3"}


def written(path: Path, *shape: int) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    usage = np.linspace(0, 1, len(values), dtype=np.float32)
    save_file({"decoder": values, "usage": usage}, path, {"map": '{"layout": "torus", "height": 2, "width": 3}'})
    return values


@pytest.mark.parametrize("chunk", [1, 50, 2**20])
@pytest.mark.parametrize("normalize", ["per-filter", "global"])
def test_a_filter_is_as_gray_as_among_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, normalize: str, chunk: int
) -> None:
    monkeypatch.setattr(app.one_filter, "CHUNK_NUMBERS", chunk)
    values = written(tmp_path / "units", 6, 4, 5, 3)
    found = OneFilter.read(tmp_path / "units", "decoder", 3, normalize)  # type: ignore[arg-type]
    image = Image.open(io.BytesIO(found.body("png", MosaicOptions(scale=1), TEXTS)))
    assert np.array_equal(np.asarray(image), filter_pixels(values, normalize)[3])  # type: ignore[arg-type]
    assert image.text["unit"] == "3"  # type: ignore[attr-defined]
    assert found.usage.tolist() == pytest.approx([0.6])


def test_a_filter_without_colors_is_numbers_alone(tmp_path: Path) -> None:
    values = written(tmp_path / "units", 6, 4, 5, 2)
    found = OneFilter.read(tmp_path / "units", "decoder", 0, "per-filter")
    with pytest.raises(InvalidRequest, match="2 channels"):
        found.body("png", MosaicOptions(), TEXTS)
    assert np.array_equal(np.load(io.BytesIO(found.body("npy", MosaicOptions(), TEXTS))), values[0])


def test_what_is_not_in_the_file_is_not_found(tmp_path: Path) -> None:
    written(tmp_path / "units", 6, 4, 5, 1)
    with pytest.raises(NotFound, match="kind=decoder"):
        OneFilter.read(tmp_path / "units", "encoder", 0, "per-filter")
    with pytest.raises(NotFound, match="no longer kept"):
        OneFilter.read(tmp_path / "others", "decoder", 0, "per-filter")


def test_a_unit_that_there_is_not_is_told_of_its_layer() -> None:
    record = {"name": "m", "version": 1, "layers": [{"units": 9}, {"units": 4}]}
    check_unit(record, 0, 8)
    with pytest.raises(NotFound, match="units 0 to 3, and unit is 8"):
        check_unit(record, None, 8)


def test_units_lie_row_by_row() -> None:
    found = position_of(UnitMap("torus", 2, 3), 4, None)
    assert found == {"layout": "torus", "row": 1, "column": 1, "field": None}
    assert position_of(None, 4, None) is None
