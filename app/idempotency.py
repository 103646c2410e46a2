"""`Idempotency-Key`: the same POST twice does its work once.

The first request with a key reserves it, works, and keeps its answer if it succeeded; a second one with the same
method, path, query and body gets that answer again. Answers that failed are not kept: the key is free again.
"""

import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable
from uuid import uuid4

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.headers import headers_of
from app.problems import of_error
from app.services import Services
from pinwheel.errors import (
    IdempotencyInProgress,
    IdempotencyMismatch,
    InvalidRequest,
    PinwheelError,
    StoreUnavailable,
)
from pinwheel.store import keys
from pinwheel.store.connection import UNREACHABLE, AsyncClient

MOST_KEPT_BYTES = 1024 * 1024
RESERVED_SECONDS = 1800
# One step each: a server that dies between two would leave a key reserved for ever; one that was slow must not release
# what another has reserved since.
RESERVE = """
if redis.call('HSETNX', KEYS[1], 'state', 'running') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'owner', ARGV[1])
return redis.call('EXPIRE', KEYS[1], ARGV[2])
"""
RELEASE = """
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
KEPT_HEADERS = {
    "content-type",
    "content-encoding",
    "inference-header-content-length",
    "location",
    "x-model",
    "x-feature-shape",
    "vary",
}


class Idempotency:
    """Answers above `MOST_KEPT_BYTES` (large features) are not kept: asking again computes them again."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        post = scope["type"] == "http" and scope["method"] == "POST"
        key = headers_of(scope).get("idempotency-key") if post else None
        if key is None:
            return await self.app(scope, receive, send)
        if not 1 <= len(key) <= 255:
            error = InvalidRequest(f"An Idempotency-Key has 1 to 255 characters, not {len(key)}.")
            return await of_error(Request(scope), error)(scope, receive, send)
        try:
            return await self._once(key, scope, receive, send)
        except UNREACHABLE as error:
            # Only before an answer has begun: what the routes meet is answered by the handlers inside.
            away = StoreUnavailable(f"The store does not answer: {type(error).__name__}.", retry_after_seconds=2)
            return await of_error(Request(scope), away)(scope, receive, send)

    async def _once(self, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        services: Services = scope["app"].state.services
        name = keys.answer(hashlib.sha256(f"{scope.get('key_name', '')}\n{key}".encode()).hexdigest())
        owner = uuid4().hex
        reserved = await services.commands.eval(RESERVE, 1, name, owner, RESERVED_SECONDS)
        if reserved:
            return await self._first(services, name, owner, scope, receive, send)
        answer = await _again(services.commands, name, scope, receive)
        return await answer(scope, receive, send)

    async def _first(
        self, services: Services, name: str, owner: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        body = _Hashed(scope, receive)
        kept = _Kept()

        async def keep() -> None:
            await body.drain()
            await services.commands.hset(name, mapping=kept.fields(body.hexdigest()))
            await services.commands.expire(name, services.settings.idempotency_seconds)
            kept.stored = True

        try:
            await self.app(scope, body.receive, kept.passing(send, keep))
        finally:
            if not kept.stored:
                with contextlib.suppress(*UNREACHABLE):  # then the reservation ends by itself
                    await services.commands.eval(RELEASE, 1, name, owner)


class _Kept:
    """Watches an answer go by and keeps it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.complete = False
        self.too_large = False
        self.stored = False

    @property
    def worth_keeping(self) -> bool:
        return self.complete and not self.too_large and 200 <= self.status < 300

    def passing(self, send: Send, keep: Callable[[], Awaitable[None]]) -> Send:
        """`keep` runs before the last part goes out: whoever has the answer can ask again at once."""

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                headers = Headers(raw=message["headers"])
                self.headers = {name: value for name, value in headers.items() if name in KEPT_HEADERS}
            elif message["type"] == "http.response.body":
                self._add(message)
                if self.worth_keeping:
                    await keep()
            await send(message)

        return pass_on

    def _add(self, message: Message) -> None:
        self.too_large = self.too_large or len(self.body) + len(message.get("body", b"")) > MOST_KEPT_BYTES
        if not self.too_large:
            self.body += message.get("body", b"")
        self.complete = not message.get("more_body", False)

    def fields(self, digest: str) -> dict[str, str | bytes | int]:
        return {
            "state": "done",
            "digest": digest,
            "status": self.status,
            "headers": json.dumps(self.headers),
            "body": bytes(self.body),
        }


async def _again(commands: AsyncClient, name: str, scope: Scope, receive: Receive) -> Response:
    body = _Hashed(scope, receive)
    try:
        await body.drain()
    except PinwheelError as error:  # the body is too large
        return of_error(Request(scope), error)
    kept = await commands.hgetall(name)
    if kept.get(b"state") != b"done":
        busy = IdempotencyInProgress(
            "The first request with this Idempotency-Key has not ended.", retry_after_seconds=1
        )
        return of_error(Request(scope), busy)
    if kept[b"digest"].decode() != body.hexdigest():
        mismatch = IdempotencyMismatch("This Idempotency-Key came with another request before; take a new key.")
        return of_error(Request(scope), mismatch)
    headers = MutableHeaders(json.loads(kept[b"headers"]))
    headers["Idempotency-Replayed"] = "true"
    return Response(kept[b"body"], int(kept[b"status"]), dict(headers))


class _Hashed:
    """A request's body, hashed together with its method, path and query while it goes by."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        line = f"{scope['method']} {scope['path']}?".encode() + scope["query_string"] + b"\n"
        self._digest = hashlib.sha256(line)
        self._receive = receive
        self._ended = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not self._ended:
            self._digest.update(message.get("body", b""))
            self._ended = not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        while not self._ended:
            if (await self.receive())["type"] != "http.request":
                return

    def hexdigest(self) -> str:
        return self._digest.hexdigest()
