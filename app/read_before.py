"""A short way for encode requests whose query and headers were read before.

Clients ask for the same again and again, of other images each time; reading the parameters once more costs a server
more than all else that it does for one image. Where a request has the query and the headers of an earlier one that was
in order, it goes to the same function without the framework's routing and reading; any other goes the long way, which
refuses what is wrong with all that there is to say about it.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

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


class ReadBefore(Generic[W]):
    """Stands inside all that looks at every request. `path` has one group, the first argument of `answer`."""

    def __init__(
        self, app: ASGIApp, path: str, readings: Readings[W], answer: Callable[[str, Request, W], Awaitable[Response]]
    ) -> None:
        self.app = app
        self._path = re.compile(path)
        self._readings = readings
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope.get("root_path"):
            return await self.app(scope, receive, send)
        path = self._path.fullmatch(scope["path"])
        wanted = None if path is None else self._readings.find(scope)
        if path is None or wanted is None:
            return await self.app(scope, receive, send)
        request = Request(scope, receive, send)
        try:
            answer = await self._answer(path[1], request, wanted)
        except Exception as error:
            answer = await _refused(request, error)
        return await answer(scope, receive, send)


async def _refused(request: Request, error: Exception) -> Response:
    """What the application's own handlers make of an error; raises it where none is for it."""
    handlers = request.app.exception_handlers
    for kind in type(error).__mro__:
        if kind in handlers:
            answer: Response = await handlers[kind](request, error)
            return answer
    raise error
