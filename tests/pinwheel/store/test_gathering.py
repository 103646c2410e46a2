"""Scripts of many callers in one round trip, against a real server."""

import asyncio

import pytest
from redis.exceptions import ResponseError

from pinwheel.store.connection import UNREACHABLE, connect, connect_async
from pinwheel.store.gathering import Gathering


def evaluations(store_url: str) -> int:
    client = connect(store_url)
    try:
        return int(client.info("commandstats")["cmdstat_eval"]["calls"])
    finally:
        client.close()


def test_each_caller_gets_the_answer_to_its_own_call(store_url: str) -> None:
    async def ask() -> list[int]:
        commands = connect_async(store_url)
        try:
            gathering = Gathering(commands)
            echo = "return tonumber(ARGV[1]) * 2"
            first = await gathering.eval(echo, [], [0])
            return [first, *await asyncio.gather(*(gathering.eval(echo, [], [number]) for number in range(1, 50)))]
        finally:
            await commands.aclose()

    assert asyncio.run(ask()) == [2 * number for number in range(50)]
    assert evaluations(store_url) >= 50


def test_a_call_that_fails_or_is_given_up_harms_no_other(store_url: str) -> None:
    async def ask() -> tuple[object, object, object]:
        commands = connect_async(store_url)
        try:
            gathering = Gathering(commands)
            left = asyncio.create_task(gathering.eval("return 1", [], []))
            bad = asyncio.create_task(gathering.eval("return redis.call('NONE')", [], []))
            good = asyncio.create_task(gathering.eval("return 2", [], []))
            await asyncio.sleep(0)
            left.cancel()
            found = await asyncio.gather(left, bad, good, return_exceptions=True)
            return found[0], found[1], found[2]
        finally:
            await commands.aclose()

    left, bad, good = asyncio.run(ask())
    assert isinstance(left, asyncio.CancelledError)
    assert isinstance(bad, ResponseError)
    assert good == 2


def test_all_hear_that_the_store_is_away_and_the_next_trip_works() -> None:
    async def ask() -> list[object]:
        commands = connect_async("redis://127.0.0.1:1/0")  # nobody listens there
        try:
            gathering = Gathering(commands)
            calls = (gathering.eval("return 1", [], []) for _ in range(3))
            again = await asyncio.gather(*calls, return_exceptions=True)
            with pytest.raises(UNREACHABLE):
                await gathering.eval("return 1", [], [])
            return list(again)
        finally:
            await commands.aclose()

    assert all(isinstance(error, UNREACHABLE) for error in asyncio.run(ask()))
