"""How errors appear in the OpenAPI document."""

from typing import Any

from pydantic import BaseModel, Field

from app.problems import MEDIA_TYPE


class ProblemEntry(BaseModel):
    pointer: str
    code: str
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str | None
    errors: list[ProblemEntry] = Field(default_factory=list)


MEANINGS = {
    400: "The request cannot be read",
    404: "There is no such thing",
    406: "There is no such format",
    409: "The state does not allow this",
    413: "The body is too large",
    415: "The body's format is not known",
    422: "The request does not make sense",
    429: "Too many requests",
    503: "Try again later",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: the errors it can answer; 503 always can be."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({*statuses, 503})
    }


def content(*media_types: str, description: str = "The bytes") -> dict[str, Any]:
    """A successful answer in other formats than JSON."""
    return {"description": description, "content": {media_type: {} for media_type in media_types}}
