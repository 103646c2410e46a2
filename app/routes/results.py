"""What an encoding job leaves: features, whole or by shards, in every format and in ranges."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.documented import content, errors, one_of
from app.downloads import send_file
from app.formats.features import FORMATS
from app.formats.negotiate import choose
from app.results import Form, Result, etag, listing
from app.services import Held

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Format = Annotated[str | None, one_of(FORMATS)]
Sparse = Annotated[
    str, Query(pattern="^(true|false|auto)$", description="Sparse or dense; `auto` is what the job asked for.")
]
Dtype = Annotated[
    str | None, Query(pattern="^(float32|float16)$", description="Number format; what the job asked for without.")
]
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: content(*FORMATS.values()),
    206: content(*FORMATS.values(), description="The bytes of the asked range"),
    416: {"description": "The range lies behind the end of the file"},
    **errors(400, 404, 406, 409, 410, 413),
}


def answer(
    request: Request,
    result: Result,
    format: str | None,
    sparse: str = "auto",
    dtype: str | None = None,
    number: int | None = None,
) -> Response:
    """All rows, or those of one shard."""
    output = result.job["output"]
    default = output["format"]
    chosen = choose(request.headers.get("accept"), format, {default: FORMATS[default], **FORMATS})
    form = Form.of(chosen, sparse, dtype or output.get("dtype", "float32"), auto=output["sparse"])
    path = result.file(form, number)
    job_id, part = result.job["id"], "" if number is None else f"-{number:05d}"
    headers = {"Vary": "Accept", "X-Model": result.job["model"], "Cache-Control": "private, no-cache"}
    filename = f"{job_id}{part}.{chosen}"
    return send_file(request, path, FORMATS[chosen], filename, etag(job_id, path), headers)


@router.head("/{job_id}/result", include_in_schema=False)
@router.get("/{job_id}/result", response_class=Response, responses=ANSWERS)
def read_result(
    job_id: str,
    request: Request,
    services: Held,
    format: Format = None,
    sparse: Sparse = "auto",
    dtype: Dtype = None,
) -> Response:
    """The features of an encoding job that succeeded, as one file. `Range` and `If-Range` resume a download."""
    return answer(request, Result.find(services, job_id), format, sparse, dtype)


@router.get("/{job_id}/result/shards", responses=errors(400, 404, 409, 410))
def list_shards(job_id: str, services: Held) -> dict[str, Any]:
    """The shards of a result, with the rows that each of them holds. A small result is one shard."""
    return listing(Result.find(services, job_id))


@router.head("/{job_id}/result/shards/{number}", include_in_schema=False)
@router.get("/{job_id}/result/shards/{number}", response_class=Response, responses=ANSWERS)
def read_shard(
    job_id: str,
    number: int,
    request: Request,
    services: Held,
    format: Format = None,
    sparse: Sparse = "auto",
    dtype: Dtype = None,
) -> Response:
    """The rows of one shard, from 0, in the formats of the whole result."""
    return answer(request, Result.find(services, job_id), format, sparse, dtype, number)
