"""The encode worker in a real service: batches, clients that leave, models that are loaded, deleted and replaced."""

import asyncio
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from asking import SMALL, npy, succeeded

from pinwheel.store.connection import connect
from pinwheel.store.keys import ENCODE_COUNTS, ENCODE_READY
from pinwheel.up import Service

HERE = "/v1/models/digits-36/encode?format=npy"
Digits = tuple[np.ndarray, np.ndarray]


def batch_of(answer: httpx2.Response) -> int:
    return int(answer.headers["server-timing"].split('batch;desc="')[1].rstrip('"'))


def test_requests_that_wait_together_are_one_batch_and_parameters_are_not_mixed(
    service: Service, trained: dict[str, Any], http: httpx2.Client, digits: Digits
) -> None:
    images = digits[0][:24]
    alone = {
        passes: [http.post(f"{HERE}&passes={passes}", content=npy(image[None])).content for image in images[:8]]
        for passes in (1, 4)
    }

    async def ask() -> list[httpx2.Response]:
        async with httpx2.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as client:
            busy = client.post(HERE, content=npy(digits[0]))
            many = [
                client.post(f"{HERE}&passes={1 + 3 * (i % 2)}", content=npy(images[i % 8][None])) for i in range(48)
            ]
            return list(await asyncio.gather(busy, *many))

    _, *answers = asyncio.run(ask())
    assert [answer.status_code for answer in answers] == [200] * 48
    assert max(batch_of(answer) for answer in answers) > 1
    for i, answer in enumerate(answers):
        expected = np.frombuffer(alone[1 + 3 * (i % 2)][i % 8][-144:], np.float32)
        np.testing.assert_allclose(np.frombuffer(answer.content[-144:], np.float32), expected, atol=1e-5)


def test_a_model_that_hangs_while_it_is_loaded_is_a_503_and_holds_up_nobody(
    service: Service, trained: dict[str, Any], http: httpx2.Client, digits: Digits
) -> None:
    weights = Path(service.data_dir) / "models" / "digits-36" / "1" / "weights.safetensors"
    kept = weights.with_name("kept")
    weights.rename(kept)
    os.mkfifo(weights)  # whoever opens it waits for a writer
    try:
        start = time.monotonic()
        answer = http.post(HERE, content=npy(digits[0][:1]))
        assert (answer.status_code, answer.json()["code"]) == (503, "model_loading"), answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert time.monotonic() - start < 10
    finally:
        with weights.open("wb"):  # lets the loader go on, to an empty file
            kept.replace(weights)
    assert http.post(HERE, content=npy(digits[0][:1])).status_code == 200


def test_a_deleted_model_is_gone_at_once(
    service: Service, trained: dict[str, Any], http: httpx2.Client, digits: Digits
) -> None:
    folder = Path(service.data_dir) / "models" / "digits-36" / "1"
    aside = folder.with_name("aside")
    assert http.post(HERE, content=npy(digits[0][:1])).status_code == 200
    shutil.move(folder, aside)
    try:
        assert http.post(HERE, content=npy(digits[0][:1])).status_code == 404
    finally:
        shutil.move(aside, folder)
    assert http.post(HERE, content=npy(digits[0][:1])).status_code == 200


def test_what_a_client_that_left_asked_for_is_dropped(
    service: Service, trained: dict[str, Any], http: httpx2.Client, digits: Digits
) -> None:
    client = connect(service.redis_url)
    before = int(client.hget(ENCODE_COUNTS, "dropped") or 0)
    body = npy(digits[0])
    head = f"POST {HERE}&passes=200 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    address = service.url.removeprefix("http://").split(":")
    connections = [socket.create_connection((address[0], int(address[1]))) for _ in range(3)]
    for connection in connections:
        connection.sendall(head + body)
    deadline = time.monotonic() + 20
    while not client.lrange(ENCODE_READY, 0, -1) and time.monotonic() < deadline:
        time.sleep(0.02)
    for connection in connections:
        connection.close()
    while int(client.hget(ENCODE_COUNTS, "dropped") or 0) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert int(client.hget(ENCODE_COUNTS, "dropped") or 0) > before
    assert http.post(HERE, content=npy(digits[0][:1])).status_code == 200


