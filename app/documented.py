"""How errors appear in the OpenAPI document."""

from collections.abc import Iterable
from typing import Any

from fastapi import Query
from pydantic import BaseModel, Field

from app.problems import MEDIA_TYPE
from pinwheel.errors import tree


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


MEANINGS = {kind.status: kind.title for kind in reversed(tree()[1:])}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: the errors it can answer; 422 (an unknown parameter) and 503 always can be."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({*statuses, 422, 503})
    }


def one_of(formats: Iterable[str], what: str = "instead of Accept") -> Any:
    """The parameter `format` of a route that answers in these."""
    known = list(formats)
    return Query(description=f"{', '.join(known)}; {what}.", json_schema_extra={"enum": known})


def between(low: int, high: int, description: str) -> Any:
    """A parameter with bounds that the route checks by itself."""
    return Query(description=f"{description}, {low} to {high}.", json_schema_extra={"minimum": low, "maximum": high})


def content(*media_types: str, description: str = "The bytes") -> dict[str, Any]:
    """A successful answer in other formats than JSON."""
    return {"description": description, "content": {media_type: {} for media_type in media_types}}
