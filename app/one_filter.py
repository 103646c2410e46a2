"""One filter of a model: its picture, and in numbers what it is and where it lies."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from app.filters import Filters
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
    """The filter of `unit` among all `filters` of a layer."""

    filters: Filters
    unit: int

    def body(
        self, chosen: Literal["png", "webp", "svg", "npy"], options: MosaicOptions, texts: dict[str, str]
    ) -> bytes:
        """As a file; npy is (height, width, channels). Raises `InvalidRequest` for one that cannot be drawn."""
        value = self.filters.values[self.unit]
        if chosen == "npy":
            out = io.BytesIO()
            np.save(out, value, allow_pickle=False)
            return out.getvalue()
        height, width, _ = value.shape
        scale = options.scale or max(1, min(MAX_SCALE, DEFAULT_SIDE // max(height, width)))
        plan = layout(value[None], MosaicOptions(1, scale, 0))
        pixels = tile(self._levels(options.normalize), 1, scale, 0)
        if chosen == "svg":
            names = [f"unit {self.unit}, used {self.filters.usage[self.unit]:.2%} of the time"]
            title = f"Unit {self.unit} of {texts['model']}"
            return encode_svg(pixels, plan, (height * scale, width * scale), names, title)
        return encode_picture(pixels, chosen, texts)

    def _levels(self, normalize: Normalize) -> np.ndarray[Any, np.dtype[np.uint8]]:
        only = slice(self.unit, self.unit + 1)
        if normalize == "global":
            return filter_pixels(self.filters.values, "global")[only]
        return filter_pixels(self.filters.values[only])

    def numbers(self) -> dict[str, Any]:
        """`shape` (height, width, channels) and the statistics that all filters have."""
        only = slice(self.unit, self.unit + 1)
        (row,) = filter_statistics(self.filters.values[only], self.filters.usage[only]).rows()
        return {"shape": list(self.filters.values.shape[1:]), **row, "unit": self.unit}


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
