"""Which requests are alike, and that what is kept of them is bounded."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.read_before import LONGEST_KEY, MOST_KEPT, ReadBefore, Readings


def scope(query: str = "format=npy", path: str = "/v1/models/digits/encode", **more: Any) -> dict[str, Any]:
    headers = [(b"accept", b"*/*"), (b"user-agent", b"one")]
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query.encode(),
        "headers": headers,
        **more,
    }


@pytest.fixture
def readings() -> Readings[str]:
    found: Readings[str] = Readings(b"accept", b"prefer")
    found.keep(scope(), "what it says")
    return found


def test_query_and_headers_that_have_a_say_make_requests_alike(readings: Readings[str]) -> None:
    assert readings.find(scope()) == "what it says"
    assert readings.find(scope(headers=[(b"user-agent", b"two"), (b"accept", b"*/*")])) == "what it says"
    for other in (
        scope("format=npz"),
        scope(headers=[(b"accept", b"text/html")]),
        scope(headers=[]),
        scope(headers=[(b"prefer", b"*/*")]),
        scope(headers=[(b"accept", b"*/*"), (b"accept", b"text/html")]),
        scope(headers=[(b"accept", b"*/*"), (b"prefer", b"wait=1")]),
    ):
        assert readings.find(other) is None


def test_the_way_is_that_of_a_post_to_the_path_alone(readings: Readings[str]) -> None:
    went: list[str] = []

    async def long_way(scope: Scope, receive: Receive, send: Send) -> None:
        went.append("long")

    async def answer(model: str, request: Request, wanted: str) -> Response:
        went.append(f"{model}: {wanted}")
        return Response()

    async def nothing(*_: Any) -> Any:
        return {"type": "http.disconnect"}

    way = ReadBefore(long_way, r"/v1/models/([^/]+)/encode", readings, answer)
    for asked in (
        scope(),
        scope(method="GET"),
        scope(path="/v1/models/digits/encode/"),
        scope(path="/v1/models/digits/classify"),
        scope(path="/v1/models/a/b/encode"),
        scope("format=json"),
        scope(root_path="/below"),
        scope(type="websocket"),
    ):
        asyncio.run(way(asked, nothing, nothing))
    assert went == ["digits: what it says"] + ["long"] * 7


def test_what_is_kept_is_bounded(readings: Readings[str]) -> None:
    long = scope("topk=" + "1" * LONGEST_KEY)
    readings.keep(long, "too long")
    assert readings.find(long) is None
    for number in range(MOST_KEPT):
        readings.keep(scope(f"topk={number}"), "another")
    assert readings.find(scope()) is None
    assert readings.find(scope(f"topk={MOST_KEPT - 1}")) == "another"
