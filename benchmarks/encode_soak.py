"""Mixed encode requests for a long time: memory of server and worker, keys in the store, and every answer's status.

    pip install -e '.[dev]' && python benchmarks/encode_soak.py [--requests 200000] [--clients 16]

Requests are drawn: one image or several, .npy, .npz, PNG or JSON in, every format out, dense and sparse, `topk`, fewer
passes, `reconstruct`, `classify`, and one in twenty that must be refused (a torn body, a wrong shape, a bad option).
One in two hundred clients leaves before its answer. Memory is the resident set, read every few seconds; what counts is
its growth after the first tenth of the requests.
"""

import argparse
import asyncio
import contextlib
import io
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import numpy as np
import psutil
import redis
from PIL import Image

from pinwheel.client import Client
from pinwheel.up import Service
from worker.data.store import read_npz

MEBIBYTE = 2**20
FORMATS = ("json", "npy", "npz", "arrow", "parquet", "safetensors")
QUERIES = ("", "&topk=10", "&sparse=true", "&passes=3", "&dtype=float16", "&threshold=0.05")
REFUSED = ("&topk=-1", "&passes=0", "&dtype=int8", "&layer=7")
BODIES = 64
TOLD_SECONDS = 15.0

Request = tuple[str, bytes, str, int]  # path, body, content type, least status that is expected


def bodies(images: np.ndarray) -> list[tuple[bytes, str]]:
    generator, found = np.random.default_rng(0), []
    for _ in range(BODIES):
        some = images[generator.integers(len(images), size=generator.choice([1, 1, 1, 4, 32]))]
        npy, npz, png = io.BytesIO(), io.BytesIO(), io.BytesIO()
        np.save(npy, some)
        np.savez(npz, images=some)
        Image.fromarray(some[0, ..., 0]).save(png, "PNG")
        document = {"inputs": [{"array": image.tolist()} for image in some[:4]]}
        found += [
            (npy.getvalue(), "application/x-npy"),
            (npz.getvalue(), "application/x-npz"),
            (png.getvalue(), "image/png"),
            (json.dumps(document).encode(), "application/json"),
        ]
    return found


def requests(kinds: list[tuple[bytes, str]]) -> Iterator[Request]:
    draw = random.Random(0)
    model = "/v1/models/soaked"
    while True:
        body, kind = draw.choice(kinds)
        chance = draw.random()
        if chance < 0.02:
            yield f"{model}/encode?format=json", body[: len(body) // 2], kind, 400
        elif chance < 0.04:
            yield f"{model}/encode?format=npy{draw.choice(REFUSED)}", body, kind, 400
        elif chance < 0.05:
            yield f"{model}/encode?format=npy", b"\x93NUMPY" + body, "application/x-npy", 400
        elif chance < 0.15:
            yield f"{model}/reconstruct?format=npy", body, kind, 200
        elif chance < 0.25:
            yield f"{model}/classify", body, kind, 200
        else:
            query = draw.choice(QUERIES)
            formats = [name for name in FORMATS if not (name == "npy" and query == "&sparse=true")]
            yield f"{model}/encode?format={draw.choice(formats)}{query}", body, kind, 200


def processes(service: Service) -> dict[str, psutil.Process]:
    found = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if "app.main:app" in line:
                found["server"] = process
            elif "-Q encode" in line:
                found["encode worker"] = process
            elif "valkey" in line:
                found["store"] = process
    return found


async def soak(service: Service, given: argparse.Namespace, kinds: list[tuple[bytes, str]]) -> None:
    drawn, done, statuses, wrong = requests(kinds), 0, Counter[int](), Counter[str]()
    watched, store = processes(service), redis.Redis.from_url(service.redis_url)
    started, settled = time.time(), dict[str, int]()

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        nonlocal done
        leaves = random.Random(number)
        while done < given.requests:
            done += 1
            path, body, kind, least = next(drawn)
            impatient = leaves.random() < 0.005
            limit = aiohttp.ClientTimeout(total=0.003 if impatient else 120)
            try:
                async with session.post(path, data=body, headers={"Content-Type": kind}, timeout=limit) as answer:
                    await answer.read()
                    statuses[answer.status] += 1
                    if not least <= answer.status < least + 100:
                        wrong[f"{path} {kind}: {answer.status}"] += 1
            except TimeoutError:
                statuses[0] += 1
                if not impatient:
                    wrong[f"{path} {kind}: no answer"] += 1

    async def watch() -> None:
        while done < given.requests:
            await asyncio.sleep(TOLD_SECONDS)
            told(watched, store, settled, started, done, statuses, begin=done >= given.requests / 10)

    async with aiohttp.ClientSession(service.url, connector=aiohttp.TCPConnector(limit=given.clients)) as session:
        watching = asyncio.create_task(watch())
        await asyncio.gather(*(client(session, number) for number in range(given.clients)))
        watching.cancel()
    await asyncio.sleep(3)
    told(watched, store, settled, started, done, statuses, begin=True)
    print("unexpected:", dict(wrong.most_common(10)) or "nothing")
    print("growth after the first tenth, MiB:", {n: round(m) for n, m in growth(watched, settled).items()})


def growth(watched: dict[str, psutil.Process], settled: dict[str, int]) -> dict[str, float]:
    return {name: (watched[name].memory_info().rss - size) / MEBIBYTE for name, size in settled.items()}


def told(
    watched: dict[str, psutil.Process],
    store: "redis.Redis",
    settled: dict[str, int],
    started: float,
    done: int,
    statuses: Counter[int],
    *,
    begin: bool,
) -> None:
    sizes = {name: process.memory_info().rss for name, process in watched.items()}
    if begin and not settled:
        settled |= sizes
    memory = ", ".join(f"{name} {size / MEBIBYTE:.0f}" for name, size in sizes.items())
    seconds = time.time() - started
    print(
        f"{seconds:.0f} s, {done} requests ({done / seconds:.0f}/s), keys {store.dbsize()}, MiB: {memory}, "
        f"{dict(sorted(statuses.items()))}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--clients", type=int, default=16)
    given = parser.parse_args()
    images = np.asarray(read_npz(Path(__file__).parents[1] / "pinwheel" / "data" / "digits.npz").images[:1000])
    with (
        tempfile.TemporaryDirectory(prefix="pw-soak-") as folder,
        Service(Path(folder), port=0, environment={"PINWHEEL_THREADS": "1"}) as service,
        Client(service.url) as client,
    ):
        digits = client.create_dataset(builtin="digits")
        client.train(recipe="drsae", dataset=digits, training={"epochs": 1}, publish_as="soaked").wait()
        asyncio.run(soak(service, given, bodies(images)))


if __name__ == "__main__":
    main()
