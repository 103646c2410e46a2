"""The pools of one unit are those of the matrices that encode."""

from typing import Any

import numpy as np
import pytest

from app.unit_pools import pools_of
from pinwheel.exports.pools import pooling_of
from pinwheel.specs import Model

POOLS: dict[str, dict[str, Any]] = {
    "disjoint": {"size": 4},
    "ring": {"layout": "ring", "size": 5, "stride": 2, "profile": "gaussian"},
    "torus": {"layout": "torus", "size": 3, "stride": 2, "map": {"height": 3, "width": 4}, "profile": "gaussian"},
    "flat torus": {"layout": "torus", "size": 3, "stride": 1, "map": {"height": 3, "width": 4}},
    "maps": {"layout": "maps", "size": 3, "stride": 1, "window": 2},
    "sheet": {"layout": "sheet", "size": 3, "stride": 2, "profile": "gaussian", "sigma": 1.0},
    "flat sheet": {"layout": "sheet", "size": 3, "stride": 2},
}
UNITS, IMAGE = 12, (8, 6, 1)


def model(name: str) -> Model:
    connection: dict[str, Any] = {"kind": "dense", "units": UNITS}
    if name == "maps":
        connection = {"kind": "conv", "units": UNITS, "kernel_size": 3}
    if "sheet" in name:
        connection = {"kind": "local", "field_size": 3, "units_per_position": 4}
    sparsity = {"kind": "pools", **POOLS[name]}
    return Model.model_validate({"connection": connection, "encoder": {"kind": "feedforward"}, "sparsity": sparsity})


def matrix_of(spec: Model, name: str) -> np.ndarray:
    """(pools, filters): g"""
    if not hasattr(spec.connection, "units") or name == "maps":
        down, right, groups = pooling_of(spec, spec.connection.code_shape(IMAGE)).matrices
        return groups if name == "maps" else np.kron(down, right)
    (matrix,) = pooling_of(spec, (UNITS,)).matrices
    return np.asarray(matrix)


@pytest.mark.parametrize("name", POOLS)
def test_a_unit_is_in_the_pools_that_weigh_it(name: str) -> None:
    spec = model(name)
    matrix = matrix_of(spec, name)
    for unit in range(matrix.shape[1]):
        found = pools_of(spec, IMAGE, unit)
        assert found is not None
        assert [each["pool"] for each in found] == np.flatnonzero(matrix[:, unit]).tolist()
        assert np.allclose([each["weight"] for each in found], matrix[:, unit][matrix[:, unit] > 0])
        for each in found:
            assert sorted(each["units"]) == np.flatnonzero(matrix[each["pool"]]).tolist()


def test_units_of_fields_that_repeat_are_told_by_their_filters() -> None:
    spec = model("flat sheet")
    tiled = spec.model_copy(update={"connection": spec.connection.model_copy(update={"tile": 2})})
    found = pools_of(tiled, IMAGE, 3)  # row 0, column 3 of filters on a sheet of 4 × 4
    assert found is not None
    assert [each["pool"] for each in found] == [1]
    assert sorted(each["units"] for each in found)[0] == [2, 3, 0, 6, 7, 4, 10, 11, 8]


def test_a_model_without_pools_has_none() -> None:
    given = {"connection": {"kind": "dense"}, "encoder": {"kind": "feedforward"}, "sparsity": {"kind": "l1"}}
    assert pools_of(Model.model_validate(given), IMAGE, 0) is None
