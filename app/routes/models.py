"""Published models: read, fetch, delete."""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from safetensors.numpy import load_file

from app.documented import content, errors, one_of
from app.exporting import Pixels, exported
from app.filters import FORMATS as FILTER_FORMATS
from app.filters import View, answer, read_preview
from app.fitting import check_layer_of
from app.formats.negotiate import choose
from app.geometry import feature_shape
from app.paging import Paged
from app.services import Held, Services
from app.views import list_view, model_view
from pinwheel.errors import Gone, InvalidConfig
from pinwheel.files import WEIGHTS, layers_of, units_file
from pinwheel.store.models import split

router = APIRouter(prefix="/v1/models", tags=["models"])

WEIGHT_FORMATS = {
    "safetensors": "application/x-safetensors",
    "npz": "application/x-npz",
    "onnx": "application/onnx",
}
IMMUTABLE = "public, max-age=31536000, immutable"


def caching(model: str) -> str:
    """An address with a version never changes its answer; one without follows the newest."""
    return IMMUTABLE if "@" in model else "no-cache"


def units_of(services: Services, record: dict[str, Any], layer: int | None) -> Path:
    """The file of a layer of a model, of the top one where None."""
    number = len(layers_of(record)) - 1 if layer is None else layer
    return services.artifacts.model(record["name"], record["version"]) / units_file(number)


def headers_of(model: str, record: dict[str, Any], *what: str) -> dict[str, str]:
    """Of an answer about a version, which never changes: asked for as `model`, told apart from others by `what`."""
    name, version = record["name"], record["version"]
    return {
        "ETag": f'"{"-".join([name, str(version), record["job"], *what])}"',
        "Cache-Control": caching(model),
        "Vary": "Accept",
        "X-Model": f"{name}@{version}",
    }


@router.get("", responses=errors())
def list_models(services: Held, page: Paged) -> dict[str, Any]:
    """The newest version of every model, by name."""
    records, more = services.models.listed(page)
    return list_view([model_view(record) for record in records], more, "name")


@router.get("/{model}", responses=errors(404))
def read_model(model: str, services: Held) -> dict[str, Any]:
    """One model: `name` is its newest version, `name@3` that version."""
    return model_view(services.models.find(model))


@router.delete("/{model}", status_code=204, responses=errors(404, 409))
def delete_model(model: str, services: Held) -> Response:
    """Delete one version (`name@3`) or all of them (`name`); refused while a job that uses it has not ended."""
    name, version = split(model)
    numbers = [version] if version else services.models.find(name)["versions"]
    for number in numbers:
        services.models.check_unused(name, number)
    for number in numbers:
        services.models.remove(name, number)
        services.artifacts.remove(services.artifacts.model(name, number))
    return Response(status_code=204)


@router.get(
    "/{model}/weights",
    response_class=Response,
    responses={200: content(*WEIGHT_FORMATS.values()), **errors(404, 406, 410)},
)
def read_weights(
    model: str,
    request: Request,
    services: Held,
    format: Annotated[str | None, one_of(WEIGHT_FORMATS)] = None,
    topk: Annotated[int | None, Query(ge=1, description="onnx: the k largest features as outputs too.")] = None,
    layer: Annotated[
        int | None, Query(ge=0, description="onnx: layer of a stack, from 0; the top one without.")
    ] = None,
    pixels: Annotated[Pixels | None, Query(description="onnx: what images are; float32 (from 0 to 1) without.")] = None,
) -> Response:
    """All tensors of the model, with its spec as metadata; or its encoder, preprocessing included, as ONNX."""
    record = services.models.find(model)
    name, version = record["name"], record["version"]
    chosen = choose(request.headers.get("accept"), format, WEIGHT_FORMATS)
    path = services.artifacts.model(name, version) / WEIGHTS
    asked = {"topk": topk, "layer": layer, "pixels": pixels}
    _check_options(chosen, asked, record)
    headers = headers_of(model, record, chosen, *(f"{key}{value}" for key, value in asked.items() if value is not None))
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if not path.exists():
        raise Gone(f"The weights of {name}@{version} are no longer there.")
    filename = f"{name}-{version}.{chosen}"
    if chosen == "safetensors":
        return FileResponse(path, media_type=WEIGHT_FORMATS[chosen], filename=filename, headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    if chosen == "onnx":
        body = exported(path, f"{name}@{version}", topk, layer, pixels or "float32")
        return Response(body, media_type=WEIGHT_FORMATS[chosen], headers=headers)
    out = io.BytesIO()
    np.savez(out, **load_file(path))  # type: ignore[arg-type]
    return Response(out.getvalue(), media_type=WEIGHT_FORMATS[chosen], headers=headers)


def _check_options(format: str, asked: Mapping[str, int | str | None], record: dict[str, Any]) -> None:
    for key, value in asked.items():
        if value is not None and format != "onnx":
            detail = f"{key} is {value} and the format is {format!r}; {key} goes with format=onnx."
            raise InvalidConfig(detail, errors=[{"pointer": f"#/query/{key}", "code": "not_allowed", "detail": detail}])
    layer, topk = asked["layer"], asked["topk"]
    assert layer is None or isinstance(layer, int)
    check_layer_of(record, layer, "#/query/layer")
    features = math.prod(feature_shape(record, layer))
    if isinstance(topk, int) and topk > features:
        detail = f"topk is {topk}; the model gives {features} features."
        raise InvalidConfig(detail, errors=[{"pointer": "#/query/topk", "code": "too_large", "detail": detail}])


@router.get(
    "/{model}/filters",
    response_class=Response,
    responses={200: content(*FILTER_FORMATS.values()), **errors(400, 404, 406)},
)
def read_filters(model: str, request: Request, services: Held, view: View) -> Response:
    """All filters as one picture, as numbers, or as statistics of each unit."""
    record = services.models.find(model)
    name, version = record["name"], record["version"]
    chosen = choose(request.headers.get("accept"), view.format, FILTER_FORMATS)
    check_layer_of(record, view.layer, "#/query/layer")
    filters = read_preview(units_of(services, record, view.layer), view.kind)
    texts = {"model": name, "version": str(version), "step": str(record["step"]), "query": str(request.url.query)}
    response = answer(request, filters, view, chosen, texts, f"{name}-{version}-{record['job']}")
    response.headers["Cache-Control"] = caching(model)
    response.headers["X-Model"] = f"{name}@{version}"
    return response
