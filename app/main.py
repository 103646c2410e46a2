"""The server: `uvicorn app.main:app`. It speaks HTTP, keeps jobs in the store, and never imports torch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from app import problems
from app.access import Access
from app.admission import Admission
from app.gone import Gone
from app.idempotency import Idempotency
from app.middleware import BodyLimit, RequestContext
from app.openapi import document_of
from app.read_before import ReadBefore
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
    app.add_middleware(ReadBefore, **encode.SHORT_WAY)
    app.add_middleware(Gone)
    app.add_middleware(Idempotency)
    app.add_middleware(BodyLimit, settings=settings())
    app.add_middleware(Admission, settings=settings())
    app.add_middleware(Access, settings=settings())
    app.add_middleware(RequestContext)
    app.openapi = lambda: document_of(app)  # type: ignore[method-assign]
    return app


app = create_app()
