"""Images in, features out; and back: reconstructions, and classes where the model has learned some."""

import asyncio
import math
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

from app.documented import content, errors, one_of
from app.encode_jobs import ended, submit
from app.encode_requests import QUICK_BYTES, Asked, read, received
from app.fitting import check_layer_of, check_passes, check_topk, check_topk_of_code
from app.formats import features, named_arrays
from app.formats.negotiate import choose
from app.pooling import Pooling
from app.prefer import Preference, Preferred
from app.read_before import Readings
from app.results import Form, Result
from app.routes.results import answer as result_answer
from app.services import Held, Services, services_of
from app.views import job_view
from pinwheel.errors import InvalidConfig, InvalidDataset, NoWorker, PayloadTooLarge
from pinwheel.pictures.images import comparison
from pinwheel.pictures.mosaic import encode_png
from pinwheel.specs.jobs import POOL_TEXT, STRIDE_TEXT, Pool
from pinwheel.states import State

router = APIRouter(prefix="/v1/models", tags=["encoding"])

CLASS_FORMATS = {"json": "application/json", "npy": "application/x-npy", **named_arrays.FORMATS}
RECONSTRUCTION_FORMATS = {**CLASS_FORMATS, "png": "image/png"}
MOST_PICTURED = 64

BODIES = (
    *("image/png", "image/jpeg", "image/webp", "image/tiff", "image/bmp"),
    *("application/x-npy", "application/x-npz", "application/zip", "application/vnd.apache.arrow.stream"),
)
BODY_DOC = {
    "requestBody": {
        "required": True,
        "content": {
            **{media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in BODIES},
            "multipart/form-data": {"schema": {"type": "object"}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {"inputs": {"type": "array", "items": {}, "minItems": 1}},
                }
            },
        },
    }
}
REFUSALS = errors(400, 404, 406, 413, 415, 429)

Passes = Annotated[
    int | None, Query(ge=1, le=200, description="Passes of a recurrent encoder; the model's own without.")
]
Layer = Annotated[int | None, Query(ge=0, description="Layer of a stack, from 0; the top one without.")]


async def _asked(model: str, request: Request, services: Held) -> Asked:
    record = await services.lookup.find(model)
    async with received(request, services) as body:
        return await read(body, record, services)


AskedOnce = Annotated[Asked, Depends(_asked)]


@router.post(
    "/{model}/encode",
    response_class=Response,
    responses={
        200: content(*features.FORMATS.values()),
        202: {"description": "The job that encodes them: it was asked for, or they are more than one answer holds"},
        **REFUSALS,
    },
    openapi_extra=BODY_DOC,
)
async def encode_images(
    model: str,
    request: Request,
    preferred: Preferred,
    format: Annotated[str | None, one_of(features.FORMATS)] = None,
    sparse: Annotated[str, Query(pattern="^(true|false|auto)$", description="Sparse matrix, or dense array.")] = "auto",
    topk: Annotated[int | None, Query(ge=1, description="Keep only the k largest features of each image.")] = None,
    threshold: Annotated[
        float | None, Query(ge=0, allow_inf_nan=False, description="Drop features up to this.")
    ] = None,
    dtype: Annotated[
        str, Query(pattern="^(float32|float16)$", description="Number format of the features.")
    ] = "float32",
    passes: Passes = None,
    layer: Layer = None,
    pool: Annotated[Pool | None, Query(description=POOL_TEXT)] = None,
    stride: Annotated[int | None, Query(ge=1, description=STRIDE_TEXT)] = None,
) -> Response:
    """Encode images: a row of features for each. `sparse=auto` is sparse for npz and dense for the rest.

    `X-Feature-Shape` says what a row is, where that is more than one number for each unit.
    `Prefer: respond-async` makes it a job, `Prefer: wait=N` waits so many seconds for its result.
    """
    chosen = choose(request.headers.get("accept"), format, features.FORMATS)
    form = Form.of(chosen, sparse, dtype, auto=chosen == "npz")
    wanted = _Wanted(form, _Kept(topk, threshold), layer, passes, Pooling(pool, stride), preferred)
    _readings.keep(request.scope, wanted)
    return await _answered(model, request, wanted)


class _Kept(NamedTuple):
    """Which features of a row are kept."""

    topk: int | None
    threshold: float | None


