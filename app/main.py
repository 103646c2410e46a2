"""The server: `uvicorn app.main:app`. It speaks HTTP, keeps jobs in the store, and never imports torch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi

from app import problems
from app.access import Access, scope_of
from app.admission import Admission
from app.documented import Problem, ProblemEntry, errors
from app.formats.embeddings import EmbeddingRequest
from app.gone import Gone
from app.idempotency import Idempotency
from app.middleware import BodyLimit, RequestContext
from app.rendering import WEB, OwnFiles
from app.routes import (
    dataset_images,
    datasets,
    embeddings,
    encode,
    events,
    filters,
    inference,
    jobs,
    maps,
    model_pages,
    models,
    pages,
    progress,
    results,
    system,
)
from app.services import running
from app.strict import known_query
from pinwheel import __version__
from pinwheel.logs import configure_logs
from pinwheel.settings import settings
from pinwheel.specs import EncodeJob, TrainJob
from pinwheel.specs.builtin import BuiltinRequest, BuiltinSource

SCHEMAS = (Problem, ProblemEntry, TrainJob, EncodeJob, BuiltinRequest, BuiltinSource, EmbeddingRequest)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    configure_logs(settings().log_level)
    async with running() as services:
        app.state.services = services
        yield


def create_app() -> FastAPI:
    app = FastAPI(
        title="Pinwheel",
        version=__version__,
        summary="Learns sparse features from images.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    rooms = [system, datasets, dataset_images, jobs, events, progress, results, models, filters, maps, encode]
    rooms += [embeddings, inference, pages, model_pages]
    for room in rooms:
        app.include_router(room.router, dependencies=[Depends(known_query)])
    app.mount("/static", OwnFiles(directory=WEB / "static"), name="static")
    problems.install(app)
    # The last one added stands outermost.
    app.add_middleware(Gone)
    app.add_middleware(Idempotency)
    app.add_middleware(BodyLimit, settings=settings())
    app.add_middleware(Admission, settings=settings())
    app.add_middleware(Access, settings=settings())
    app.add_middleware(RequestContext)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in SCHEMAS:
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {})
            schemas[model.__name__] = schema
        _tell_of_keys(document)
        app.openapi_schema = document
    return app.openapi_schema


def _tell_of_keys(document: dict[str, Any]) -> None:
    """Where the service has keys, every route but the public ones asks for one, in one of three ways."""
    schemes = document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "basic": {"type": "http", "scheme": "basic", "description": "The key as password."},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    ways: list[dict[str, list[str]]] = [{}]
    ways += [{name: []} for name in schemes]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if scope_of(method.upper(), path) is not None:
                operation["security"] = ways
                operation["responses"].update({str(status): told for status, told in errors(401, 403).items()})


app = create_app()
