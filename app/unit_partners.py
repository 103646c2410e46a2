"""The units that one unit of a model has most to do with: by their filters, by connections, in a tree, and classes.

Read from the files of the model in pieces: of a matrix of all pairs one row and one column.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from pinwheel.errors import Gone
from pinwheel.files import WEIGHTS

CHUNK_NUMBERS = 2**22
Floats = NDArray[np.float64]


def partners(folder: Path, record: Mapping[str, Any], layer: int, unit: int, most: int) -> dict[str, Any]:
    """Of one unit, null where a model has none, lists strongest first and at most `most` long: `neighbours`, the units
    with the largest |cosine| of dictionary columns; `connections` of a recurrent encoder, `incoming` and `outgoing`;
    `inhibition`; `tree`, its parent and children; `classifier`, the weight for each class; `field`, its corner.

    Raises `Gone` where the weights are no longer there.
    """
    prefix = f"layers.{layer}."
    try:
        with safe_open(folder / WEIGHTS, "numpy") as file:
            names = [name for name in file.keys() if name.startswith(prefix) or name == "classifier"]  # noqa: SIM118
            slices = {name.removeprefix(prefix): file.get_slice(name) for name in names}
            return _told(slices, record, layer, unit, most)
    except FileNotFoundError:
        raise Gone(f"The weights of {record['name']}@{record['version']} are no longer there.") from None


def _told(slices: Mapping[str, Any], record: Mapping[str, Any], layer: int, unit: int, most: int) -> dict[str, Any]:
    cosines = cosines_with(slices["dictionary"], unit)
    return {
        "field": _field(slices, unit),
        "neighbours": strongest(cosines, most, "cosine", unit),
        "connections": _connections(slices, unit, most),
        "inhibition": _inhibition(slices, unit, most),
        "tree": _tree(slices, unit),
        "classifier": _classifier(slices, record, layer, unit, len(cosines)),
    }


def cosines_with(dictionary: Any, unit: int) -> Floats:
    """(units,) of a unit's column with all: of a slice (inputs, units), or (units, channels, height, width)."""
    shape = dictionary.get_shape()
    dense = len(shape) == 2
    length = shape[0]
    step = max(1, CHUNK_NUMBERS // max(1, int(np.prod(shape[1:]))))
    pieces = (dictionary[start : min(start + step, length)].astype(np.float64) for start in range(0, length, step))
    if dense:
        products, squares = np.zeros(shape[1]), np.zeros(shape[1])
        for piece in pieces:
            products += piece[:, unit] @ piece
            squares += np.square(piece).sum(0)
    else:
        own = dictionary[unit : unit + 1].astype(np.float64).ravel()
        flat = [(piece.reshape(len(piece), -1) @ own, np.square(piece).sum((1, 2, 3))) for piece in pieces]
        products, squares = (np.concatenate(part) for part in zip(*flat, strict=True))
    norms = np.sqrt(squares * squares[unit])
    cosines: Floats = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return cosines


def strongest(values: NDArray[Any], most: int, name: str, unit: int) -> list[dict[str, Any]]:
    """The other units with the largest |values| (units,), none with 0."""
    sizes = np.abs(values.astype(np.float64))
    sizes[unit] = 0
    order = np.argsort(-sizes, kind="stable")[:most]
    return [{"unit": int(other), name: float(values[other])} for other in order if sizes[other] > 0]


def _field(slices: Mapping[str, Any], unit: int) -> dict[str, int] | None:
    if "positions" not in slices:
        return None
    top, left = slices["positions"][unit : unit + 1][0].tolist()
    size = slices["dictionary"].get_shape()[-1]
    return {"top": top, "left": left, "height": size, "width": size}


def _connections(slices: Mapping[str, Any], unit: int, most: int) -> dict[str, Any] | None:
    """Row i of S is what comes into unit i. Fields that explain each other away have no matrix of pairs."""
    found = slices.get("explaining_away")
    if found is None or len(found.get_shape()) != 2:
        return None
    row, column = found[unit : unit + 1][0], found[:, unit : unit + 1][:, 0]
    return {"incoming": strongest(row, most, "weight", unit), "outgoing": strongest(column, most, "weight", unit)}


def _inhibition(slices: Mapping[str, Any], unit: int, most: int) -> list[dict[str, Any]] | None:
    found = slices.get("inhibition")
    return None if found is None else strongest(found[unit : unit + 1][0], most, "weight", unit)


def _tree(slices: Mapping[str, Any], unit: int) -> dict[str, Any] | None:
    if "parent" not in slices:
        return None
    parent = slices["parent"][:]
    above = int(parent[unit])
    return {"parent": above if above >= 0 else None, "children": np.flatnonzero(parent == unit).tolist()}


def _classifier(
    slices: Mapping[str, Any], record: Mapping[str, Any], layer: int, unit: int, units: int
) -> list[dict[str, Any]] | None:
    """Where the classifier sees this unit alone as a feature: on the top layer, neither pooled nor over an image."""
    top = len(record.get("layers") or [record]) - 1
    if "classifier" not in slices or layer != top:
        return None
    classes, features = slices["classifier"].get_shape()
    if features != units or record.get("feature_shape") not in (None, [units]) or _pools(record, layer):
        return None
    names: Sequence[Any] = record.get("class_names") or range(classes)
    weights = slices["classifier"][:, unit : unit + 1][:, 0].tolist()
    return [{"class": name, "weight": weight} for name, weight in zip(names, weights, strict=True)]


def _pools(record: Mapping[str, Any], layer: int) -> bool:
    spec = record.get("spec") or {}
    model = spec["stages"][layer]["model"] if "stages" in spec else spec.get("model", {})
    return bool(model.get("output") == "pooled")
