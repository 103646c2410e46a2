"""Pages for people: the models, one model with its filters and maps, and the playground. Public API only."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from app.model_facts import SEEN, as_data, facts_of
from app.rendering import page
from app.services import Held, Services
from app.views import model_view
from pinwheel.errors import NotFound
from pinwheel.files import layers_of
from pinwheel.store.pages import Page

router = APIRouter(include_in_schema=False)

MOST_MODELS = 100
# What the address of a page may say; its script reads it.
Said = Annotated[str | None, Query()]


@router.get("/models")
def models_page(request: Request, services: Held, after: Said = None) -> HTMLResponse:
    """The newest version of every model, as cards."""
    try:
        records, more = services.models.listed(Page(limit=24, order="asc", after=after))
    except NotFound as error:
        return _missing(request, error)
    shown: dict[str, Any] = {"models": [model_view(record) for record in records], "more": more}
    return page(request, "models.html", **shown)


@router.get("/models/{model}")
def model_page(
    model: str,
    request: Request,
    services: Held,
    unit: Said = None,
    order: Said = None,
    kind: Said = None,
    layer: Said = None,
    map: Said = None,
) -> HTMLResponse:
    """One model: its filters, each unit, its maps, what it reached, and its files."""
    try:
        record = services.models.find(model)
    except NotFound as error:
        return _missing(request, error)
    count = len(layers_of(record))
    shown: dict[str, Any] = {
        "model": model_view(record),
        "layers": range(count),
        "seen": SEEN,
        "dataset": _dataset(services, record),
    }
    return page(request, "model.html", **shown)


@router.get("/playground")
def playground_page(
    request: Request, services: Held, model: Said = None, unit: Said = None, row: Said = None
) -> HTMLResponse:
    """Try a model on an image: which filters fire, where, and what they rebuild."""
    records, _ = services.models.listed(Page(limit=MOST_MODELS, order="asc"))
    shown: dict[str, Any] = {"names": [f"{each['name']}@{each['version']}" for each in records], "model": None}
    if model or records:
        try:
            record = services.models.find(model or shown["names"][0])
        except NotFound as error:
            return _missing(request, error)
        shown |= {"model": model_view(record), "dataset": _dataset(services, record)}
        shown["facts"] = json.dumps(as_data(facts_of(record)))
        chosen = f"{record['name']}@{record['version']}"
        shown["names"] = sorted({*shown["names"], chosen})
    return page(request, "playground.html", **shown)


def _dataset(services: Services, record: dict[str, Any]) -> dict[str, Any] | None:
    """What the model was trained on, if it is still there."""
    try:
        return services.datasets.find(record["dataset"]) if record.get("dataset") else None
    except NotFound:
        return None


def _missing(request: Request, error: NotFound) -> HTMLResponse:
    return page(request, "missing.html", status_code=404, detail=error.detail)
