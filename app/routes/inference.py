"""The Open Inference Protocol, version 2: what `tritonclient` asks (its HTTP form, JSON and the binary extension)."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool

from app.bodies import parse_json
from app.documented import content, errors
from app.encoding import encoded, headers
from app.formats import binary_tensors, compression
from app.formats.inference import Asked, parse, render
from app.services import Held, Services
from app.tensors import config, images_of, metadata, outputs_of, topk_of
from app.together import Answer
from pinwheel import __version__
from pinwheel.errors import InvalidRequest, NotFound, NoWorker, PinwheelError, UnsupportedMediaType
from pinwheel.store import workers
from pinwheel.store.models import split
from pinwheel.store.pages import Page

router = APIRouter(prefix="/v2", tags=["inference"])

Record = dict[str, Any]
EXTENSIONS = ["binary_tensor_data", "model_configuration", "parameters", "statistics"]
READ = ("", "application/json", "application/octet-stream")
BODY_DOC: dict[str, Any] = {
    "requestBody": {"required": True, "content": {each: {} for each in READ[1:]}},
}


async def _found(model: str, services: Held, version: str | None = None) -> Record:
    """The record of the version that the path names, the newest without."""
    name, own = split(model)
    if version is None:
        return await services.lookup.find(model)
    if own is not None and str(own) != version:
        raise NotFound(f"The path names version {version[:100]} of {model}; leave one of them out.")
    return await services.lookup.find(f"{name}@{version}")


Found = Annotated[Record, Depends(_found)]


@router.get("", responses=errors())
def server_metadata() -> dict[str, Any]:
    """Name, version and extensions."""
    return {"name": "pinwheel", "version": __version__, "extensions": EXTENSIONS}


@router.get("/health/live", responses=errors())
def live() -> dict[str, bool]:
    """The process is alive."""
    return {"live": True}


@router.get("/health/ready", responses=errors())
def ready(services: Held) -> dict[str, bool]:
    """The store answers and an encode worker is alive: 200, else 503."""
    _check_worker(services)
    return {"ready": True}


def _check_worker(services: Services) -> None:
    if not _encodes(services):
        raise NoWorker("No encode worker is alive.", retry_after_seconds=5)


def _encodes(services: Services) -> bool:
    return any("encode" in worker["queues"].split(",") for worker in workers.live(services.client))


@router.post("/repository/index", responses=errors(400))
async def repository_index(request: Request, services: Held) -> list[dict[str, str]]:
    """Every version of every model; `{"ready": true}` leaves out those that cannot be asked now."""
    body = await request.body()
    asked = parse_json(body) if body.strip() else {}
    if not isinstance(asked, dict) or not set(asked) <= {"ready"} or not isinstance(asked.get("ready", False), bool):
        raise InvalidRequest(f'The body is {repr(asked)[:80]}; it may be empty, or {{"ready": true}}.')
    told = await run_in_threadpool(_index, services)
    return [entry for entry in told if entry["state"] == "READY" or not asked.get("ready", False)]


def _index(services: Services) -> list[dict[str, str]]:
    state, reason = ("READY", "") if _encodes(services) else ("UNAVAILABLE", "no encode worker is alive")
    return [
        {"name": record["name"], "version": str(version), "state": state, "reason": reason}
        for record in _records(services)
        for version in record["versions"]
    ]


def _records(services: Services) -> list[Record]:
    """The newest version of every model."""
    found: list[Record] = []
    more = True
    while more:
        after = found[-1]["name"] if found else None
        records, more = services.models.listed(Page(after=after, limit=100, order="asc"))
        found += records
    return found


@router.get("/models/stats", responses=errors())
def all_statistics(services: Held) -> dict[str, Any]:
    """Statistics of every version of every model."""
    versions = [(record["name"], version) for record in _records(services) for version in record["versions"]]
    return {"model_stats": [services.inferences.told(name, version) for name, version in versions]}


@router.get("/models/{model}", responses=errors(404))
@router.get("/models/{model}/versions/{version}", responses=errors(404))
def model_metadata(found: Found) -> dict[str, Any]:
    """The tensors that a model takes and gives."""
    return metadata(found)


@router.get("/models/{model}/ready", responses=errors(404))
@router.get("/models/{model}/versions/{version}/ready", responses=errors(404))
def model_ready(found: Found, services: Held) -> dict[str, Any]:
    """Whether a model can be asked now: 200, else 404 or 503."""
    _check_worker(services)
    return {"name": found["name"], "ready": True}


@router.get("/models/{model}/config", responses=errors(404))
@router.get("/models/{model}/versions/{version}/config", responses=errors(404))
def model_config(found: Found, services: Held) -> dict[str, Any]:
    """The tensors as Triton's configuration writes them."""
    return config(found, services.settings)


