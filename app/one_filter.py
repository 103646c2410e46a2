"""One filter of a model: its picture, and in numbers what it is and where it lies."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from app.filters import NO_ENCODER, Kind
from app.unit_pools import pools_of
from pinwheel.errors import NotFound
from pinwheel.files import layers_of
from pinwheel.pictures.mosaic import MAX_SCALE, MosaicOptions, Normalize, encode_picture, filter_pixels, layout, tile
from pinwheel.pictures.statistics import filter_statistics
from pinwheel.pictures.svg import encode_svg
from pinwheel.pictures.unit_map import UnitMap
from pinwheel.specs import ANY_SPEC, as_image, layers

FORMATS = {
    "png": "image/png",
    "webp": "image/webp",
    "svg": "image/svg+xml",
    "npy": "application/x-npy",
    "json": "application/json",
}
CHUNK_NUMBERS = 2**22
DEFAULT_SIDE = 256  # screen pixels; the default scale makes a filter about this large


def check_unit(record: Mapping[str, Any], layer: int | None, unit: int) -> None:
    """Raises `NotFound` for a unit that the layer does not have."""
    told = layers_of(record)[-1 if layer is None else layer]
    last = told["units"] - 1
    if not 0 <= unit <= last:
        detail = f"{record['name']}@{record['version']} has the units 0 to {last}, and unit is {unit}."
        raise NotFound(detail, errors=[{"pointer": "#/path/unit", "code": "out_of_range", "detail": detail}])


@dataclass(frozen=True)
class OneFilter:
    """`value` (height, width, channels) of a unit, the share of the inputs that use it, and the map that units lie on.

    peak: the largest |value| of all filters, where it was asked for.
    """

    unit: int
    value: NDArray[np.float32]
    usage: NDArray[np.float32]  # (1,)
    map: UnitMap | None
    peak: float | None

    @classmethod
    def read(cls, path: Path, kind: Kind, unit: int, normalize: Normalize) -> "OneFilter":
        """Of the file of a layer, of which no more is read than is needed. Raises `NotFound` where there is none."""
        try:
            with safe_open(path, "numpy") as file:
                if kind not in set(file.keys()):
                    raise NotFound(NO_ENCODER)
                found, told = file.get_slice(kind), file.metadata() or {}
                value, usage = found[unit : unit + 1][0], file.get_slice("usage")[unit : unit + 1]
                peak = _largest(found) if normalize == "global" else None
        except FileNotFoundError:
            raise NotFound("These filters are no longer kept.") from None
        unit_map = UnitMap.from_json(told["map"]) if "map" in told else None
        return cls(unit, value.astype(np.float32), usage.astype(np.float32), unit_map, peak)

    def body(self, chosen: str, options: MosaicOptions, texts: dict[str, str]) -> bytes:
        """As `png`, `webp`, `svg` or `npy`. Raises `InvalidRequest` for a filter that cannot be drawn."""
        if chosen == "npy":
            out = io.BytesIO()
            np.save(out, self.value, allow_pickle=False)
            return out.getvalue()
        height, width, _ = self.value.shape
        scale = options.scale or max(1, min(MAX_SCALE, DEFAULT_SIDE // max(height, width)))
        plan = layout(self.value[None], MosaicOptions(1, scale, 0))
        pixels = tile(self._levels(), 1, scale, 0)
        if chosen == "svg":
            names = [f"unit {self.unit}, used {self.usage[0]:.2%} of the time"]
            title = f"Unit {self.unit} of {texts['model']}"
            return encode_svg(pixels, plan, (height * scale, width * scale), names, title)
        return encode_picture(pixels, "png" if chosen == "png" else "webp", texts)

    def _levels(self) -> NDArray[np.uint8]:
        if self.peak is None:
            return filter_pixels(self.value[None])
        return filter_pixels(np.stack([self.value, np.full_like(self.value, self.peak)]), "global")[:1]

    def numbers(self) -> dict[str, Any]:
        """`shape` (height, width, channels) and the statistics that all filters have."""
        (row,) = filter_statistics(self.value[None], self.usage).rows()
        return {"shape": list(self.value.shape), **row, "unit": self.unit}


def _largest(filters: Any) -> float:
    """The largest |value| of a slice (units, height, width, channels)"""
    units, *rest = filters.get_shape()
    step = max(1, CHUNK_NUMBERS // math.prod(rest))
    pieces = (filters[start : min(start + step, units)] for start in range(0, units, step))
    return max(float(np.abs(np.nan_to_num(piece, posinf=0.0, neginf=0.0)).max()) for piece in pieces)


def position_of(unit_map: UnitMap | None, unit: int, field: Mapping[str, int] | None) -> dict[str, Any] | None:
    """Row and column on the map that the units lie on and, of a unit with a field of its own, that in the image; of one
    that repeats, the first. None where units lie nowhere."""
    if unit_map is None:
        return None
    place = {"layout": unit_map.layout, "row": unit // unit_map.width, "column": unit % unit_map.width}
    return {**place, "field": None if field is None else dict(field)}


def unit_pools(record: Mapping[str, Any], layer: int, unit: int) -> list[dict[str, Any]] | None:
    """The pools that the unit is in; None for a model without, or one of whose spec the record knows nothing."""
    if not record.get("spec"):
        return None
    spec, image = ANY_SPEC.validate_python(record["spec"]), tuple(record["input_shape"])
    if layer > 0:
        image = as_image(tuple(layers_of(record)[layer - 1]["feature_shape"]))
    return pools_of(layers(spec)[layer].model, image, unit)
