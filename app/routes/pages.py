"""Pages for people: the wall of jobs, one job live, and the API on one page. They use the public API only."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.templating import Jinja2Templates

from app.formats.negotiate import choose
from app.services import Held
from app.views import job_view, model_view
from pinwheel import __version__
from pinwheel.errors import tree
from pinwheel.store.pages import Page

WEB = Path(__file__).parent.parent / "web"
ROOT_FORMATS = {"html": "text/html", "json": "application/json"}

router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(WEB / "templates")


@router.get("/")
def front(request: Request, services: Held) -> Response:
    """The dashboard for browsers; where everything is for programs."""
    if choose(request.headers.get("accept"), None, ROOT_FORMATS) == "json":
        return JSONResponse(_discovery(), headers={"Vary": "Accept"})
    jobs, _ = services.jobs.listed(Page(limit=24))
    models, _ = services.models.listed(Page(limit=24, order="asc"))
    shown = {"jobs": [job_view(job) for job in jobs], "models": [model_view(model) for model in models]}
    return templates.TemplateResponse(request, "front.html", shown, headers={"Vary": "Accept"})


def _discovery() -> dict[str, Any]:
    names = ("datasets", "jobs", "models", "recipes", "workers", "info")
    links = {name: f"/v1/{name}" for name in names} | {
        "openapi": "/openapi.json",
        "docs": "/docs",
        "health": "/healthz",
    }
    return {"object": "service", "name": "pinwheel", "version": __version__, "links": links}


@router.get("/jobs/{job_id}")
def job_page(job_id: str, request: Request, services: Held) -> HTMLResponse:
    """One job, live."""
    return templates.TemplateResponse(request, "job.html", {"job": job_view(services.jobs.get(job_id))})


@router.get("/docs")
def docs_page(request: Request) -> HTMLResponse:
    """Every route with its parameters and errors, from the OpenAPI document; nothing from another host."""
    return templates.TemplateResponse(request, "docs.html", {"api": request.app.openapi(), "errors": tree()[1:]})
