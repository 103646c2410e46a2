"""Pictures of structured models: which a model has, and each as a picture or as its numbers."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.filters import read_units
from app.fitting import refused
from pinwheel.errors import Gone
from pinwheel.files import layers_of
from pinwheel.pictures.inhibition import draw_inhibition, inhibition_numbers, most_inhibited
from pinwheel.pictures.invariance import draw_invariance
from pinwheel.pictures.orientation_map import orientation_map
from pinwheel.pictures.orientation_sheet import draw_orientation
from pinwheel.pictures.part_units import PartUnits, part_units_numbers
from pinwheel.pictures.part_units_sheet import draw_part_units
from pinwheel.pictures.sheet import Sheet
from pinwheel.pictures.statistics import filter_statistics
from pinwheel.pictures.topography import map_differences
from pinwheel.pictures.topography_sheet import draw_topography
from pinwheel.pictures.tree import draw_tree, tree_numbers
from pinwheel.pictures.tuning import tuning
from pinwheel.pictures.unit_map import UnitMap
from pinwheel.pictures.unit_sheet import draw_unit, one_unit_numbers
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
class OneUnit:
    """How one of the units alone is drawn, and its numbers."""

    draw: Callable[[Material, int], Sheet]
    numbers: Callable[[Material, int], dict[str, Any]]


@dataclass(frozen=True)
class Kind:
    """One kind of map: which models have it, what it is made of, how it is drawn, its numbers.

    needs: tensors of units.safetensors that have to be there; takes: those that may be. on_map: whether the map that
    the units lie on has to be there. one_unit: for kinds that can be asked about one unit.
    """

    exists: Callable[[Mapping[str, Any]], bool]
    needs: tuple[str, ...]
    takes: tuple[str, ...]
    draw: Callable[[Material], Sheet]
    numbers: Callable[[Material], dict[str, Any]]
    on_map: bool = False
    one_unit: OneUnit | None = None


def available(record: Mapping[str, Any]) -> list[str]:
    """The kinds of maps that the model of this record has."""
    whole = of_layer(record, None)
    return [name for name, kind in KINDS.items() if kind.exists(whole)]


def of_layer(record: Mapping[str, Any], layer: int | None) -> dict[str, Any]:
    """The record of a model as if that layer, the top one where None, were all of it."""
    spec, told = record.get("spec") or {}, layers_of(record)
    number = len(told) - 1 if layer is None else layer
    if "stages" not in spec:
        return dict(record)
    return {**record, **told[number], "spec": {"model": spec["stages"][number]["model"]}}


def read_material(path: Path, record: Mapping[str, Any], kind: str) -> Material:
    """What a map of this kind is made of. Raises `NotFound` or `Gone` where the file does not have it."""
    wanted = KINDS[kind]
    tensors, metadata = read_units(path, *wanted.needs, *wanted.takes)
    missing = [name for name in wanted.needs if name not in tensors]
    if missing or (wanted.on_map and "map" not in metadata):
        lost = ", ".join(missing) or "the map"
        raise Gone(f"The units of {record['name']}@{record['version']} are there without {lost}, which {kind} needs.")
    return Material(record, tensors, UnitMap.from_json(metadata["map"]) if "map" in metadata else None)


def check_unit(record: Mapping[str, Any], kind: str, unit: int | None) -> None:
    """Raises `InvalidConfig` for a kind that is about all units alone, and for a unit that there is not."""
    if unit is None:
        return
    if KINDS[kind].one_unit is None:
        able = ", ".join(name for name, each in KINDS.items() if each.one_unit is not None)
        detail = f"unit is {unit}, and the map {kind} is about all units; one can be asked for with: {able}"
        raise refused("#/query/unit", "not_allowed", detail)
    if unit >= record["units"]:
        last = record["units"] - 1
        detail = f"{record['name']}@{record['version']} has {record['units']} units, 0 to {last}, and unit is {unit}"
        raise refused("#/query/unit", "too_large", detail)


def drawing(material: Material, kind: str, unit: int | None = None) -> Sheet:
    """The map, or what it shows of one unit, as a picture."""
    one = KINDS[kind].one_unit
    return KINDS[kind].draw(material) if unit is None or one is None else one.draw(material, unit)


def description(material: Material, kind: str, unit: int | None = None) -> dict[str, Any]:
    """The same in numbers."""
    about = {"object": "map", "kind": kind, "model": material.record["name"], "version": material.record["version"]}
    one = KINDS[kind].one_unit
    return about | (KINDS[kind].numbers(material) if unit is None or one is None else one.numbers(material, unit))


def _sparsity(record: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (record.get("spec") or {}).get("model", {}).get("sparsity", {})
    return found


def _has_tree(record: Mapping[str, Any]) -> bool:
    sparsity = _sparsity(record)
    return sparsity.get("kind") == "tree" or sparsity.get("structure", {}).get("kind") == "tree"


def _has_area(record: Mapping[str, Any]) -> bool:
    """Whether the units lie on a map that pinwheels can be in: not on a ring."""
    found = record.get("map") or {}
    return all(found.get(side, 1) > 1 for side in ("height", "width"))


def _draw_topography(material: Material) -> Sheet:
    assert material.map is not None
    return draw_topography(material.tensors["decoder"], material.map, material.title("topography"))


def _topography(material: Material) -> dict[str, Any]:
    """The map, the numbers of the whole, and of each unit its place, orientation and frequency."""
    assert material.map is not None
    statistics = filter_statistics(material.tensors["decoder"])
    columns = {"orientation_deg": statistics.orientation_deg, "frequency": statistics.frequency}
    units = _units(material.map, columns)
    return {"map": material.map.as_json(), **map_differences(statistics, material.map).as_json(), "units": units}


def _units(unit_map: UnitMap, columns: Mapping[str, NDArray[np.float64]]) -> list[dict[str, float | int | None]]:
    """The place of each unit on the map, and of each column its value; null for what does not exist."""
    return [
        {"unit": unit, "row": unit // unit_map.width, "column": unit % unit_map.width}
        | {name: float(value[unit]) if np.isfinite(value[unit]) else None for name, value in columns.items()}
        for unit in range(unit_map.units)
    ]


def _draw_orientation(material: Material) -> Sheet:
    assert material.map is not None
    return draw_orientation(material.tensors["decoder"], material.map, material.title("orientation"))


def _orientation(material: Material) -> dict[str, Any]:
    """The numbers of the map and of shuffled ones, the pinwheels, and of each unit its place and tuning."""
    assert material.map is not None
    tuned = tuning(material.tensors["decoder"])
    return orientation_map(tuned, material.map).as_json() | {"units": _units(material.map, asdict(tuned))}


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


def _draw_units(material: Material) -> Sheet:
    return draw_part_units(PartUnits.of(material.tensors), material.title("units"), material.record.get("class_names"))


def _draw_unit(material: Material, unit: int) -> Sheet:
    found, title = PartUnits.of(material.tensors), material.title(f"unit {unit}")
    return draw_unit(found, unit, title, material.record.get("class_names"))


KINDS: dict[str, Kind] = {
    "topography": Kind(
        lambda record: bool(record.get("map")), ("decoder",), (), _draw_topography, _topography, on_map=True
    ),
    "orientation": Kind(_has_area, ("decoder",), (), _draw_orientation, _orientation, on_map=True),
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
    "units": Kind(
        lambda record: "part_units" in (record.get("metrics") or {}),
        ("decoder", "encoder", "usage", "angle", "plain_angle", "mean_active", "switched_late"),
        (
            "explaining_away",
            "overlap",
            "classifier",
            "class_means",
            "optimal_units",
            "optimal_decoders",
            "example_inputs",
            "example_codes",
            "example_passes",
            "example_labels",
        ),
        _draw_units,
        lambda material: part_units_numbers(PartUnits.of(material.tensors)),
        one_unit=OneUnit(_draw_unit, lambda material, unit: one_unit_numbers(PartUnits.of(material.tensors), unit)),
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
