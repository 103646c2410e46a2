"""Jobs: submit, read, steer and forget them."""

from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from redis.exceptions import ResponseError
from starlette.concurrency import run_in_threadpool

from app import submission
from app.bodies import json_body
from app.documented import errors
from app.paging import Paged
from app.services import Held, Services
from app.views import job_view, list_view
from pinwheel.errors import PinwheelError
from pinwheel.ids import new_id
from pinwheel.specs import EncodeJob, TrainJob
from pinwheel.states import State

log = structlog.get_logger()
router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

SUBMIT_DOC = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [{"$ref": "#/components/schemas/TrainJob"}, {"$ref": "#/components/schemas/EncodeJob"}],
                    "discriminator": {"propertyName": "type"},
                }
            }
        },
    }
}


@router.post("", status_code=202, responses=errors(400, 404, 409, 413, 415, 429), openapi_extra=SUBMIT_DOC)
async def create_job(
    request: Request,
    services: Held,
    dry_run: Annotated[bool, Query(description="Only check, resolve and estimate.")] = False,
) -> JSONResponse:
    """Submit a training or the encoding of a data set. With `dry_run` nothing is kept and the answer is 200."""
    asked = submission.parse(await json_body(request))
    if dry_run:
        return JSONResponse(await run_in_threadpool(_rehearse, asked, services))
    job = await run_in_threadpool(_submit, asked, services, request.scope["request_id"])
    return JSONResponse(job, 202, {"Location": f"/v1/jobs/{job['id']}"})


def _submit(asked: TrainJob | EncodeJob, services: Services, request_id: str) -> dict[str, Any]:
    fields, uses, resumed = submission.resolve(asked, services)
    job_id = new_id("job")
    try:
        if resumed is not None:
            resumed.put(services.artifacts.job(job_id))
        services.jobs.create(job_id, fields | {"request_id": request_id}, uses)
    except (PinwheelError, ResponseError, OSError):  # refused for sure; where no answer came it may have been written
        services.artifacts.remove(services.artifacts.job(job_id))
        raise
    log.info("job created", job=job_id)
    services.queue.send(fields["type"], job_id)
    return job_view(services.jobs.get(job_id))


def _rehearse(asked: TrainJob | EncodeJob, services: Services) -> dict[str, Any]:
    fields, _, _ = submission.resolve(asked, services)
    shown: dict[str, Any] = {"object": "job_dry_run", "type": fields["type"], "dataset": fields["dataset"]}
    if fields["type"] == "train":
        shown |= {name: fields[name] for name in ("recipe", "spec", "publish_as")}
        shown["estimate"] = submission.estimate(fields, services)
    return shown


@router.get("", responses=errors())
def list_jobs(
    services: Held,
    page: Paged,
    status: Annotated[State | None, Query(description="Only jobs in this state.")] = None,
    type: Annotated[Literal["train", "encode"] | None, Query(description="Only jobs of this type.")] = None,
) -> dict[str, Any]:
    """Jobs, newest first."""
    jobs, more = services.jobs.listed(page, status.value if status else None, type)
    return list_view([job_view(job) for job in jobs], more)


@router.get("/{job_id}", responses=errors(404))
def read_job(job_id: str, services: Held) -> dict[str, Any]:
    """One job as it stands now."""
    return job_view(services.jobs.get(job_id))


@router.post("/{job_id}/cancel", status_code=202, responses=errors(404, 409))
def cancel_job(job_id: str, services: Held) -> dict[str, Any]:
    """Stop the job; a running training writes a last checkpoint first. Repeating it changes nothing."""
    return job_view(services.jobs.command(job_id, "cancel"))


@router.post("/{job_id}/pause", status_code=202, responses=errors(404, 409))
def pause_job(job_id: str, services: Held) -> dict[str, Any]:
    """Stop the job with a checkpoint, to go on later."""
    return job_view(services.jobs.command(job_id, "pause"))


@router.post("/{job_id}/resume", status_code=202, responses=errors(404, 409))
def resume_job(job_id: str, services: Held) -> dict[str, Any]:
    """Queue a paused job again."""
    job = services.jobs.command(job_id, "resume")
    if job["state"] == State.QUEUED:
        services.queue.send(job["type"], job_id)
    return job_view(job)


@router.delete("/{job_id}", status_code=204, responses=errors(404, 409))
def delete_job(job_id: str, services: Held) -> Response:
    """Forget a finished job and its files. Models that it published stay."""
    services.jobs.forget(job_id)
    services.artifacts.remove(services.artifacts.job(job_id))
    services.artifacts.remove(services.artifacts.input(job_id))
    return Response(status_code=204)
