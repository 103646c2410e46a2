"""Images in, features out; and back: reconstructions, and classes where the model has learned some."""

import math
import time
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from app.documented import content, errors
from app.encoder import Answer
from app.fitting import check_layer_of
from app.formats import features
from app.formats.inputs import decode_inputs, decode_parts, fit
from app.formats.negotiate import choose
from app.forms import read_form
from app.geometry import feature_shape
from app.services import Held, Services
from pinwheel.errors import InvalidConfig, InvalidRequest, PayloadTooLarge
from pinwheel.files import layers_of
from pinwheel.pictures.images import comparison
from pinwheel.pictures.mosaic import encode_png

router = APIRouter(prefix="/v1/models", tags=["encoding"])

RECONSTRUCTION_FORMATS = {"json": "application/json", "npy": "application/x-npy", "png": "image/png"}
CLASS_FORMATS = {"json": "application/json", "npy": "application/x-npy"}
MOST_PICTURED = 64
MOST_ANSWER_BYTES = 256 * 1024 * 1024  # half of what one value of the store may hold

BODY_DOC = {
    "requestBody": {
        "required": True,
        "content": {
            **{
                media_type: {"schema": {"type": "string", "format": "binary"}}
                for media_type in ("image/png", "image/jpeg", "image/webp", "application/x-npy", "application/x-npz")
            },
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
REFUSALS = errors(400, 404, 406, 413, 415, 422, 429)

Passes = Annotated[
    int | None, Query(ge=1, le=200, description="Passes of a recurrent encoder; the model's own without.")
]
Layer = Annotated[int | None, Query(ge=0, description="Layer of a stack, from 0; the top one without.")]
Format = Annotated[str | None, Query(description="Format of the answer, instead of Accept.")]


class _Asked:
    """One request: the model, the images in its shape, and how long it took to read them."""

    def __init__(self, record: dict[str, Any], images: NDArray[Any], decode_seconds: float) -> None:
        self.record = record
        self.images = images
        self.decode_seconds = decode_seconds

    @property
    def model(self) -> str:
        return f"{self.record['name']}@{self.record['version']}"

    async def ask(self, services: Services, operation: str, passes: int | None, layer: int | None = None) -> Answer:
        """What an encode worker makes of the images."""
        name, version = self.record["name"], self.record["version"]
        return await services.encoder.ask(name, version, operation, self.images, passes=passes, layer=layer)

    def headers(self, answer: Answer) -> dict[str, str]:
        timing = {"decode": self.decode_seconds, "queue": answer.queue_seconds, "compute": answer.compute_seconds}
        return {
            "X-Model": self.model,
            "Server-Timing": ", ".join(
                [
                    *(f"{name};dur={1000 * seconds:.2f}" for name, seconds in timing.items()),
                    f'batch;desc="{answer.batch}"',
                ]
            ),
            "Vary": "Accept",
        }


async def _asked(model: str, request: Request, services: Held) -> _Asked:
    record = await run_in_threadpool(services.models.find, model)
    start = time.perf_counter()
    images = await _images(request, record, services)
    limit = services.settings.max_encode_images
    if len(images) > limit:
        raise PayloadTooLarge(f"{len(images)} images in one request; {limit} are allowed. More are an encode job.")
    longest = max(math.prod(feature_shape(record, layer)) for layer in range(len(layers_of(record))))
    size = 4 * len(images) * max(longest, math.prod(images.shape[1:]))
    if size > MOST_ANSWER_BYTES:
        detail = f"{len(images)} images give {size} bytes; {MOST_ANSWER_BYTES} fit into one answer."
        raise PayloadTooLarge(f"{detail} Send fewer, or encode them as a job.")
    return _Asked(record, images, time.perf_counter() - start)


Asked = Annotated[_Asked, Depends(_asked)]


async def _images(request: Request, record: dict[str, Any], services: Services) -> NDArray[Any]:
    content_type = request.headers.get("content-type", "")
    shape = tuple(record["input_shape"])
    larger = record["spec"]["preprocessing"]["patch_size"] is not None  # such images are cut into patches
    if content_type.split(";")[0].strip().lower() == "multipart/form-data":
        parts = await _parts(request)
        return await run_in_threadpool(lambda: fit(decode_parts(parts, services.settings), shape, larger))
    body = await request.body()
    return await run_in_threadpool(lambda: fit(decode_inputs(body, content_type, services.settings), shape, larger))


async def _parts(request: Request) -> list[bytes]:
    async with read_form(request) as form:
        unknown = [name for name in form if name not in ("image", "file")]
        if unknown:
            raise InvalidRequest(f"There is no field {unknown[0]!r}; images come as `image`.")
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        return [await file.read() for file in files]


@router.post(
    "/{model}/encode",
    response_class=Response,
    responses={200: content(*features.FORMATS.values()), **REFUSALS},
    openapi_extra=BODY_DOC,
)
async def encode_images(
    request: Request,
    services: Held,
    asked: Asked,
    format: Format = None,
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
) -> Response:
    """Encode images: a row of features for each. `sparse=auto` is sparse for npz and dense for the rest."""
    chosen = choose(request.headers.get("accept"), format, features.FORMATS)
    wants_sparse = chosen == "npz" if sparse == "auto" else sparse == "true"
    if wants_sparse and chosen == "npy":
        raise InvalidConfig("format npy has no sparse form; take npz or json, or sparse=false.")
    check_layer_of(asked.record, layer, "#/query/layer")
    _check_topk(topk, asked.record, layer)
    answer = await asked.ask(services, "encode", passes, layer)
    found, name, version = answer.arrays["features"], asked.record["name"], asked.record["version"]
    body, media_type = await run_in_threadpool(
        lambda: features.encode(
            features.select(found, topk, threshold), chosen, wants_sparse, np.dtype(dtype), name, version
        )
    )
    return Response(body, media_type=media_type, headers=asked.headers(answer))


def _check_topk(topk: int | None, record: dict[str, Any], layer: int | None) -> None:
    features = math.prod(feature_shape(record, layer))
    if topk is not None and topk > features:
        raise InvalidConfig(f"topk is {topk}; the model gives {features} features.")


@router.post(
    "/{model}/reconstruct",
    response_class=Response,
    responses={200: content(*RECONSTRUCTION_FORMATS.values()), **REFUSALS},
    openapi_extra=BODY_DOC,
)
async def reconstruct_images(
    request: Request,
    services: Held,
    asked: Asked,
    format: Format = None,
    passes: Passes = None,
    layer: Layer = None,
) -> Response:
    """What the model's code keeps of each image, and the share of each image's variance that it does not explain."""
    chosen = choose(request.headers.get("accept"), format, RECONSTRUCTION_FORMATS)
    if chosen == "png" and len(asked.images) > MOST_PICTURED:
        raise PayloadTooLarge(f"A picture shows at most {MOST_PICTURED} images, not {len(asked.images)}; ask for npy.")
    check_layer_of(asked.record, layer, "#/query/layer")
    name, version = asked.record["name"], asked.record["version"]
    answer = await asked.ask(services, "reconstruct", passes, layer)
    found = answer.arrays["reconstructions"]
    headers = asked.headers(answer)
    if chosen == "png":
        picture = await run_in_threadpool(lambda: encode_png(comparison(asked.images, _like(found, asked.images))))
        return Response(picture, media_type="image/png", headers=headers)
    if chosen == "npy":
        return Response(features.npy_bytes(found), media_type=RECONSTRUCTION_FORMATS["npy"], headers=headers)
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
    asked: Asked,
    format: Format = None,
    passes: Passes = None,
) -> Response:
    """Class probabilities of each image, from models that were trained with labels."""
    chosen = choose(request.headers.get("accept"), format, CLASS_FORMATS)
    record = asked.record
    if record["classes"] is None:
        raise InvalidConfig(f"The model {asked.model} has no classifier; train one with labels to classify.")
    answer = await asked.ask(services, "classify", passes)
    found = answer.arrays["probabilities"]
    headers = asked.headers(answer)
    if chosen == "npy":
        return Response(features.npy_bytes(found), media_type=CLASS_FORMATS["npy"], headers=headers)
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
