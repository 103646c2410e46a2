"""What many clients together may ask for: images being encoded, uploads being taken in, requests of one key; and
nothing new where there is no room for it (`app/capacity.py`).

Each server process counts for itself.
"""

import math
import time
from dataclasses import dataclass

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.gone import ENCODING
from app.problems import of_error
from pinwheel.errors import PinwheelError, TooManyRequests
from pinwheel.settings import Settings

UPLOADS, JOBS = "/v1/datasets", "/v1/jobs"


@dataclass
class Room:
    """Place for `most` requests with bodies of `most_bytes` together (None: any)."""

    what: str
    most: int
    most_bytes: int | None = None
    requests: int = 0
    bytes: int = 0

    def check(self) -> None:
        """Refuse one more than there is place for."""
        if self.requests >= self.most:
            raise TooManyRequests(f"{self.most} {self.what} are under way, the most that may.", retry_after_seconds=1)

    def take(self, size: int) -> None:
        """Refuse bytes that there is no place for."""
        if self.most_bytes is not None and self.bytes + size > self.most_bytes:
            detail = f"The {self.what} under way have {self.most_bytes} bytes together, the most that they may."
            raise TooManyRequests(detail, retry_after_seconds=1)
        self.bytes += size


class Allowance:
    """Of one key: `per_minute` requests at once, and as many again in the course of every minute."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.left = float(per_minute)
        self.at = time.monotonic()

    def spend(self, key: str) -> None:
        """Take one. Raises TooManyRequests with the time until there is one again."""
        now = time.monotonic()
        self.left = min(self.per_minute, self.left + (now - self.at) * self.per_minute / 60)
        self.at = now
        if self.left < 1:
            seconds = math.ceil((1 - self.left) * 60 / self.per_minute)
            detail = f"The key {key!r} has sent {self.per_minute} requests within a minute, the most that one may."
            raise TooManyRequests(detail, retry_after_seconds=seconds)
        self.left -= 1


class Admission:
    """Stands inside `Access`, which knows the key."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.encodes = Room("encode requests", settings.max_concurrent_encodes, settings.max_concurrent_encode_bytes)
        self.uploads = Room("uploads", settings.max_concurrent_uploads)
        self.per_minute = settings.max_requests_per_minute
        self.allowances: dict[str, Allowance] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        room = None
        try:
            self._spend(scope.get("key_name"))
            if scope["method"] == "POST":
                room = self._entered(scope)
        except PinwheelError as error:
            return await of_error(Request(scope), error)(scope, receive, send)
        if room is None:
            return await self.app(scope, receive, send)
        return await self._inside(room, scope, receive, send)

    def _entered(self, scope: Scope) -> Room | None:
        """Where the request takes place, if there is any left."""
        path = scope["path"]
        encodes = ENCODING.fullmatch(path) is not None
        room = self.encodes if encodes else self.uploads if path == UPLOADS else None
        if encodes or path in (UPLOADS, JOBS):
            scope["app"].state.services.capacity.check(folder=not encodes)
        if room is not None:
            room.check()
        return room

    async def _inside(self, room: Room, scope: Scope, receive: Receive, send: Send) -> None:
        held = 0

        async def receive_counted() -> Message:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            room.take(size)
            held += size
            return message

        room.requests += 1
        try:
            await self.app(scope, receive_counted, send)
        finally:
            room.requests -= 1
            room.bytes -= held

    def _spend(self, key: str | None) -> None:
        if key is not None and self.per_minute:
            self.allowances.setdefault(key, Allowance(self.per_minute)).spend(key)