@router.get("/models/{model}/stats", responses=errors(404))
@router.get("/models/{model}/versions/{version}/stats", responses=errors(404))
def model_statistics(found: Found, services: Held) -> dict[str, Any]:
    """Counts and times of the requests that came over this protocol."""
    return {"model_stats": [services.inferences.told(found["name"], found["version"])]}


@router.post(
    "/models/{model}/infer",
    response_class=Response,
    responses={200: content(*READ[1:]), **errors(400, 404, 413, 415, 429)},
    openapi_extra=BODY_DOC,
)
@router.post(
    "/models/{model}/versions/{version}/infer",
    response_class=Response,
    responses={200: content(*READ[1:]), **errors(400, 404, 413, 415, 429)},
    openapi_extra=BODY_DOC,
)
async def infer(request: Request, services: Held, found: Found) -> Response:
    """Images in, features out, as JSON or raw tensors, packed as gzip or deflate where that is asked for."""
    _check_type(request)
    start = time.perf_counter()
    body = await request.body()
    asked, images = await run_in_threadpool(_read, request, body, found, services)
    topk = topk_of(asked, found)
    read = time.perf_counter()
    answer = await _answer(services, found, asked, images)
    return await run_in_threadpool(_written, request, services, asked, answer, topk, found, read - start)


def _check_type(request: Request) -> None:
    """As for other JSON: a page of another site may send forms and plain text without asking."""
    declared = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if declared not in READ and not declared.endswith("+json"):
        raise UnsupportedMediaType(f"The body is {declared[:100]}; {' or '.join(READ[1:])} is expected.")


def _read(request: Request, body: bytes, record: Record, services: Services) -> tuple[Asked, Any]:
    limits = services.settings
    plain = compression.unpack(body, request.headers.get("content-encoding"), limits.max_encode_bytes)
    asked = parse(plain, request.headers.get(binary_tensors.HEADER), limits.max_body_bytes)
    return asked, images_of(asked.tensor, record, limits)


async def _answer(services: Services, record: Record, asked: Asked, images: Any) -> Answer:
    """Within the caller's own timeout, in microseconds, where there is one."""
    task = asyncio.create_task(encoded(services, record, images, passes=asked.passes, layer=asked.layer))
    try:
        # not asyncio.timeout: the store's client can swallow the one cancellation that it gives
        await asyncio.wait({task}, timeout=None if asked.timeout is None else asked.timeout / 1e6)
        if not task.done():
            raise NoWorker(f"No answer within the timeout of {asked.timeout} µs.", retry_after_seconds=1)
        return task.result()
    except PinwheelError:
        await run_in_threadpool(services.inferences.failed, record["name"], record["version"])
        raise
    finally:
        task.cancel()


def _written(
    request: Request,
    services: Services,
    asked: Asked,
    answer: Answer,
    topk: int,
    record: Record,
    decode_seconds: float,
) -> Response:
    start = time.perf_counter()
    arrays = outputs_of(answer.arrays["features"], asked, topk)
    body, json_bytes = render(asked, arrays, record["name"], record["version"])
    packed, encoding = compression.pack(body, request.headers.get("accept-encoding"))
    told = headers(record, answer, decode_seconds) | {"Vary": "Accept-Encoding"}
    if encoding is not None:
        told["Content-Encoding"] = encoding
    if json_bytes is not None:
        told[binary_tensors.HEADER] = str(json_bytes)
    seconds = {
        "queue": answer.queue_seconds,
        "compute_input": decode_seconds,
        "compute_infer": answer.compute_seconds,
        "compute_output": time.perf_counter() - start,
    }
    services.inferences.succeeded(record["name"], record["version"], len(arrays["FEATURES"]), seconds)
    return Response(packed, media_type=READ[1] if json_bytes is None else READ[2], headers=told)
