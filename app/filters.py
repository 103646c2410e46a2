"""Filters as people ask for them: a picture, numbers, or the statistics of each unit."""

import io
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pinwheel.errors import InvalidRequest, NotFound
from pinwheel.pictures.mosaic import MosaicOptions, Normalize, Order, encode_png, encode_webp, layout, mosaic
from pinwheel.pictures.statistics import filter_statistics

FORMATS = {
    "png": "image/png",
    "webp": "image/webp",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
    "json": "application/json",
}

Kind = Literal["decoder", "encoder"]


@dataclass(frozen=True)
class Filters:
    """Filters in pixel space (units, height, width, channels) float32, and how often each unit is on (units,)."""

    values: NDArray[np.float32]
    usage: NDArray[np.float32]


@dataclass(frozen=True)
class FilterView:
    """What of the filters is wanted, and how."""

    format: str | None
    kind: Kind
    layer: int
    options: MosaicOptions


def _view(
    format: Annotated[str | None, Query(description="png, webp, npy, npz or json, instead of Accept.")] = None,
    kind: Annotated[Kind, Query(description="Dictionary columns, or rows of the encoder.")] = "decoder",
    layer: Annotated[int, Query(ge=0, description="Layer of a stack, from 0.")] = 0,
    cols: Annotated[int | None, Query(description="Tiles in a row.")] = None,
    scale: Annotated[int | None, Query(description="Screen pixels a side for each pixel of a filter.")] = None,
    pad: Annotated[int, Query(description="Screen pixels between tiles.")] = 1,
    normalize: Annotated[Normalize, Query(description="One range of gray for each filter, or for all.")] = "per-filter",
    order: Annotated[Order, Query(description="Order of the tiles.")] = "index",
) -> FilterView:
    if layer != 0:
        raise InvalidRequest(f"layer is {layer}; this model has one layer, 0.")
    return FilterView(format, kind, layer, MosaicOptions(cols, scale, pad, normalize, order))


View = Annotated[FilterView, Depends(_view)]


def read_preview(path: Path, kind: Kind) -> Filters:
    """Filters of a file that a training wrote. Raises `NotFound` when it is gone."""
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise NotFound("These filters are no longer kept.") from None
    return Filters(tensors[kind].astype(np.float32), tensors["usage"].astype(np.float32))


def answer(
    request: Request, filters: Filters, view: FilterView, chosen: str, texts: dict[str, str], version: str
) -> Response:
    """The filters in the chosen format; 304 when the client has them. `texts` go into a PNG's text chunks."""
    headers = {"Vary": "Accept", "ETag": f'"{version}-{chosen}-{sha256(repr(view).encode()).hexdigest()[:16]}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if chosen == "json":
        return JSONResponse(_description(filters, view), headers=headers)
    return Response(_bytes(filters, view, chosen, texts), media_type=FORMATS[chosen], headers=headers)


def _bytes(filters: Filters, view: FilterView, chosen: str, texts: dict[str, str]) -> bytes:
    if chosen == "npy":
        out = io.BytesIO()
        np.save(out, filters.values, allow_pickle=False)
        return out.getvalue()
    if chosen == "npz":
        out = io.BytesIO()
        np.savez(out, filters=filters.values, usage=filters.usage)
        return out.getvalue()
    pixels = mosaic(filters.values, view.options, filters.usage)
    return encode_png(pixels, texts) if chosen == "png" else encode_webp(pixels)


def _description(filters: Filters, view: FilterView) -> dict[str, Any]:
    units, height, width, channels = filters.values.shape
    return {
        "object": "filters",
        "kind": view.kind,
        "layer": view.layer,
        "shape": [units, height, width, channels],
        "layout": layout(filters.values, view.options, filters.usage).as_json(),
        "units": filter_statistics(filters.values, filters.usage).rows(),
    }