def published(http: httpx2.Client, dataset: str, name: str, seed: int) -> None:
    body: dict[str, Any] = {"recipe": "drsae", "dataset": dataset, "publish_as": name, **SMALL}
    succeeded(http, body | {"training": SMALL["training"] | {"epochs": 1, "seed": seed, "previews": 0}})


def test_a_model_published_anew_under_its_name_answers_with_its_own_weights(
    http: httpx2.Client, few_digits: str, digits: Digits
) -> None:
    def encoded(name: str) -> np.ndarray:
        answer = http.post(f"/v1/models/{name}/encode?format=npy", content=npy(digits[0][:5]))
        assert answer.status_code == 200, answer.text
        return np.frombuffer(answer.content[-5 * 144 :], np.float32)

    published(http, few_digits, "anew", 0)
    first = encoded("anew")
    assert http.delete("/v1/models/anew").status_code == 204
    published(http, few_digits, "anew", 1)
    published(http, few_digits, "beside", 1)
    second = encoded("anew")
    np.testing.assert_array_equal(second, encoded("beside"))
    assert (second != first).any()


def test_many_requests_for_one_model_do_not_hold_up_another(
    service: Service, trained: dict[str, Any], http: httpx2.Client, few_digits: str, digits: Digits
) -> None:
    published(http, few_digits, "quiet", 0)
    quiet = "/v1/models/quiet/encode?format=npy"
    assert http.post(quiet, content=npy(digits[0][:1])).status_code == 200  # it is loaded
    many, answered = 40, 0

    async def ask() -> int:
        first = asyncio.Event()
        async with httpx2.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as client:

            async def loud() -> None:
                nonlocal answered
                answer = await client.post(f"{HERE}&passes=200", content=npy(digits[0][:1000]))
                assert answer.status_code == 200, answer.text
                answered += 1
                first.set()

            tasks = [asyncio.create_task(loud()) for _ in range(many)]
            await first.wait()
            assert (await client.post(quiet, content=npy(digits[0][:1]))).status_code == 200
            before = answered
            await asyncio.gather(*tasks)
            return before

    before = asyncio.run(ask())
    assert answered == many
    assert before <= many // 2


def test_every_request_is_answered_though_the_connection_for_answers_breaks(
    service: Service, trained: dict[str, Any], digits: Digits
) -> None:
    store = connect(service.redis_url)
    expected = None

    async def ask() -> list[httpx2.Response]:
        async with httpx2.AsyncClient(base_url=service.url, timeout=30, trust_env=False) as client:
            found = []
            for turn in range(6):
                asked = [
                    asyncio.create_task(client.post(f"{HERE}&passes=100", content=npy(digits[0][:200])))
                    for _ in range(4)
                ]
                await asyncio.sleep(0.01 * turn)
                store.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                found += await asyncio.gather(*asked)
            return found

    start = time.monotonic()
    for answer in asyncio.run(ask()):
        assert answer.status_code == 200, answer.text
        expected = expected or answer.content
        assert answer.content == expected
    assert time.monotonic() - start < 20


def test_images_that_overflow_are_refused_without_those_that_wait_with_them(
    service: Service, http: httpx2.Client, few_digits: str, digits: Digits
) -> None:
    body: dict[str, Any] = {"recipe": "psd", "dataset": few_digits, "publish_as": "unscaled"}
    body["preprocessing"] = {"patch_size": None, "patches_per_image": None, "scale": "none", "whiten": "none"}
    succeeded(http, body | {"training": {"epochs": 1, "previews": 0}})
    here = "/v1/models/unscaled/encode?format=npy"
    good, bad = npy(digits[0][:1].astype(np.float32)), npy(np.full((1, 28, 28), 3e38, np.float32))

    async def ask() -> list[httpx2.Response]:
        async with httpx2.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as client:
            return list(
                await asyncio.gather(*(client.post(here, content=bad if i % 8 == 5 else good) for i in range(48)))
            )

    answers = asyncio.run(ask())
    assert [answer.status_code for answer in answers] == [422 if i % 8 == 5 else 200 for i in range(48)]
    assert "overflow" in answers[5].json()["detail"]
    assert len({answer.content for i, answer in enumerate(answers) if i % 8 != 5}) <= 3  # to rounding the same
