"""Pages for people: the wall of jobs, one job live, and the API on one page. They use the public API only."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

from app.formats.negotiate import choose
from app.model_facts import SEEN
from app.rendering import PLOTLY, page
from app.services import Held, Services
from app.views import dataset_view, job_view
from pinwheel import __version__
from pinwheel.builtin import BUILTIN
from pinwheel.errors import tree
from pinwheel.recipes import RECIPES
from pinwheel.states import TERMINAL, State
from pinwheel.store.pages import Page

ROOT_FORMATS = {"html": "text/html", "json": "application/json"}
FOR_A_YEAR = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@router.get("/")
def front(
    request: Request,
    services: Held,
    status: Annotated[State | None, Query(description="Only jobs in this state.")] = None,
    after: Annotated[str | None, Query(description="Id of the last job of the page before.")] = None,
) -> Response:
    """The dashboard for browsers; where everything is for programs."""
    if choose(request.headers.get("accept"), None, ROOT_FORMATS) == "json":
        return JSONResponse(_discovery(), headers={"Vary": "Accept"})
    jobs, more = services.jobs.listed(Page(limit=24, after=after), status.value if status else None)
    shown = [job_view(job) | {"pictured": _pictured(job, services)} for job in jobs]
    return page(request, "front.html", jobs=shown, more=more, status=status, states=list(State))


def _pictured(job: dict[str, Any], services: Services) -> bool:
    """Whether there is a picture of a job's filters, or may soon be one."""
    folder = services.artifacts.job(job["id"]) / "previews"
    spec = job.get("spec") or {}
    stages = spec.get("stages") or [spec]
    wanted = any((stage.get("training") or {}).get("previews") for stage in stages)
    return wanted and (State(job["state"]) not in TERMINAL or any(folder.glob("*.safetensors")))


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
    return page(request, "job.html", curves=True, seen=SEEN, job=job_view(services.jobs.get(job_id)))


@router.get("/new")
def new_page(request: Request) -> HTMLResponse:
    """A form for a training."""
    return page(request, "new.html", recipes=list(RECIPES.values()), built_in=list(BUILTIN))


@router.get("/data")
def data_page(
    request: Request,
    services: Held,
    after: Annotated[str | None, Query(description="Id of the last data set of the page before.")] = None,
) -> HTMLResponse:
    """The data sets."""
    found, more = services.datasets.listed(Page(limit=48, after=after))
    return page(
        request, "data.html", built_in=list(BUILTIN), datasets=[dataset_view(each) for each in found], more=more
    )


@router.get("/system")
def system_page(request: Request) -> HTMLResponse:
    """What the service says of itself and of its workers."""
    return page(request, "system.html")


@router.get("/docs")
def docs_page(request: Request) -> HTMLResponse:
    """Every route with its parameters and errors, from the OpenAPI document; nothing from another host."""
    return page(request, "docs.html", api=request.app.openapi(), errors=tree()[1:])


@router.get("/static/vendor/plotly.min.js")
def plotly(
    v: Annotated[str | None, Query(description="Its version, so that it can be kept for ever.")] = None,
) -> FileResponse:
    """Plotly, from the installed package of that name."""
    headers = {"Cache-Control": "no-cache" if v is None else FOR_A_YEAR}
    return FileResponse(PLOTLY, media_type="text/javascript", headers=headers)
