"""The server itself: is it alive, is it ready, what can it do, who works for it."""

import json
from functools import cache
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from app.capacity import OK, StoreMemory
from app.documented import content, errors
from app.filters import FORMATS as FILTER_FORMATS
from app.formats.features import FORMATS as FEATURE_FORMATS
from app.services import Held, Services
from pinwheel import __version__
from pinwheel.errors import NotFound, PinwheelError
from pinwheel.queue import QUEUES
from pinwheel.recipes import RECIPES, Recipe, find
from pinwheel.states import State
from pinwheel.store import encoding, keys, workers
from pinwheel.store.connection import UNREACHABLE

router = APIRouter(tags=["system"])


@router.get("/healthz", responses=errors())
def health() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


@router.get("/readyz", responses={**errors(), 503: {"description": "Not ready; the body says why"}})
async def ready(services: Held) -> JSONResponse:
    """Ready to do all of its work: store, artifacts, and a worker for each queue."""
    checks = await anyio.to_thread.run_sync(_checks, services)
    good = all(value == OK for value in checks.values())
    status = {"status": "ready" if good else "not_ready", "checks": checks}
    return JSONResponse(status, 200 if good else 503, None if good else {"Retry-After": "1"})


def _checks(services: Services) -> dict[str, str]:
    try:
        store, folder = services.capacity.look()
        busy = [queue for worker in workers.live(services.client) for queue in worker["queues"].split(",")]
    except UNREACHABLE:
        return {"artifacts": services.capacity.folder(), "store": "does not answer"}
    found = {f"worker:{queue}": OK if queue in busy else "none alive" for queue in QUEUES}
    return {"artifacts": folder, "store": store} | found


@router.get("/metrics", response_class=Response, responses={200: content("text/plain"), **errors()})
def metrics(services: Held) -> Response:
    """Counts of jobs and workers as Prometheus text."""
    registry = CollectorRegistry()
    jobs = Gauge("pinwheel_jobs", "Jobs by state", ["state"], registry=registry)
    for state in State:
        jobs.labels(state.value).set(services.client.zcard(keys.jobs_in(state)))
    alive = Gauge("pinwheel_workers", "Live workers by queue", ["queue"], registry=registry)
    found = [queue for worker in workers.live(services.client) for queue in worker["queues"].split(",")]
    for queue in QUEUES:
        alive.labels(queue).set(found.count(queue))
    waiting = Gauge(
        "pinwheel_encode_requests_waiting",
        "Encode requests that wait in the store; small ones that go together count once",
        registry=registry,
    )
    ready = services.client.lrange(keys.ENCODE_READY, 0, -1)
    waiting.set(sum(services.client.llen(encoding.LISTS + model.decode()) for model in ready))
    dropped = Gauge("pinwheel_encode_requests_dropped", "Encode requests dropped, their caller gone", registry=registry)
    dropped.set(int(services.client.hget(keys.ENCODE_COUNTS, "dropped") or 0))
    memory = StoreMemory.of(services.client)
    Gauge("pinwheel_store_used_bytes", "Memory that the store uses", registry=registry).set(memory.used_bytes)
    Gauge("pinwheel_store_most_bytes", "Memory that the store may use", registry=registry).set(memory.most_bytes)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/info", responses=errors())
def info(services: Held) -> dict[str, Any]:
    """Version, limits and formats."""
    config = services.settings
    return {
        "object": "info",
        "name": "pinwheel",
        "version": __version__,
        "limits": {
            name: getattr(config, name)
            for name in sorted(type(config).model_fields)
            if name.startswith("max_") or name == "encode_seconds"
        },
        "formats": {
            "datasets": ["zip", "tar", "npy", "npz", "idx", "parquet", "arrow", "png", "jpeg", "webp", "tiff", "bmp"],
            "encode_inputs": ["png", "jpeg", "webp", "tiff", "bmp", "npy", "npz", "zip", "arrow", "json", "multipart"],
            "features": sorted(FEATURE_FORMATS),
            "filters": sorted(FILTER_FORMATS),
        },
        "recipes": list(RECIPES),
    }


@router.get("/v1/workers", responses=errors())
def read_workers(services: Held) -> dict[str, Any]:
    """Live workers: device, queues and the job in hand."""
    found = [
        {
            "object": "worker",
            "name": worker["name"],
            "queues": worker["queues"].split(","),
            "device": worker["device"],
            "host": worker["host"],
            "pid": int(worker["pid"]),
            "threads": int(worker["threads"]),
            "memory_bytes": int(worker["memory_bytes"]),
            "job": worker["job"] or None,
            "started_at": worker["started_at"],
        }
        for worker in workers.live(services.client)
    ]
    return {"object": "list", "data": found, "first_id": None, "last_id": None, "has_more": False}


def _recipe_view(recipe: Recipe) -> dict[str, Any]:
    return {
        "object": "recipe",
        **recipe.model_dump(mode="json"),
        "schema": type(recipe.spec).model_json_schema(),
        "links": {"self": f"/v1/recipes/{recipe.name}"},
    }


@router.get("/v1/recipes", responses=errors())
async def list_recipes() -> Response:
    """The systems that can be trained."""
    return Response(_all_recipes(), media_type="application/json")


@cache
def _all_recipes() -> bytes:
    """Written once: nothing in it changes while the server runs."""
    shown = [_recipe_view(recipe) for recipe in RECIPES.values()]
    return json.dumps({"object": "list", "data": shown, "first_id": None, "last_id": None, "has_more": False}).encode()


@router.get("/v1/recipes/{name}", responses=errors(404))
async def read_recipe(name: str) -> Response:
    """One system: its paper, its full default spec, the schema of that spec, and what it costs."""
    try:
        return Response(_one_recipe(find(name).name), media_type="application/json")
    except PinwheelError as error:
        raise NotFound(error.detail) from None


@cache
def _one_recipe(name: str) -> bytes:
    return json.dumps(_recipe_view(find(name))).encode()
