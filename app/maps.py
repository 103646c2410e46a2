"""Pictures of structured models: which a model has, and each as a picture or as its numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from app.filters import read_units
from pinwheel.errors import Gone
from pinwheel.pictures.inhibition import draw_inhibition, inhibition_numbers, most_inhibited
from pinwheel.pictures.invariance import draw_invariance
from pinwheel.pictures.sheet import Sheet
from pinwheel.pictures.statistics import filter_statistics
from pinwheel.pictures.topography import map_differences
from pinwheel.pictures.topography_sheet import draw_topography
from pinwheel.pictures.tree import draw_tree, tree_numbers
from pinwheel.pictures.unit_map import UnitMap
from pinwheel.pictures.usage import draw_usage, usage_numbers

FORMATS = {"png": "image/png", "svg": "image/svg+xml", "json": "application/json"}
Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Material:
    """What maps are made of: the model's record, tensors of its units.safetensors, and the map that units lie on."""

    record: Mapping[str, Any]
    tensors: Tensors
    map: UnitMap | None

    def title(self, kind: str) -> str:
        return f"{self.record['name']}@{self.record['version']} · {kind}"


@dataclass(frozen=True)
class Kind:
    """One kind of map: which models have it, what it is made of, how it is drawn, its numbers.

    needs: tensors of units.safetensors that have to be there; takes: those that may be.
    """

    exists: Callable[[Mapping[str, Any]], bool]
    needs: tuple[str, ...]
    takes: tuple[str, ...]
    draw: Callable[[Material], Sheet]
    numbers: Callable[[Material], dict[str, Any]]


def available(record: Mapping[str, Any]) -> list[str]:
    """The kinds of maps that the model of this record has."""
    return [name for name, kind in KINDS.items() if kind.exists(record)]


def read_material(path: Path, record: Mapping[str, Any], kind: str) -> Material:
    """What a map of this kind is made of. Raises `NotFound` or `Gone` where the file does not have it."""
    wanted = KINDS[kind]
    tensors, metadata = read_units(path, *wanted.needs, *wanted.takes)
    missing = [name for name in wanted.needs if name not in tensors]
    if missing or (kind == "topography" and "map" not in metadata):
        lost = ", ".join(missing) or "the map"
        raise Gone(f"The units of {record['name']}@{record['version']} are there without {lost}, which {kind} needs.")
    return Material(record, tensors, UnitMap.from_json(metadata["map"]) if "map" in metadata else None)


def description(material: Material, kind: str) -> dict[str, Any]:
    """The map in numbers."""
    about = {"object": "map", "kind": kind, "model": material.record["name"], "version": material.record["version"]}
    return about | KINDS[kind].numbers(material)


def _sparsity(record: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (record.get("spec") or {}).get("model", {}).get("sparsity", {})
    return found


def _has_tree(record: Mapping[str, Any]) -> bool:
    sparsity = _sparsity(record)
    return sparsity.get("kind") == "tree" or sparsity.get("structure", {}).get("kind") == "tree"


def _draw_topography(material: Material) -> Sheet:
    assert material.map is not None
    return draw_topography(material.tensors["decoder"], material.map, material.title("topography"))


def _topography(material: Material) -> dict[str, Any]:
    """The map, the numbers of the whole, and of each unit its place, orientation and frequency."""
    assert material.map is not None
    statistics = filter_statistics(material.tensors["decoder"])
    width = material.map.width
    units = [
        {"unit": row["unit"], "row": unit // width, "column": unit % width}
        | {name: row[name] for name in ("orientation_deg", "frequency")}
        for unit, row in enumerate(statistics.rows())
    ]
    return {"map": material.map.as_json(), **map_differences(statistics, material.map).as_json(), "units": units}


def _draw_inhibition(material: Material) -> Sheet:
    found = material.tensors
    return draw_inhibition(
        found["inhibition"], found["decoder"], found["usage"], found.get("coactivation"), material.title("inhibition")
    )


def _inhibition(material: Material) -> dict[str, Any]:
    found = material.tensors
    numbers = inhibition_numbers(found["inhibition"], found.get("coactivation")).as_json()
    examples = most_inhibited(found["inhibition"], found["decoder"], found["usage"])
    return numbers | {"examples": [example.as_json() for example in examples]}


def _draw_tree(material: Material) -> Sheet:
    found = material.tensors
    return draw_tree(found["decoder"], found["parent"], found["usage"], material.title("tree"))


def _tree(material: Material) -> dict[str, Any]:
    """The tree, and how it was pruned, where it was."""
    numbers = tree_numbers(material.tensors["parent"], material.tensors["usage"])
    return numbers | {"pruning": material.record.get("pruning")}


KINDS: dict[str, Kind] = {
    "topography": Kind(lambda record: bool(record.get("map")), ("decoder",), (), _draw_topography, _topography),
    "inhibition": Kind(
        lambda record: _sparsity(record).get("kind") == "inhibition",
        ("inhibition", "decoder", "usage"),
        ("coactivation",),
        _draw_inhibition,
        _inhibition,
    ),
    "tree": Kind(
        _has_tree,
        ("decoder", "parent", "usage"),
        (),
        _draw_tree,
        _tree,
    ),
    "usage": Kind(
        lambda record: True,
        ("usage",),
        (),
        lambda material: draw_usage(material.tensors["usage"], material.title("usage")),
        lambda material: usage_numbers(material.tensors["usage"]),
    ),
    "invariance": Kind(
        lambda record: bool(record.get("invariance")),
        (),
        (),
        lambda material: draw_invariance(material.record["invariance"], material.title("invariance")),
        lambda material: dict(material.record["invariance"]),
    ),
}
