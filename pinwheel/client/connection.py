"""HTTP connections to the service: send again what may be sent again, and raise what the server meant.

Sent again, after a growing wait or the server's `Retry-After`: requests that got no answer, and answers 429, 502, 503
and 504. That is safe because every request repeats without harm: reading and encoding change nothing, commands can be
repeated, and what creates something carries an `Idempotency-Key`.

`Link` knows what to do, as steps; `Connection` and `AsyncConnection` do it.
"""

import inspect
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import httpx2

from pinwheel import __version__
from pinwheel.client.retries import AGAIN, backoff, problem_of, waiting
from pinwheel.client.steps import Emit, Next, Open, Pause, Send, Step, Steps, Tell, Walk, Work
from pinwheel.errors import IdempotencyInProgress

LOOPBACK = ("127.0.0.1", "localhost", "::1")
FILE_CHUNK_BYTES = 2**20
Body = Mapping[str, Any]  # `content`, `files` and `headers` of one sending

R = TypeVar("R")
T = TypeVar("T")


class Link:
    """Steps raise the classes of `pinwheel.errors`; `ConnectionError` or `TimeoutError` where no answer came."""

    def __init__(self, base_url: str, retries: int) -> None:
        self.base_url = base_url
        self.retries = retries

    def json(self, method: str, path: str, **request: Any) -> Steps[dict[str, Any]]:
        answer: dict[str, Any] = (yield from self.send(method, path, **request)).json()
        return answer

    def create(self, path: str, idempotency_key: str | None = None, **request: Any) -> Steps[dict[str, Any]]:
        """POST that creates: repeating it gives the first answer again."""
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex, **request.pop("headers", {})}
        return (yield from self.json("POST", path, headers=headers, **request))

    def send(
        self, method: str, path: str, *, body: Callable[[], Body] | None = None, **request: Any
    ) -> Steps[httpx2.Response]:
        """The answer, read whole. `body` makes a fresh body for each sending: a stream can be read only once."""
        for attempt in range(self.retries + 1):
            try:
                answer: httpx2.Response = yield Send(method, path, _with(request, body))
            except httpx2.TransportError as error:
                if attempt == self.retries or (isinstance(error, httpx2.TimeoutException) and not _unsent(error)):
                    raise self.no_answer(error) from error
                yield Pause(backoff(attempt))
                continue
            if answer.is_success:
                return answer
            problem = problem_of(answer)
            # The first sending of this very key is still at work: its answer will come.
            waits = answer.status_code in AGAIN or (attempt > 0 and isinstance(problem, IdempotencyInProgress))
            if attempt == self.retries or not waits:
                raise problem
            yield Pause(waiting(problem, attempt))
        raise AssertionError("the loop returns or raises")

    def open(self, path: str, *, events: bool = False, **request: Any) -> Steps[httpx2.Response]:
        """One GET whose body is read by `Next`. Not sent again; raises as `httpx2` does while it is read."""
        answer: httpx2.Response = yield Open(path, request, events)
        if not answer.is_success:
            raise problem_of(answer)
        return answer

    def no_answer(self, error: httpx2.TransportError) -> OSError:
        if isinstance(error, httpx2.TimeoutException):
            return TimeoutError(f"{self.base_url} did not answer in time: {error!r}")
        return ConnectionError(f"{self.base_url} does not answer: {error}")


@dataclass
class _Stream:
    """The answer that is being read; closing `stack` hangs up."""

    stack: Any
    pieces: Any = field(default_factory=lambda: iter(()))


class Connection(Link):
    """Takes steps and waits for each. May be used from several threads."""

    def __init__(self, base_url: str, api_key: str | None, timeout_seconds: float, retries: int) -> None:
        super().__init__(base_url, retries)
        self._http = httpx2.Client(**_options(base_url, api_key, timeout_seconds))

    def close(self) -> None:
        self._http.close()

    def run(self, steps: Steps[R]) -> R:
        """What the steps return."""
        with ExitStack() as stack, Walk(steps) as walk:
            stream = _Stream(stack)
            while walk.step is not None:
                self._advance(walk, stream)
            result: R = walk.result
            return result

    def iterate(self, steps: Generator[Step | Emit[T], Any, None]) -> Iterator[T]:
        """What the steps emit."""
        with ExitStack() as stack, Walk(steps) as walk:
            stream = _Stream(stack)
            while walk.step is not None:
                if isinstance(walk.step, Emit):
                    yield walk.step.value
                    walk.give(None)
                else:
                    self._advance(walk, stream)

    def _advance(self, walk: Walk[Any], stream: _Stream) -> None:
        try:
            brought = self._taken(walk.step, stream)
        except Exception as error:  # raised on in the steps, where it belongs
            walk.fail(error)
        else:
            walk.give(brought)

    def _taken(self, step: Any, stream: _Stream) -> Any:
        match step:
            case Send(method, path, request):
                return self._http.request(method, path, **request)
            case Open(path, request, events):
                stream.stack.close()
                answer = stream.stack.enter_context(self._http.stream("GET", path, **request))
                if not answer.is_success:
                    answer.read()
                stream.pieces = iter(httpx2.EventSource(answer) if events else answer.iter_raw())
                return answer
            case Next():
                return next(stream.pieces, None)
            case Pause(seconds):
                return time.sleep(seconds)
            case Work(function):
                return function()
            case Tell(function, value):
                return function(value)
        raise AssertionError(step)


