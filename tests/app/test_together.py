"""Requests that go together: who goes with whom, what each gets, and what becomes of those that fail or leave."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app import together
from app.together import Answer, Asked, Caller, Together
from pinwheel.errors import InvalidDataset, StoreUnavailable, TooManyRequests

ENCODE = Asked.of("digits", 1, "encode", {"passes": None})
TWICE = Asked.of("digits", 1, "encode", {"passes": 2})


class Worker:
    """Answers the double of each image as soon as it may go on; keeps what it was asked."""

    def __init__(self) -> None:
        self.messages: list[tuple[Asked, list[int], int]] = []
        self.given_up = 0
        self.may_go_on = asyncio.Event()

    async def ask(self, asked: Asked, images: NDArray[Any], callers: int) -> Answer:
        self.messages.append((asked, images.ravel().tolist(), callers))
        try:
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if (images == 13).any():
            raise InvalidDataset("an unlucky image")
        if (images == 14).any():
            raise StoreUnavailable("away")
        return Answer({"features": 2 * images}, 0.5, 1.0, callers)


def images(*values: int) -> NDArray[np.float32]:
    """One image of one pixel for each value."""
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


def running(check: Callable[[Worker], Awaitable[None]]) -> None:
    async def run() -> None:
        await check(Worker())

    asyncio.run(run())


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def features(caller: Caller) -> list[int]:
    answer = await caller.answer
    return [int(value) for value in answer.arrays["features"].ravel()]


def test_one_goes_at_once_and_those_who_come_meanwhile_go_together_and_get_their_own() -> None:
    async def check(worker: Worker) -> None:
        all_of_them = Together(worker.ask, most=64)
        callers = [all_of_them.join(ENCODE, images(1), 8)]
        await turns()
        callers += [all_of_them.join(ENCODE, images(*values), 8) for values in ((2, 3), (4,))]
        await turns()
        assert worker.messages == [(ENCODE, [1], 1)]
        worker.may_go_on.set()
        assert [await features(caller) for caller in callers] == [[2], [4, 6], [8]]
        assert worker.messages[1:] == [(ENCODE, [2, 3, 4], 2)]
        assert [caller.answer.result().batch for caller in callers] == [1, 2, 2]
        assert all(caller.answer.result().queue_seconds >= 0.5 for caller in callers)
        await turns()
        assert all_of_them.lines == {}

    running(check)


def test_what_asks_for_something_else_never_goes_with_them() -> None:
    async def check(worker: Worker) -> None:
        all_of_them = Together(worker.ask, most=64)
        asked: list[tuple[Asked, NDArray[Any]]] = [
            (ENCODE, images(1)),
            (TWICE, images(1)),
            (Asked.of("digits", 2, "encode", {}), images(1)),
            (Asked.of("digits", 1, "classify", {}), images(1)),
            (ENCODE, images(1).astype(np.uint8)),
            (ENCODE, images(1, 2).reshape(1, 2, 1, 1)),
        ]
        callers = [all_of_them.join(*each, 8) for each in asked]
        await turns()
        assert len(worker.messages) == len(asked)  # none waits for another
        worker.may_go_on.set()
        await asyncio.gather(*(caller.answer for caller in callers))

    running(check)


def test_a_message_has_so_many_callers_and_bytes_at_most() -> None:
    async def check(worker: Worker) -> None:
        worker.may_go_on.set()
        few = Together(worker.ask, most=3)
        callers = [few.join(ENCODE, images(number), 8) for number in range(8)]
        assert [await features(caller) for caller in callers] == [[2 * number] for number in range(8)]
        assert [count for _, _, count in worker.messages] == [3, 3, 2]
        worker.messages.clear()
        large = np.zeros((1, 100, 100, 1), np.float32)  # 40 000 bytes
        wide = Together(worker.ask, most=64)
        callers = [wide.join(ENCODE, large, 8) for _ in range(3)]
        await asyncio.gather(*(caller.answer for caller in callers))
        assert [count for _, _, count in worker.messages] == [1, 1, 1]
        worker.messages.clear()
        long = Together(worker.ask, most=64)
        callers = [long.join(ENCODE, images(number), together.MOST_ANSWER_BYTES // 2) for number in range(5)]
        await asyncio.gather(*(caller.answer for caller in callers))
        assert [count for _, _, count in worker.messages] == [2, 2, 1]

    running(check)


def test_only_small_requests_with_small_answers_go_with_others() -> None:
    all_of_them = Together(Worker().ask, most=64)
    assert all_of_them.takes(images(1), together.MOST_ANSWER_BYTES)
    assert not all_of_them.takes(images(1), together.MOST_ANSWER_BYTES + 1)
    assert not all_of_them.takes(np.zeros((1, 200, 200, 1), np.float32), 4)
    assert not Together(Worker().ask, most=1).takes(images(1), 4)  # one by one


def test_an_image_that_cannot_be_encoded_fails_its_own_caller_alone() -> None:
    async def check(worker: Worker) -> None:
        worker.may_go_on.set()
        all_of_them = Together(worker.ask, most=64)
        callers = [all_of_them.join(ENCODE, images(number), 8) for number in (11, 12, 13, 15)]
        found = await asyncio.gather(*(caller.answer for caller in callers), return_exceptions=True)
        assert [isinstance(one, Answer) for one in found] == [True, True, False, True]
        assert isinstance(found[2], InvalidDataset)

    running(check)


def test_what_has_nothing_to_do_with_the_images_fails_all_and_the_next_ones_go() -> None:
    async def check(worker: Worker) -> None:
        worker.may_go_on.set()
        all_of_them = Together(worker.ask, most=64)
        callers = [all_of_them.join(ENCODE, images(number), 8) for number in (1, 14, 2)]
        found = await asyncio.gather(*(caller.answer for caller in callers), return_exceptions=True)
        assert [type(one) for one in found] == [StoreUnavailable] * 3
        assert await features(all_of_them.join(ENCODE, images(3), 8)) == [6]

    running(check)


def test_who_leaves_before_is_not_sent_and_a_message_that_all_have_left_is_given_up() -> None:
    async def check(worker: Worker) -> None:
        all_of_them = Together(worker.ask, most=64)
        first = all_of_them.join(ENCODE, images(1), 8)
        await turns()
        second, third = (all_of_them.join(ENCODE, images(number), 8) for number in (2, 3))
        second.leave()
        first.leave()
        await turns()
        assert worker.given_up == 1
        assert worker.messages[1:] == [(ENCODE, [3], 1)]
        worker.may_go_on.set()
        assert await features(third) == [6]
        third.leave()
        all_of_them.join(ENCODE, images(4), 8).leave()
        await turns()
        assert all_of_them.lines == {}

    running(check)


def test_one_of_a_message_that_leaves_does_not_take_the_others_along() -> None:
    async def check(worker: Worker) -> None:
        all_of_them = Together(worker.ask, most=64)
        first, second, third = (all_of_them.join(ENCODE, images(number), 8) for number in (1, 2, 3))
        worker.may_go_on.set()
        await features(first)
        second.leave()
        assert await features(third) == [6]
        assert worker.given_up == 0

    running(check)


def test_a_message_that_is_never_answered_holds_up_the_others_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(together, "PATIENCE_SECONDS", 0.05)

    async def check(worker: Worker) -> None:
        all_of_them = Together(worker.ask, most=64)
        lost = all_of_them.join(ENCODE, images(1), 8)
        await turns()
        waiting = all_of_them.join(ENCODE, images(2), 8)
        await asyncio.sleep(0.5)
        assert [values for _, values, _ in worker.messages] == [[1], [2]]
        assert not lost.answer.done()
        worker.may_go_on.set()
        assert await features(waiting) == [4]

    running(check)


def test_there_are_as_many_messages_under_way_as_workers() -> None:
    async def check(worker: Worker) -> None:
        all_of_them = Together(worker.ask, most=64, messages=3)
        callers = []
        for number in range(6):
            callers.append(all_of_them.join(ENCODE, images(number), 8))
            await turns()
        assert [values for _, values, _ in worker.messages] == [[0], [1], [2]]
        worker.may_go_on.set()
        await asyncio.gather(*(caller.answer for caller in callers))
        assert [values for _, values, _ in worker.messages][3:] == [[3, 4, 5]]

    running(check)


def test_more_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together.encoding, "MOST_WAITING", 2)

    async def check(worker: Worker) -> None:
        all_of_them = Together(worker.ask, most=64)
        callers = [all_of_them.join(ENCODE, images(number), 8) for number in range(2)]
        with pytest.raises(TooManyRequests, match="2 encode requests wait for digits@1"):
            all_of_them.join(ENCODE, images(3), 8)
        worker.may_go_on.set()
        await asyncio.gather(*(caller.answer for caller in callers))

    running(check)
