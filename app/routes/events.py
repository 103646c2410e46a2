"""The log of a job: as pages, and as a stream that follows it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, format_sse_event

from app.documented import content, errors, one_of
from app.formats.negotiate import choose
from app.services import Held, Services
from pinwheel.errors import InvalidRequest
from pinwheel.store import keys
from pinwheel.store.events import read_async
from pinwheel.store.jobs import check_id, no_such_job, text

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

KEEP_ALIVE_SECONDS = 15.0
FORMATS = {"json": "application/json", "sse": "text/event-stream"}


@router.get(
    "/{job_id}/events",
    response_class=Response,
    responses={
        200: content(*FORMATS.values()),
        204: {"description": "Nothing is left to say"},
        **errors(400, 404, 406),
    },
)
async def read_events(
    job_id: str,
    request: Request,
    services: Held,
    after: Annotated[int | None, Query(ge=0, le=10**15, description="Number of the last event known.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most events on a JSON page.")] = 100,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds a JSON page waits for a first event.")] = 0,
    format: Annotated[str | None, one_of(FORMATS)] = None,
    last_event_id: Annotated[str | None, Header(description="Number of the last event received.")] = None,
) -> Response:
    """Events in order, from the beginning or behind `after` or `Last-Event-ID`. The stream ends after `done`."""
    chosen = choose(request.headers.get("accept"), format, FORMATS)
    check_id(job_id)
    if not await services.commands.exists(keys.job(job_id)):
        raise no_such_job(job_id)
    start = _start(after, last_event_id)
    if chosen == "json":
        return await _page(services, job_id, start, limit, wait)
    if await _said_all(services, job_id, start):
        return Response(status_code=204)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Vary": "Accept"}
    return EventSourceResponse(_stream(services, job_id, start), headers=headers)


def _start(after: int | None, last_event_id: str | None) -> int:
    """`Last-Event-ID` wins: a browser that reconnects repeats its first address."""
    if last_event_id is None:
        return after or 0
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 16):
        raise InvalidRequest(f"Last-Event-ID is the number of an event, not {last_event_id[:80]!r}.")
    return int(last_event_id)


async def _said_all(services: Services, job_id: str, start: int) -> bool:
    last = await services.commands.xrevrange(keys.events(job_id), count=1)
    return bool(last) and last[0][1][b"type"] == b"done" and int(last[0][0].split(b"-")[0]) <= start


async def _page(services: Services, job_id: str, start: int, limit: int, wait: float) -> Response:
    follower = services.watch.follow(job_id)
    try:
        found = await read_async(services.commands, job_id, start, limit + 1)
        if not found and wait > 0 and not await _said_all(services, job_id, start):
            try:
                async with asyncio.timeout(wait):
                    await follower.wait()
            except TimeoutError:
                pass
            found = await read_async(services.commands, job_id, start, limit + 1)
    finally:
        services.watch.leave(job_id, follower)
    events = found[:limit]
    body = {
        "object": "list",
        "data": events,
        "first_id": events[0]["seq"] if events else None,
        "last_id": events[-1]["seq"] if events else None,
        "has_more": len(found) > limit,
    }
    return JSONResponse(body, headers={"Cache-Control": "no-cache", "Vary": "Accept"})


async def _stream(services: Services, job_id: str, last: int) -> AsyncIterator[bytes]:
    follower = services.watch.follow(job_id)
    try:
        while True:
            follower.clear()
            events = await read_async(services.commands, job_id, last, 500)
            for event in events:
                last = event["seq"]
                yield _as_sse(event)
                if event["type"] == "done":
                    return
            if events:
                continue
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await follower.wait()
            except TimeoutError:
                if not await services.commands.exists(keys.job(job_id)):
                    return
                yield format_sse_event(comment="alive")
    finally:
        services.watch.leave(job_id, follower)


def _as_sse(event: dict[str, Any]) -> bytes:
    return format_sse_event(data_str=text(event), event=event["type"], id=str(event["seq"]))
