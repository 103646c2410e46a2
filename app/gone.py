"""Notices clients that go away while a worker encodes for them.

Once the body of such a request has been read, the connection can only say that it is over: one reader waits for that
and completes the future `client_gone`, on which `Encoder` stops waiting. What else asks for messages gets that one too.
"""

import asyncio
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.encoder import client_gone

ENCODING = re.compile(
    r"/v1/models/[^/]+/(encode|reconstruct|classify)|/v1/embeddings|/v2/models/[^/]+(/versions/[^/]+)?/infer"
)


class Gone:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not ENCODING.fullmatch(scope["path"]):
            return await self.app(scope, receive, send)
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watcher: asyncio.Task[Message] | None = None

        async def watch() -> Message:
            while (message := await receive())["type"] != "http.disconnect":
                pass
            if not gone.done():
                gone.set_result(None)
            return message

        async def receive_and_watch() -> Message:
            nonlocal watcher
            if watcher is not None:
                return await asyncio.shield(watcher)
            message = await receive()
            if message["type"] == "http.disconnect" and not gone.done():
                gone.set_result(None)
            elif not message.get("more_body", False):
                watcher = asyncio.create_task(watch())
            return message

        token = client_gone.set(gone)
        try:
            return await self.app(scope, receive_and_watch, send)
        finally:
            client_gone.reset(token)
            if watcher is not None:
                watcher.cancel()
