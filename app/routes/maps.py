"""Pictures of structured models: where units lie, whom they inhibit, their tree, how much they are used."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from app.documented import content, errors, one_of
from app.fitting import check_layer_of
from app.formats.negotiate import choose
from app.maps import FORMATS, KINDS, available, check_unit, description, drawing, of_layer, read_material
from app.routes.models import headers_of, units_of
from app.services import Held
from pinwheel.errors import InvalidConfig, NotFound
from pinwheel.pictures.sheet import picture

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get(
    "/{model}/maps/{kind}",
    response_class=Response,
    responses={200: content(*FORMATS.values()), **errors(400, 404, 406, 410)},
)
def read_map(
    model: str,
    kind: Annotated[str, Path(description="What to show.", json_schema_extra={"enum": list(KINDS)})],
    request: Request,
    services: Held,
    format: Annotated[str | None, one_of(FORMATS)] = None,
    layer: Annotated[int | None, Query(ge=0, description="Layer of a stack, from 0; the top one without.")] = None,
    unit: Annotated[int | None, Query(ge=0, description="One unit alone, of the map `units`, from 0.")] = None,
) -> Response:
    """One map of a model as a picture or in numbers. `maps` of the model has those that exist for it."""
    record = services.models.find(model)
    name, version = record["name"], record["version"]
    check_layer_of(record, layer, "#/query/layer")
    record = of_layer(record, layer)
    _check(kind, record)
    check_unit(record, kind, unit)
    chosen = choose(request.headers.get("accept"), format, FORMATS)
    asked = [*([] if layer is None else [str(layer)]), *([] if unit is None else [f"unit-{unit}"])]
    headers = headers_of(model, record, kind, chosen, *asked)
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    material = read_material(units_of(services, record, layer), record, kind)
    if chosen == "json":
        return JSONResponse(description(material, kind, unit), headers=headers)
    texts = {"model": name, "version": str(version), "step": str(record["step"]), "map": kind}
    body = picture(lambda: drawing(material, kind, unit), "png" if chosen == "png" else "svg", texts)
    return Response(body, media_type=FORMATS[chosen], headers=headers)


def _check(kind: str, record: dict[str, Any]) -> None:
    """`InvalidConfig` for what is no kind of map, `NotFound` for one that this model does not have."""
    has = available(record)
    model = f"{record['name']}@{record['version']} has: {', '.join(has)}."
    if kind not in KINDS:
        entry = {"pointer": "#/path/kind", "code": "unknown_choice", "detail": f"there are: {', '.join(KINDS)}"}
        raise InvalidConfig(f"There is no map {kind[:100]!r}; there are: {', '.join(KINDS)}. {model}", errors=[entry])
    if kind not in has:
        raise NotFound(f"This model has no {kind} map; {model}", available=has)
