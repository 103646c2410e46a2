"""What stands around every request: its id, a last net for errors, and the size of its body."""

import re
from uuid import uuid4

import structlog
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.headers import headers_of
from app.problems import of_error, problem
from pinwheel.errors import PayloadTooLarge
from pinwheel.settings import Settings

log = structlog.get_logger()

SAFE_ID = re.compile(r"^[A-Za-z0-9._-]{1,100}$")


class RequestContext:
    """Gives each request an id, in the answer and in every log line, and turns what nobody caught into a plain 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        given = headers_of(scope).get("x-request-id", "")
        scope["request_id"] = request_id = given if SAFE_ID.match(given) else f"req_{uuid4().hex}"
        own = ((b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff"))
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("request failed", path=scope["path"], method=scope["method"])
            if started:
                raise
            answer = problem(
                Request(scope), 500, "internal", "Internal error", "The server failed; its log has the rest."
            )
            await answer(scope, receive, send_with_id)
        finally:
            structlog.contextvars.reset_contextvars(**tokens)
        return None


class BodyLimit:
    """Refuses a body larger than its route takes, by its declared length and while it streams."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    def _limit(self, path: str) -> int:
        # A request to encode that is larger than one answer becomes a job.
        if path == "/v1/datasets" or re.fullmatch(r"/v1/models/[^/]+/encode", path):
            return self.settings.max_dataset_bytes
        if re.fullmatch(r"/v1/models/[^/]+/(reconstruct|classify)|/v2/models/.+/infer", path):
            return self.settings.max_encode_bytes
        return self.settings.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        limit = self._limit(scope["path"])
        declared = headers_of(scope).get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            return await of_error(Request(scope), _too_large(limit, scope))(scope, receive, send)
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit, scope)
            return message

        return await self.app(scope, receive_within_limit, send)


def _too_large(limit: int, scope: Scope) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit} bytes, the most that {scope['path']} takes.")
