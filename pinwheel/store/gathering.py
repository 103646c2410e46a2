"""Scripts of many callers in one round trip: those that come while one trip is under way make up the next.

A round trip costs an event loop far more than the script in it costs the store; alone a caller waits no longer.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from pinwheel.store.connection import AsyncClient


class _Call(NamedTuple):
    script: str
    keys: Sequence[str]
    args: Sequence[Any]
    answer: "asyncio.Future[Any]"


class Gathering:
    """For one event loop. Every call is a call of its own at the store, in the order in which they came."""

    def __init__(self, commands: AsyncClient) -> None:
        self._commands = commands
        self._calls: list[_Call] = []
        self._trips: asyncio.Task[None] | None = None

    async def eval(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """What the script answers; raises what it, or the connection, raises."""
        call = _Call(script, keys, args, asyncio.get_running_loop().create_future())
        self._calls.append(call)
        if self._trips is None or self._trips.done():
            self._trips = asyncio.create_task(self._travel())
        return await call.answer

    async def _travel(self) -> None:
        while self._calls:
            calls, self._calls = self._calls, []
            try:
                async with self._commands.pipeline(transaction=False) as pipeline:
                    for call in calls:
                        pipeline.execute_command("EVAL", call.script, len(call.keys), *call.keys, *call.args)
                    answers = await pipeline.execute(raise_on_error=False)
            except BaseException as error:
                answers = [error] * len(calls)
                if not isinstance(error, Exception):  # the server stops
                    for call in calls:
                        call.answer.cancel()
                    raise
            for call, answer in zip(calls, answers, strict=True):
                if call.answer.done():  # its caller has gone
                    continue
                if isinstance(answer, BaseException):
                    call.answer.set_exception(answer)
                else:
                    call.answer.set_result(answer)
