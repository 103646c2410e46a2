"""Hundreds of clients at once: reads, encodes, submissions, cancels and streams that break and go on.

    pip install -e '.[dev]' && python benchmarks/load.py [--clients 300] [--minutes 5] [--think 1.0]

A tenth of the clients follow a training over SSE, drop the connection every few seconds and go on behind the last event
that they have; what they hear must be every event, once, in order. The others think for a moment (`--think` seconds on
average) and then read a job, a list, a history or a picture (two in three), encode one digit (one in four), or submit
and cancel small trainings. The status is 1 unless every answer was a success or a documented refusal (429, 503 or 409
with a reason) and 99 of 100 reads took less than 250 ms. Clients, server, workers and store share this machine.
"""

import argparse
import asyncio
import io
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from pinwheel.client import Client
from pinwheel.up import Service
from worker.data.store import read_npz

MOST_READ_SECONDS = 0.25
REFUSALS = (409, 429, 503)
SMALL: dict[str, Any] = {
    "model": {"connection": {"units": 16}, "encoder": {"passes": 2}},
    "training": {"epochs": 2, "batch_size": 50, "previews": 2},
}
LONG: dict[str, Any] = SMALL | {"training": {"epochs": 100_000, "batch_size": 50, "previews": 1000}}
DEFAULTS = {"PINWHEEL_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Load:
    def __init__(self, url: str, image: bytes, dataset: str, followed: str, given: argparse.Namespace) -> None:
        self.url, self.image, self.dataset, self.followed, self.given = url, image, dataset, followed, given
        self.end = time.monotonic() + 60 * given.minutes
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.statuses: Counter[str] = Counter()
        self.complaints: Counter[str] = Counter()
        self.jobs = [followed]
        self.streams, self.heard = 0, 0

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        limit = aiohttp.ClientTimeout(total=90, sock_read=60)
        async with aiohttp.ClientSession(self.url, connector=connector, timeout=limit) as session:
            followers = self.given.clients // 10
            tasks = [self.follow(session, random.Random(number)) for number in range(followers)]
            tasks += [self.ask(session, random.Random(number)) for number in range(followers, self.given.clients)]
            await asyncio.gather(*tasks, self.tell())

    async def ask(self, session: aiohttp.ClientSession, chance: random.Random) -> None:
        await asyncio.sleep(chance.random() * 2 * self.given.think)
        while time.monotonic() < self.end:
            drawn = chance.random()
            if drawn < 0.67:
                await self.request(session, "read", "GET", self.something(chance))
            elif drawn < 0.95:
                await self.request(session, "encode", "POST", "/v1/models/loaded/encode?format=npy", data=self.image)
            elif drawn < 0.98 or len(self.jobs) == 1:
                body = {"type": "train", "recipe": "drsae", "dataset": self.dataset, "publish_as": "many", **SMALL}
                answer = await self.request(session, "submit", "POST", "/v1/jobs", json=body)
                if answer:
                    self.jobs.append(json.loads(answer)["id"])
            else:
                job = self.jobs.pop(chance.randrange(1, len(self.jobs)))
                await self.request(session, "cancel", "POST", f"/v1/jobs/{job}/cancel")
            await asyncio.sleep(chance.random() * 2 * self.given.think)

    def something(self, chance: random.Random) -> str:
        job = chance.choice(self.jobs)
        paths = [f"/v1/jobs/{job}", "/v1/jobs?limit=20", f"/v1/jobs/{job}/metrics", "/v1/models", "/v1/models/loaded"]
        paths += [f"/v1/jobs/{self.followed}/filters", "/v1/models/loaded/filters?order=usage", "/v1/recipes/drsae"]
        paths += [f"/v1/jobs/{job}/events?limit=50&format=json", "/readyz", "/"]
        return chance.choice(paths)

    async def request(
        self, session: aiohttp.ClientSession, what: str, method: str, path: str, **more: Any
    ) -> bytes | None:
        started = time.monotonic()
        try:
            async with session.request(method, path, **more) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.complaints[f"{method} {path}: {type(error).__name__}"] += 1
            return None
        self.seconds[what].append(time.monotonic() - started)
        self.statuses[f"{what} {answer.status}"] += 1
        if answer.status in REFUSALS and b'"detail":' in body:
            return None
        if answer.status >= 400:
            self.complaints[f"{method} {path}: {answer.status} {body[:200]!r}"] += 1
            return None
        return body

    async def follow(self, session: aiohttp.ClientSession, chance: random.Random) -> None:
        last = 0
        while time.monotonic() < self.end:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
            drop = time.monotonic() + chance.uniform(0.5, 8)
            self.streams += 1
            try:
                async with session.get(f"/v1/jobs/{self.followed}/events", headers=headers) as answer:
                    while time.monotonic() < drop:
                        line = await asyncio.wait_for(answer.content.readline(), max(0.1, drop - time.monotonic()))
                        if not line:
                            break
                        if line.startswith(b"id:"):
                            number = int(line[3:])
                            self.heard += 1
                            if number != last + 1:
                                self.complaints[f"a stream went from event {last} to {number}"] += 1
                            last = number
            except TimeoutError:
                continue  # dropped in the middle of waiting
            except aiohttp.ClientError as error:
                self.complaints[f"stream: {type(error).__name__} {error}"] += 1
                await asyncio.sleep(0.5)

    async def tell(self) -> None:
        while time.monotonic() < self.end:
            await asyncio.sleep(30)
            print(f"{dict(sorted(self.statuses.items()))}, {self.streams} streams, {self.heard} events", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--think", type=float, default=1.0)
    given = parser.parse_args()
    images = read_npz(Path(__file__).parents[1] / "pinwheel" / "data" / "digits.npz")
    one = io.BytesIO()
    np.save(one, np.asarray(images.images[:1]))
    with (
        tempfile.TemporaryDirectory(prefix="pw-load-") as folder,
        Service(Path(folder), port=0, environment=DEFAULTS) as service,
        Client(service.url) as client,
    ):
        data = np.asarray(images.images[:1000])
        digits = client.create_dataset(data, labels=np.asarray(images.labels[:1000]), name="some")
        client.train(recipe="drsae", dataset=digits, training={"epochs": 1}, publish_as="loaded").wait()
        followed = client.train(recipe="drsae", dataset=digits, publish_as="followed", **LONG)
        while not client.job(followed.id).metrics()["points"]:
            time.sleep(0.5)
        load = Load(service.url, one.getvalue(), digits["id"], followed.id, given)
        asyncio.run(load.run())
        followed.cancel()
    for what, seconds in sorted(load.seconds.items()):
        cuts = statistics.quantiles(seconds, n=100)
        print(
            f"{what}: {len(seconds)}, p50 {1e3 * cuts[49]:.0f}, p95 {1e3 * cuts[94]:.0f}, p99 {1e3 * cuts[98]:.0f} ms"
        )
    slow = statistics.quantiles(load.seconds["read"], n=100)[98] > MOST_READ_SECONDS
    print(f"{load.streams} connections of followers, {load.heard} events; {dict(sorted(load.statuses.items()))}")
    print("\n".join(f"{times} × {what}" for what, times in load.complaints.most_common(20)) or "nothing unexpected")
    sys.exit(slow or bool(load.complaints))


if __name__ == "__main__":
    main()
