"""Embeddings as the clients of OpenAI ask for them: images in, features out."""

import math
import time
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from app.bodies import json_body
from app.documented import content, errors
from app.encoding import encoded, headers, takes_larger
from app.fitting import check_layer_of
from app.formats.embeddings import EmbeddingRequest, check_dimensions, files_of, render
from app.formats.image_files import decode_files
from app.formats.inputs import fit
from app.geometry import feature_shape
from app.services import Held
from app.stacking import invalid

router = APIRouter(prefix="/v1", tags=["encoding"])

BODY_DOC: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/EmbeddingRequest"}}},
    }
}


@router.post(
    "/embeddings",
    response_class=Response,
    responses={
        200: content("application/json", description="The embeddings"),
        **errors(400, 404, 413, 415, 429),
    },
    openapi_extra=BODY_DOC,
)
async def create_embeddings(request: Request, services: Held) -> Response:
    """Features of images in the form of OpenAI's embeddings; errors also carry the `error` that its clients read."""
    asked = _asked(await json_body(request))
    record = await services.lookup.find(asked.model)
    check_layer_of(record, asked.layer, "#/layer")
    check_dimensions(asked, math.prod(feature_shape(record, asked.layer)))
    start = time.perf_counter()
    shape, larger, config = tuple(record["input_shape"]), takes_larger(record), services.settings
    images = await run_in_threadpool(
        lambda: fit(decode_files(files_of(asked.input, config.max_encode_images), config), shape, larger)
    )
    decode_seconds = time.perf_counter() - start
    answer = await encoded(services, record, images, passes=asked.passes, layer=asked.layer)
    model, features = f"{record['name']}@{record['version']}", answer.arrays["features"]
    body = await run_in_threadpool(render, features, model, asked.encoding_format)
    return Response(body, media_type="application/json", headers=headers(record, answer, decode_seconds))


def _asked(data: Any) -> EmbeddingRequest:
    try:
        return EmbeddingRequest.model_validate(data)
    except ValidationError as error:
        raise invalid(error, data, EmbeddingRequest) from None
