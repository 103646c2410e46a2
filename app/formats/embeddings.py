"""The JSON form of OpenAI's embeddings, with images in the place of texts.

{"model": "digits", "input": ["data:image/png;base64,…", {"image": "…base64…"}], "encoding_format": "base64"}
"""

import base64
import json
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, WithJsonSchema

from app.formats.image_files import from_text
from pinwheel.errors import InvalidConfig, InvalidRequest, PayloadTooLarge
from pinwheel.specs.base import Spec

MOST_JSON_VALUES = 10_000_000
IMAGE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "description": "A data URL"},
        {"type": "object", "required": ["image"], "properties": {"image": {"type": "string"}}},
    ]
}
INPUT_SCHEMA = {"anyOf": [*IMAGE_SCHEMA["anyOf"], {"type": "array", "minItems": 1, "items": IMAGE_SCHEMA}]}


class EmbeddingRequest(Spec):
    """What `openai` sends; `layer` and `passes` are ours (its `extra_body`)."""

    model: str = Field(description="Model: `name`, or `name@version`.")
    input: Annotated[Any, WithJsonSchema(INPUT_SCHEMA)] = Field(description="One image or a list of them.")
    encoding_format: Literal["float", "base64"] = Field("float", description="Lists, or little-endian float32.")
    dimensions: int | None = Field(None, ge=1, description="Refused unless it is what the model gives.")
    user: str | None = Field(None, description="Accepted, and neither used nor kept.")
    layer: int | None = Field(None, ge=0, description="Layer of a stack, from 0; the top one without.")
    passes: int | None = Field(None, ge=1, le=200, description="Passes of a recurrent encoder.")


def files_of(given: Any, most_images: int) -> list[tuple[str, bytes]]:
    """The image files of `input`, with their names for messages."""
    items = given if isinstance(given, list) else [given]
    if not items:
        raise InvalidRequest("input is an empty list; it must hold at least 1 image.")
    if len(items) > most_images:
        raise PayloadTooLarge(f"{len(items)} images in one request; {most_images} are allowed.")
    return [(f"input[{number}]", _file(item, f"input[{number}]")) for number, item in enumerate(items)]


def _file(item: Any, name: str) -> bytes:
    if isinstance(item, str) and item.startswith("data:"):
        return from_text(item, name)
    if isinstance(item, dict) and list(item) == ["image"] and isinstance(item["image"], str):
        return from_text(item["image"], name)
    shown = json.dumps(item)[:80]
    raise InvalidRequest(
        f'{name} is {shown}; models here see images, not texts or tokens: send "data:image/png;base64,…" or '
        '{"image": "…"} with such a URL or plain base64.'
    )


def check_dimensions(asked: EmbeddingRequest, features: int) -> None:
    if asked.dimensions not in (None, features):
        detail = (
            f"dimensions is {asked.dimensions}, and {asked.model} gives {features} features; sparse features cannot be "
            "cut short. Leave it out"
        )
        entry = {"pointer": "#/dimensions", "code": "not_allowed", "detail": detail}
        raise InvalidConfig(f"{detail}.", errors=[entry])


def render(features: NDArray[Any], model: str, encoding_format: str) -> bytes:
    """(N, features) as the list that `openai` reads. `usage` counts images: they have no tokens."""
    if encoding_format == "base64":
        rows = [json.dumps(base64.b64encode(row.astype("<f4").tobytes()).decode()) for row in features]
    elif features.size > MOST_JSON_VALUES:
        raise PayloadTooLarge(
            f"{features.size} numbers as JSON; at most {MOST_JSON_VALUES} are written. Ask for base64."
        )
    else:
        rows = ["[" + ", ".join(row.astype("U").tolist()) + "]" for row in np.asarray(features)]
    data = [f'{{"object": "embedding", "index": {index}, "embedding": {row}}}' for index, row in enumerate(rows)]
    usage = json.dumps({"prompt_tokens": len(rows), "total_tokens": len(rows)})
    return f'{{"object": "list", "data": [{", ".join(data)}], "model": {json.dumps(model)}, "usage": {usage}}}'.encode()
