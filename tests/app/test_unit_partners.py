"""Whom a unit has most to do with, against whole matrices."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import app.unit_partners
from app.unit_partners import partners
from pinwheel.errors import Gone

UNITS, UNIT = 7, 3
RECORD: dict[str, Any] = {"name": "m", "version": 1, "units": UNITS}


def tensors(*shape: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "layers.0.dictionary": random.normal(size=shape).astype(np.float32),
        "layers.0.explaining_away": random.normal(size=(UNITS, UNITS)).astype(np.float32),
        "layers.0.inhibition": np.eye(UNITS, k=1, dtype=np.float32) + np.eye(UNITS, k=-1, dtype=np.float32),
        "layers.0.parent": np.array([-1, 0, 0, 0, 3, 3, -1]),
        "layers.1.explaining_away": np.zeros((2, 2), np.float32),
        "classifier": random.normal(size=(2, UNITS)).astype(np.float32),
    }


@pytest.mark.parametrize("shape", [(10, UNITS), (UNITS, 1, 3, 3)])
@pytest.mark.parametrize("chunk", [1, 20, 2**20])
def test_neighbours_have_the_largest_cosines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], chunk: int
) -> None:
    """In whatever pieces the dictionary is read."""
    monkeypatch.setattr(app.unit_partners, "CHUNK_NUMBERS", chunk)
    given = tensors(*shape)
    save_file(given, tmp_path / "weights.safetensors")
    dictionary = given["layers.0.dictionary"].astype(np.float64)
    columns = dictionary.T if len(shape) == 2 else dictionary.reshape(UNITS, -1)
    columns = columns / np.linalg.norm(columns, axis=1, keepdims=True)
    cosines = columns @ columns[UNIT]
    cosines[UNIT] = 0
    found = partners(tmp_path, RECORD, 0, UNIT, 4)["neighbours"]
    assert [each["unit"] for each in found] == np.argsort(-abs(cosines))[:4].tolist()
    assert np.allclose([each["cosine"] for each in found], cosines[np.argsort(-abs(cosines))[:4]])


def test_connections_come_from_rows_and_go_to_columns(tmp_path: Path) -> None:
    given = tensors(10, UNITS)
    save_file(given, tmp_path / "weights.safetensors")
    found = partners(tmp_path, RECORD, 0, UNIT, 3)
    matrix = given["layers.0.explaining_away"].copy()
    matrix[UNIT, UNIT] = 0
    for name, values in (("incoming", matrix[UNIT]), ("outgoing", matrix[:, UNIT])):
        strongest = np.argsort(-abs(values))[:3].tolist()
        assert found["connections"][name] == [{"unit": each, "weight": float(values[each])} for each in strongest]
    assert found["inhibition"] == [{"unit": 2, "weight": 1.0}, {"unit": 4, "weight": 1.0}]
    assert found["tree"] == {"parent": 0, "children": [4, 5]}
    assert found["field"] is None


def test_classes_are_told_where_the_classifier_sees_the_unit_itself(tmp_path: Path) -> None:
    given = tensors(10, UNITS)
    save_file(given, tmp_path / "weights.safetensors")
    weights = given["classifier"][:, UNIT].tolist()
    named = partners(tmp_path, RECORD | {"class_names": ["a", "b"]}, 0, UNIT, 0)
    assert named["classifier"] == [{"class": "a", "weight": weights[0]}, {"class": "b", "weight": weights[1]}]
    assert named["neighbours"] == []
    pooled = RECORD | {"spec": {"model": {"output": "pooled"}}}
    assert partners(tmp_path, pooled, 0, UNIT, 0)["classifier"] is None
    below = RECORD | {"layers": [RECORD, RECORD]}
    assert partners(tmp_path, below, 0, UNIT, 0)["classifier"] is None, "it is on the layer above"


def test_weights_that_are_gone_are_told(tmp_path: Path) -> None:
    with pytest.raises(Gone, match="weights of m@1"):
        partners(tmp_path, RECORD, 0, UNIT, 1)