class _Wanted(NamedTuple):
    """What the query and the headers of a request to encode say."""

    form: Form
    kept: _Kept
    layer: int | None
    passes: int | None
    pooling: Pooling
    preferred: Preference

    @property
    def of_model(self) -> dict[str, Any]:
        """The parameters that a worker's engine takes."""
        pooling = self.pooling
        return {"layer": self.layer, "passes": self.passes, "pool": pooling.pool, "stride": pooling.stride}


_readings: Readings[_Wanted] = Readings(b"accept", b"prefer")


async def _answered(model: str, request: Request, wanted: _Wanted) -> Response:
    services = await services_of(request)
    layer, topk, pooling = wanted.layer, wanted.kept.topk, wanted.pooling
    record = await services.lookup.find(model)
    check_layer_of(record, layer, "#/query/layer")
    check_passes(record, layer, wanted.passes, "#/query/passes")
    pooling.check(record)
    if pooling.pool != "none":  # else the number of features depends on the images
        check_topk(math.prod(pooling.feature_shape(record, layer, record["input_shape"])), topk, "#/query/topk")
    async with received(request, services) as body:
        if not (wanted.preferred.respond_async or body.too_large):
            with suppress(PayloadTooLarge):  # then it is a job, whose larger limits decide
                asked = await read(body, record, services, pooling)
                shape = pooling.feature_shape(record, layer, asked.images.shape[1:3])
                check_topk(math.prod(shape), topk, "#/query/topk")
                answer = await _encoded(asked, services, wanted)
                answer.headers["X-Feature-Shape"] = ",".join(map(str, shape))
                return answer
        output = {**asdict(wanted.form), **wanted.kept._asdict()}
        job = await submit(body, record, {**wanted.of_model, "output": output}, services)
    return await _accepted(request, services, job, wanted.preferred)


# Arguments of `ReadBefore`.
SHORT_WAY: dict[str, Any] = {"path": r"/v1/models/([^/]+)/encode", "readings": _readings, "answer": _answered}


async def _encoded(asked: Asked, services: Services, wanted: _Wanted) -> Response:
    form, seconds = wanted.form, wanted.preferred.wait_seconds
    try:
        async with asyncio.timeout(seconds):
            answer = await asked.ask(services, "encode", **wanted.of_model)
    except TimeoutError:
        detail = f"There was no answer within the {seconds:g} s of Prefer: wait."
        raise NoWorker(detail, retry_after_seconds=2) from None
    found, name, version = answer.arrays["features"], asked.record["name"], asked.record["version"]

    def written() -> tuple[bytes, str]:
        selected = features.select(found, *wanted.kept)
        return features.encode(selected, form.format, form.sparse, np.dtype(form.dtype), name, version)

    quick = found.nbytes <= QUICK_BYTES and form.format in ("json", "npy")
    body, media_type = written() if quick else await run_in_threadpool(written)
    return Response(body, media_type=media_type, headers=asked.headers(answer))


async def _accepted(request: Request, services: Services, job: dict[str, Any], preferred: Preference) -> Response:
    """The result where the client waits long enough for it, else 202 and the job."""
    if preferred.wait_seconds:
        job = await ended(services, job["id"], preferred.wait_seconds)
    applied = {"Preference-Applied": "respond-async"} if preferred.respond_async else {}
    if job["state"] == State.SUCCEEDED:
        result = Result(job, services.artifacts.job(job["id"]))
        answer = await run_in_threadpool(result_answer, request, result, job["output"]["format"])
        answer.headers.update({"Location": f"/v1/jobs/{job['id']}", **applied})
        return answer
    if job["state"] == State.FAILED and job["error"]["code"] == InvalidDataset.code:
        raise InvalidDataset(job["error"]["detail"], job=job["id"])
    headers = {"Location": f"/v1/jobs/{job['id']}", "X-Model": job["model"], "Vary": "Accept, Prefer", **applied}
    return JSONResponse(job_view(job), 202, headers)


