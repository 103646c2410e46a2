"""A short way for encode requests whose query and headers were read before.

Clients ask for the same again and again, of other images each time; reading the parameters once more costs a server
more than all else that it does for one image. Where a request has the query and the headers of an earlier one that was
in order, this route leads to the same function without the framework's reading; any other goes the long way, which
refuses what is wrong with all that there is to say about it.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from fastapi import Request, Response
from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

W = TypeVar("W")
Key = tuple[bytes, ...]

MOST_KEPT, LONGEST_KEY = 256, 1000


class Readings(Generic[W]):
    """What the parameters of earlier requests were read as. `headers` (lower case) are those that have a say in it."""

    def __init__(self, *headers: bytes) -> None:
        self._headers = headers
        self._kept: dict[Key, W] = {}

    def _key(self, scope: Scope) -> Key:
        given = [part for header in scope["headers"] if header[0] in self._headers for part in header]
        return scope["query_string"], *given

    def keep(self, scope: Scope, wanted: W) -> None:
        """For the next request that is alike. What was kept first goes first."""
        key = self._key(scope)
        if sum(map(len, key)) > LONGEST_KEY:
            return
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = wanted

    def find(self, scope: Scope) -> W | None:
        return self._kept.get(self._key(scope))


class ReadBefore(BaseRoute, Generic[W]):
    """Stands before all routes. `path` has one group, the first argument of `answer`."""

    def __init__(
        self, path: str, readings: Readings[W], answer: Callable[[str, Request, W], Awaitable[Response]]
    ) -> None:
        self._path = re.compile(path)
        self._readings = readings
        self._answer = answer

    def matches(self, scope: Scope) -> tuple[Match, dict[str, Any]]:
        if scope["type"] != "http" or scope["method"] != "POST" or scope.get("root_path"):
            return Match.NONE, {}
        path = self._path.fullmatch(scope["path"])
        if path is None:
            return Match.NONE, {}
        wanted = self._readings.find(scope)
        if wanted is None:
            return Match.NONE, {}
        return Match.FULL, {"path_params": {"model": path[1]}, "wanted": wanted}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        answer = await self._answer(scope["path_params"]["model"], request, scope["wanted"])
        await answer(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        raise NoMatchFound(name, path_params)
