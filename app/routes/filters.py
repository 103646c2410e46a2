"""One unit of a model: its filter, and the inputs that drive it most."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from app.documented import between, content, errors, one_of
from app.filters import Kind
from app.fitting import check_layer_of
from app.formats.negotiate import choose
from app.one_filter import FORMATS, OneFilter, check_unit, position_of, unit_pools
from app.patches import FORMATS as PATCH_FORMATS
from app.patches import MOST_PATCHES, body_of, read_patches
from app.routes.models import headers_of, units_of
from app.services import Held
from app.unit_partners import partners
from app.views import unit_links
from pinwheel.files import layers_of, patches_file
from pinwheel.pictures.mosaic import MAX_COLS, MAX_PAD, MAX_SCALE, MosaicOptions, Normalize

router = APIRouter(prefix="/v1/models", tags=["models"])

Unit = Annotated[int, Path(description="The unit, from 0: its place among all filters of the layer.")]
Layer = Annotated[int | None, Query(ge=0, description="Layer of a stack, from 0; the top one without.")]
Scale = Annotated[int | None, between(1, MAX_SCALE, "Screen pixels a side for each pixel")]


@router.get(
    "/{model}/filters/{unit}",
    response_class=Response,
    responses={200: content(*FORMATS.values()), **errors(400, 404, 406, 410)},
)
def read_filter(
    model: str,
    unit: Unit,
    request: Request,
    services: Held,
    format: Annotated[str | None, one_of(FORMATS)] = None,
    kind: Annotated[Kind, Query(description="A dictionary column, or a row of the encoder.")] = "decoder",
    layer: Layer = None,
    scale: Scale = None,
    normalize: Annotated[Normalize, Query(description="Its own range of gray, or that of all.")] = "per-filter",
    nearest: Annotated[int, Query(ge=0, le=64, description="json: how many other units are named in a list.")] = 8,
) -> Response:
    """One filter as a picture; as json its statistics, place, pools, connections and the units most like it."""
    record = services.models.find(model)
    chosen = choose(request.headers.get("accept"), format, FORMATS)
    options = MosaicOptions(scale=scale, normalize=normalize)
    check_layer_of(record, layer, "#/query/layer")
    check_unit(record, layer, unit)
    asked = [str(each) for each in ("unit", unit, kind, layer, scale, normalize, nearest)]
    headers = headers_of(model, record, chosen, *asked)
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    path = units_of(services, record, layer)
    found = OneFilter.read(path, kind, unit, normalize)
    if chosen != "json":
        body = found.body(chosen, options, _texts(record, unit))
        return Response(body, media_type=FORMATS[chosen], headers=headers)
    number = len(layers_of(record)) - 1 if layer is None else layer
    told = partners(path.parent, record, number, unit, nearest)
    field = told.pop("field")
    answer = {
        **_about("filter", record, number),
        "kind": kind,
        **found.numbers(),
        "position": position_of(found.map, unit, field),
        "pools": unit_pools(record, number, unit),
        **told,
        "links": unit_links(record, number, unit, patches=(path.parent / patches_file(number)).exists()),
    }
    return JSONResponse(answer, headers=headers)


@router.get(
    "/{model}/filters/{unit}/patches",
    response_class=Response,
    responses={200: content(*PATCH_FORMATS.values()), **errors(400, 404, 406)},
)
def read_unit_patches(
    model: str,
    unit: Unit,
    request: Request,
    services: Held,
    format: Annotated[str | None, one_of(PATCH_FORMATS)] = None,
    count: Annotated[int, Query(ge=1, le=MOST_PATCHES, description="How many, the strongest first.")] = MOST_PATCHES,
    layer: Layer = None,
    cols: Annotated[int | None, between(1, MAX_COLS, "Tiles in a row")] = None,
    scale: Scale = None,
    pad: Annotated[int, between(0, MAX_PAD, "Screen pixels between tiles")] = 1,
) -> Response:
    """The inputs that drive a unit most, as they were before any preprocessing: a mosaic, an array, or where they are
    in the data set. They are found when a model is published; 404 for one that was published without."""
    record = services.models.find(model)
    chosen = choose(request.headers.get("accept"), format, PATCH_FORMATS)
    options = MosaicOptions(cols, scale, pad)
    check_layer_of(record, layer, "#/query/layer")
    check_unit(record, layer, unit)
    asked = [str(each) for each in ("patches", unit, count, layer, cols, scale, pad)]
    headers = headers_of(model, record, chosen, *asked)
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    number = len(layers_of(record)) - 1 if layer is None else layer
    path = services.artifacts.model(record["name"], record["version"]) / patches_file(number)
    found = read_patches(path, f"{record['name']}@{record['version']}", unit, count)
    if chosen == "json":
        links = unit_links(record, number, unit, patches=True)
        answer = {**_about("patches", record, number), "unit": unit, **found.as_json(), "links": links}
        return JSONResponse(answer, headers=headers)
    body = body_of(found, chosen, options, _texts(record, unit))
    return Response(body, media_type=PATCH_FORMATS[chosen], headers=headers)


def _about(kind: str, record: dict[str, Any], layer: int) -> dict[str, Any]:
    return {"object": kind, "model": record["name"], "version": record["version"], "layer": layer}


def _texts(record: dict[str, Any], unit: int) -> dict[str, str]:
    """Into the text chunks of a PNG."""
    return {
        "model": record["name"],
        "version": str(record["version"]),
        "step": str(record["step"]),
        "unit": str(unit),
    }
