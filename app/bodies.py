"""Reading bodies: JSON that is finite and proper text, and streams that go to disk."""

import json
from pathlib import Path
from typing import Any

from fastapi import Request

from pinwheel.errors import InvalidRequest, UnsupportedMediaType

CHUNK_BYTES = 1024 * 1024


def _not_finite(word: str) -> float:
    raise InvalidRequest(f"{word} is not a number in JSON.")


def parse_json(body: bytes) -> Any:
    """`InvalidRequest` with the place for what is no JSON, is not finite, nests too deep or is not Unicode."""
    if not body.strip():
        raise InvalidRequest("The body is empty; JSON is expected.")
    try:
        value = json.loads(body, parse_constant=_not_finite)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except UnicodeError:
        raise InvalidRequest("The body is no JSON in UTF-8.") from None
    except (RecursionError, ValueError) as error:
        raise InvalidRequest(f"The body is no JSON that can be read: {error}.") from None
    return value


async def json_body(request: Request) -> Any:
    """The body as JSON; `UnsupportedMediaType` where it is declared as something else.

    A page of another site may send forms and plain text to a server on this machine without asking, but not JSON.
    """
    declared = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if declared not in ("", "application/json") and not declared.endswith("+json"):
        raise UnsupportedMediaType(f"The body is {declared[:100]}; application/json is expected.")
    return parse_json(await request.body())


async def save(request: Request, target: Path) -> int:
    """Stream the body to `target`; gives its size. Memory stays flat."""
    size = 0
    with target.open("wb") as file:
        async for chunk in request.stream():
            file.write(chunk)
            size += len(chunk)
    return size