class AsyncConnection(Link):
    """Takes steps and awaits each."""

    def __init__(self, base_url: str, api_key: str | None, timeout_seconds: float, retries: int) -> None:
        super().__init__(base_url, retries)
        self._http = httpx2.AsyncClient(**_options(base_url, api_key, timeout_seconds))

    async def close(self) -> None:
        await self._http.aclose()

    async def run(self, steps: Steps[R]) -> R:
        """What the steps return."""
        async with AsyncExitStack() as stack:
            with Walk(steps) as walk:
                stream = _Stream(stack)
                while walk.step is not None:
                    await self._advance(walk, stream)
                result: R = walk.result
                return result

    async def iterate(self, steps: Generator[Step | Emit[T], Any, None]) -> AsyncIterator[T]:
        """What the steps emit."""
        async with AsyncExitStack() as stack:
            with Walk(steps) as walk:
                stream = _Stream(stack)
                while walk.step is not None:
                    if isinstance(walk.step, Emit):
                        yield walk.step.value
                        walk.give(None)
                    else:
                        await self._advance(walk, stream)

    async def _advance(self, walk: Walk[Any], stream: _Stream) -> None:
        try:
            brought = await self._taken(walk.step, stream)
        except Exception as error:  # raised on in the steps, where it belongs
            walk.fail(error)
        else:
            walk.give(brought)

    async def _taken(self, step: Any, stream: _Stream) -> Any:
        match step:
            case Send(method, path, request):
                return await self._http.request(method, path, **_streamed(request))
            case Open(path, request, events):
                await stream.stack.aclose()
                answer = await stream.stack.enter_async_context(self._http.stream("GET", path, **request))
                if not answer.is_success:
                    await answer.aread()
                pieces = aiter(httpx2.EventSource(answer) if events else answer.aiter_raw())
                stream.pieces = await stream.stack.enter_async_context(aclosing(pieces))
                return answer
            case Next():
                return await anext(stream.pieces, None)
            case Pause(seconds):
                return await anyio.sleep(seconds)
            case Work(function):
                return await anyio.to_thread.run_sync(function)
            case Tell(function, value):
                told = function(value)
                return await told if inspect.isawaitable(told) else told
        raise AssertionError(step)


def _options(base_url: str, api_key: str | None, timeout_seconds: float) -> dict[str, Any]:
    headers = {"User-Agent": f"pinwheel/{__version__}"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    # A proxy is for other machines.
    outside = httpx2.URL(base_url).host not in LOOPBACK
    return {"base_url": base_url, "headers": headers, "timeout": timeout_seconds, "trust_env": outside}


def _with(request: dict[str, Any], body: Callable[[], Body] | None) -> dict[str, Any]:
    if body is None:
        return request
    made = dict(body())
    return {**request, **made, "headers": {**request.get("headers", {}), **made.get("headers", {})}}


def _streamed(request: dict[str, Any]) -> dict[str, Any]:
    """An open file as what an event loop can send; its length is known and said."""
    file: Any = request.get("content")
    if not hasattr(file, "fileno"):
        return request
    size = os.fstat(file.fileno()).st_size - file.tell()
    return request | {"content": _chunks(file), "headers": {**request["headers"], "Content-Length": str(size)}}


async def _chunks(file: Any) -> AsyncIterator[bytes]:
    while chunk := await anyio.to_thread.run_sync(file.read, FILE_CHUNK_BYTES):
        yield chunk


def _unsent(error: httpx2.TimeoutException) -> bool:
    """Whether the time ran out before the server could have begun to work."""
    return isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout)
