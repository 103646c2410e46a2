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
    answers: "list[asyncio.Future[Any]]"


class Gathering:
    """For one event loop. Calls reach the store in the order in which they came."""

    def __init__(self, commands: AsyncClient) -> None:
        self._commands = commands
        self._calls: list[_Call] = []
        self._reads: dict[tuple[Any, ...], _Call] = {}  # those of the next trip
        self._trips: asyncio.Task[None] | None = None

    async def eval(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """What the script answers; raises what it, or the connection, raises."""
        return await self._answer_of(self._call(script, keys, args))

    async def read(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """As `eval`, for a script that changes nothing: whoever asks for the same on the next trip shares the call."""
        name = (script, *keys, *args)
        call = self._reads.get(name)
        if call is None:
            call = self._reads[name] = self._call(script, keys, args)
        return await self._answer_of(call)

    def _call(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> _Call:
        call = _Call(script, keys, args, [])
        self._calls.append(call)
        if self._trips is None or self._trips.done():
            self._trips = asyncio.create_task(self._travel())
        return call

    async def _answer_of(self, call: _Call) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call.answers.append(answer)
        return await answer

    async def _travel(self) -> None:
        while self._calls:
            calls, self._calls, self._reads = self._calls, [], {}
            try:
                async with self._commands.pipeline(transaction=False) as pipeline:
                    for call in calls:
                        pipeline.execute_command("EVAL", call.script, len(call.keys), *call.keys, *call.args)
                    answers = await pipeline.execute(raise_on_error=False)
            except BaseException as error:
                answers = [error] * len(calls)
                if not isinstance(error, Exception):  # the server stops
                    for call in calls:
                        for waiting in call.answers:
                            waiting.cancel()
                    raise
            for call, answer in zip(calls, answers, strict=True):
                for waiting in call.answers:
                    if waiting.done():  # its caller has gone
                        continue
                    if isinstance(answer, BaseException):
                        waiting.set_exception(answer)
                    else:
                        waiting.set_result(answer)