@router.post(
    "/{model}/reconstruct",
    response_class=Response,
    responses={200: content(*RECONSTRUCTION_FORMATS.values()), **REFUSALS},
    openapi_extra=BODY_DOC,
)
async def reconstruct_images(
    request: Request,
    services: Held,
    asked: AskedOnce,
    format: Annotated[str | None, one_of(RECONSTRUCTION_FORMATS)] = None,
    passes: Passes = None,
    layer: Layer = None,
    topk: Annotated[
        int | None, Query(ge=1, description="Use only the k largest numbers of the code of each image, or each patch.")
    ] = None,
) -> Response:
    """What the model's code keeps of each image, and the share of each image's variance that it does not explain."""
    chosen = choose(request.headers.get("accept"), format, RECONSTRUCTION_FORMATS)
    if chosen == "png" and len(asked.images) > MOST_PICTURED:
        raise PayloadTooLarge(f"A picture shows at most {MOST_PICTURED} images, not {len(asked.images)}; ask for npy.")
    check_layer_of(asked.record, layer, "#/query/layer")
    check_passes(asked.record, layer, passes, "#/query/passes")
    check_topk_of_code(asked.record, layer, topk, "#/query/topk")
    name, version = asked.record["name"], asked.record["version"]
    answer = await asked.ask(services, "reconstruct", passes=passes, layer=layer, topk=topk)
    found = answer.arrays["reconstructions"]
    headers = asked.headers(answer)
    if chosen == "png":
        picture = await run_in_threadpool(lambda: encode_png(comparison(asked.images, _like(found, asked.images))))
        return Response(picture, media_type="image/png", headers=headers)
    if chosen == "npy":
        return Response(features.npy_bytes(found), media_type=RECONSTRUCTION_FORMATS["npy"], headers=headers)
    if chosen in named_arrays.FORMATS:
        both = {name: answer.arrays[name] for name in ("reconstructions", "unexplained_variance")}
        packed = await run_in_threadpool(named_arrays.encode, both, chosen, name, version)
        return Response(packed, media_type=RECONSTRUCTION_FORMATS[chosen], headers=headers)
    if found.size > features.MOST_JSON_VALUES:
        raise PayloadTooLarge(
            f"{found.size} numbers as JSON; at most {features.MOST_JSON_VALUES} are written. Ask for format=npy."
        )
    body = {
        "object": "reconstructions",
        "model": name,
        "version": version,
        "shape": list(found.shape),
        "data": found.tolist(),
        "unexplained_variance": answer.arrays["unexplained_variance"].tolist(),
    }
    return JSONResponse(body, headers=headers)


def _like(found: NDArray[Any], images: NDArray[Any]) -> NDArray[Any]:
    """Reconstructions in the number format of the images, so that both are drawn alike."""
    if images.dtype == np.uint8:
        return np.asarray(np.rint(np.clip(found, 0, 1) * 255), dtype=np.uint8)
    return found


@router.post(
    "/{model}/classify",
    response_class=Response,
    responses={200: content(*CLASS_FORMATS.values()), **REFUSALS},
    openapi_extra=BODY_DOC,
)
async def classify_images(
    request: Request,
    services: Held,
    asked: AskedOnce,
    format: Annotated[str | None, one_of(CLASS_FORMATS)] = None,
    passes: Passes = None,
) -> Response:
    """Class probabilities of each image, from models that were trained with labels."""
    chosen = choose(request.headers.get("accept"), format, CLASS_FORMATS)
    record = asked.record
    if record["classes"] is None:
        raise InvalidConfig(f"The model {asked.model} has no classifier; train one with labels to classify.")
    check_passes(record, None, passes, "#/query/passes")
    answer = await asked.ask(services, "classify", passes=passes)
    found = answer.arrays["probabilities"]
    headers = asked.headers(answer)
    if chosen == "npy":
        return Response(features.npy_bytes(found), media_type=CLASS_FORMATS["npy"], headers=headers)
    if chosen in named_arrays.FORMATS:
        about = record["name"], record["version"]
        packed = await run_in_threadpool(named_arrays.encode, {"probabilities": found}, chosen, *about)
        return Response(packed, media_type=CLASS_FORMATS[chosen], headers=headers)
    classes = record.get("class_names") or list(range(record["classes"]))
    body = {
        "object": "classification",
        "model": record["name"],
        "version": record["version"],
        "classes": classes,
        "probabilities": found.tolist(),
        "predictions": [classes[index] for index in found.argmax(axis=1)],
    }
    return JSONResponse(body, headers=headers)
