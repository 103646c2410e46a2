"""Filters as people ask for them: a picture, numbers, or the statistics of each unit."""

import io
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

import numpy as np
from cachetools import LRUCache, cached
from fastapi import Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from safetensors import safe_open

from app.documented import between, one_of
from pinwheel.errors import NotFound
from pinwheel.pictures.mosaic import (
    MAX_COLS,
    MAX_PAD,
    MAX_SCALE,
    Layout,
    MosaicOptions,
    Normalize,
    Order,
    draw,
    encode_png,
    encode_webp,
    layout,
)
from pinwheel.pictures.statistics import filter_statistics
from pinwheel.pictures.svg import encode_svg
from pinwheel.pictures.unit_map import UnitMap, breadth_first

FORMATS = {
    "png": "image/png",
    "webp": "image/webp",
    "svg": "image/svg+xml",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
    "json": "application/json",
}

DRAWN_BYTES = 64 * 1024 * 1024  # of pictures that are kept
Kind = Literal["decoder", "encoder"]
NO_ENCODER = "There is no encoder matrix here: codes are found by iterations. Ask for kind=decoder."


@dataclass(frozen=True)
class Filters:
    """Filters in pixel space (units, height, width, channels) float32, and how often each is used (units,).

    Units that share a filter, as those of a kernel do, are one here.

    The map that the units lie on, or the parent (units,) of each in a tree, where there is one.
    """

    values: NDArray[np.float32]
    usage: NDArray[np.float32]
    map: UnitMap | None = None
    parent: NDArray[np.int64] | None = None
    layer: int = 0

    @property
    def topographic(self) -> list[int] | None:
        """The units as they lie on the map, which is their order, or in the tree, level by level."""
        if self.map is not None:
            return list(range(len(self.values)))
        return None if self.parent is None else breadth_first(self.parent)

    def plan(self, options: MosaicOptions) -> Layout:
        """Where the tiles stand: as on the map, if nothing else is asked for. A ring has rows like any others."""
        on_map = self.map is not None and self.map.layout != "ring" and options.order in ("index", "topographic")
        if self.map is not None and on_map and options.cols is None:
            options = replace(options, cols=min(self.map.width, MAX_COLS))
        return layout(self.values, options, self.usage, self.topographic)


@dataclass(frozen=True)
class FilterView:
    """What of the filters is wanted, and how."""

    format: str | None
    kind: Kind
    layer: int | None
    options: MosaicOptions


async def _view(
    format: Annotated[str | None, one_of(FORMATS)] = None,
    kind: Annotated[Kind, Query(description="Dictionary columns, or rows of the encoder.")] = "decoder",
    layer: Annotated[int | None, Query(ge=0, description="Layer of a stack, from 0; the top one without.")] = None,
    cols: Annotated[int | None, between(1, MAX_COLS, "Tiles in a row")] = None,
    scale: Annotated[int | None, between(1, MAX_SCALE, "Screen pixels a side for each pixel of a filter")] = None,
    pad: Annotated[int, between(0, MAX_PAD, "Screen pixels between tiles")] = 1,
    normalize: Annotated[Normalize, Query(description="One range of gray for each filter, or for all.")] = "per-filter",
    order: Annotated[Order, Query(description="Order of the tiles.")] = "index",
) -> FilterView:
    return FilterView(format, kind, layer, MosaicOptions(cols, scale, pad, normalize, order))


View = Annotated[FilterView, Depends(_view)]


def layer_of(path: Path) -> int:
    """The layer of a stack that a file is about."""
    return int(read_units(path)[1].get("layer", 0))


def read_preview(path: Path, kind: Kind) -> Filters:
    """Filters of a file that a training wrote. Raises `NotFound` when it is gone."""
    tensors, metadata = read_units(path, kind, "usage", "parent")
    if kind not in tensors:
        raise NotFound(NO_ENCODER)
    unit_map = UnitMap.from_json(metadata["map"]) if "map" in metadata else None
    shown, usage = tensors[kind].astype(np.float32), tensors["usage"].astype(np.float32)
    return Filters(shown, usage, unit_map, tensors.get("parent"), int(metadata.get("layer", 0)))


def read_units(path: Path, *names: str) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Those of the named tensors that the file has, and its metadata. Raises `NotFound` when it is gone."""
    try:
        with safe_open(path, "numpy") as file:
            found = set(file.keys())
            return {name: file.get_tensor(name) for name in names if name in found}, file.metadata() or {}
    except FileNotFoundError:
        raise NotFound("These filters are no longer kept.") from None


def answer(
    request: Request, filters: Filters, view: FilterView, chosen: str, texts: dict[str, str], version: str
) -> Response:
    """The filters in the chosen format; 304 when the client has them. `texts` go into a PNG's text chunks."""
    headers = {"Vary": "Accept", "ETag": f'"{version}-{chosen}-{sha256(repr(view).encode()).hexdigest()[:16]}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if chosen == "json":
        return JSONResponse(_description(filters, view), headers=headers)
    if chosen in ("npy", "npz"):
        return Response(_array(filters, chosen), media_type=FORMATS[chosen], headers=headers)
    return Response(_picture(filters, view, chosen, texts, version), media_type=FORMATS[chosen], headers=headers)


def _array(filters: Filters, chosen: str) -> bytes:
    out = io.BytesIO()
    if chosen == "npy":
        np.save(out, filters.values, allow_pickle=False)
    else:
        np.savez(out, filters=filters.values, usage=filters.usage)
    return out.getvalue()


def _key(filters: Filters, view: FilterView, chosen: str, texts: dict[str, str], version: str) -> tuple[Any, ...]:
    return version, chosen, view, tuple(texts.items())


@cached(LRUCache(DRAWN_BYTES, getsizeof=len), key=_key, lock=Lock())
def _picture(filters: Filters, view: FilterView, chosen: str, texts: dict[str, str], version: str) -> bytes:
    """Kept, since many look at the same ones; `version` tells apart what is drawn."""
    plan = filters.plan(view.options)
    pixels = draw(filters.values, plan, view.options)
    if chosen == "svg":
        height, width = filters.values.shape[1:3]
        named = [f"unit {unit}, used {filters.usage[unit]:.2%} of the time" for unit in plan.units]
        title = f"Filters of {texts.get('model') or texts.get('job')}"
        return encode_svg(pixels, plan, (height * plan.scale, width * plan.scale), named, title)
    return encode_png(pixels, texts) if chosen == "png" else encode_webp(pixels)


def _description(filters: Filters, view: FilterView) -> dict[str, Any]:
    units, height, width, channels = filters.values.shape
    return {
        "object": "filters",
        "kind": view.kind,
        "layer": filters.layer,
        "shape": [units, height, width, channels],
        "layout": filters.plan(view.options).as_json(),
        "map": filters.map and filters.map.as_json(),
        "units": filter_statistics(filters.values, filters.usage).rows(),
    }
