"""Files that were tampered with, sent to a running service: no failure of the server, no death, nothing left behind.

    pip install -e '.[dev]' && python benchmarks/fuzz.py [--uploads 2000] [--encodes 18000] [--clients 8] [--seed 0]

Bodies are files of every kind that is read (tests/tampering.py), cut, flipped, lengthened and repeated at up to four
places, or random bytes; their content type is drawn, and so is the query. The status is 1 unless every answer was a
success or a refusal with a reason (4xx), the processes are those of the beginning, the server has grown by less than
100 MB, and the data folder holds what was accepted alone, and nothing once that is deleted.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp
import numpy as np
import psutil

from pinwheel.client import Client
from pinwheel.up import Service
from worker.data.store import read_npz

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from tampering import FILES, tampered

MEBIBYTE = 2**20
MOST_GROWTH = 100 * MEBIBYTE
KINDS = (
    *("application/octet-stream", "application/x-npy", "application/x-npz", "application/zip", "image/png"),
    *("application/vnd.apache.arrow.stream", "application/json", "text/plain", "", "multipart/form-data; boundary=x"),
)
QUERIES = ("", "?topk=3", "?topk=-1", "?format=arrow&sparse=true", "?threshold=1e30", "?layer=9", "?dtype=float16")
OPTIONS = ("", "?on_bad_file=skip", "?color=gray", "?layout=NCHW", "?layout=NC", "?images_key=b")
DEFAULTS = {"PINWHEEL_THREADS": "1", "PINWHEEL_MAX_DATASET_BYTES": str(16 * MEBIBYTE)}

Request = tuple[str, bytes, str]  # path, body, content type


def bodies(chance: random.Random) -> bytes:
    if chance.random() < 0.05:
        return chance.randbytes(chance.randrange(2000))
    steps = []
    for _ in range(chance.randint(1, 4)):
        what = chance.choice(["cut", "flip", "flip", "insert", "repeat"])
        where = chance.random() * (0.15 if what == "flip" and chance.random() < 0.5 else 1.0)
        steps.append((what, where, chance.randint(1, 255) if what != "repeat" else chance.randint(2, 40)))
    return tampered(FILES[chance.choice(sorted(FILES))], steps)


def requests(given: argparse.Namespace) -> list[Request]:
    chance, found = random.Random(given.seed), []
    for _ in range(given.uploads):
        found.append(("/v1/datasets" + chance.choice(OPTIONS), bodies(chance), chance.choice(KINDS)))
    for _ in range(given.encodes):
        what = chance.choice(["encode", "encode", "encode", "reconstruct", "classify"])
        query = chance.choice(QUERIES) if what == "encode" else ""
        found.append((f"/v1/models/fuzzed/{what}{query}", bodies(chance), chance.choice(KINDS)))
    chance.shuffle(found)
    return found


async def send(service: Service, given: argparse.Namespace) -> tuple[Counter[int], list[str], list[str]]:
    """Statuses, complaints, and the ids of the data sets that were accepted."""
    waiting = requests(given)
    total, started = len(waiting), time.monotonic()
    statuses: Counter[int] = Counter()
    complaints: list[str] = []
    accepted: list[str] = []

    async def client(session: aiohttp.ClientSession) -> None:
        while waiting:
            path, body, kind = waiting.pop()
            async with session.post(path, data=body, headers={"Content-Type": kind} if kind else {}) as answer:
                text = await answer.read()
                statuses[answer.status] += 1
                if answer.status >= 500 or (answer.status >= 400 and b'"detail":' not in text):
                    complaints.append(f"{path} {kind!r}: {answer.status} {text[:300]!r}, body {body[:40]!r}")
                elif path.startswith("/v1/datasets") and answer.status == 201:
                    accepted.append((await answer.json())["id"])
            if len(waiting) % 2000 == 0:
                print(f"{total - len(waiting)} in {time.monotonic() - started:.0f} s, {dict(statuses)}", flush=True)

    async with aiohttp.ClientSession(service.url, timeout=aiohttp.ClientTimeout(total=300)) as session:
        await asyncio.gather(*(client(session) for _ in range(given.clients)))
    return statuses, complaints, accepted


def left(data: Path) -> set[str]:
    """What lies in the data folder, but for the store, logs and models."""
    return {f"{name}/{path.name}" for name in ("staging", "inputs", "datasets") for path in (data / name).glob("*")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--uploads", type=int, default=2000)
    parser.add_argument("--encodes", type=int, default=18_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    images = read_npz(Path(__file__).parents[1] / "pinwheel" / "data" / "digits.npz")
    with (
        tempfile.TemporaryDirectory(prefix="pw-fuzz-") as folder,
        Service(Path(folder), port=0, environment=DEFAULTS) as service,
        Client(service.url) as client,
    ):
        vectors = np.asarray(images.images[:500, 10:15, 10:14])
        data = client.create_dataset(vectors, labels=np.asarray(images.labels[:500]), name="small")
        model = {"connection": {"units": 16}}
        client.train(recipe="drsae", dataset=data, model=model, training={"epochs": 1}, publish_as="fuzzed").wait()
        first = client.model("fuzzed").encode(vectors[:3])
        before, api = dict(service.pids), psutil.Process(service.pids["api"])
        here, size = left(service.data_dir), api.memory_info().rss
        statuses, complaints, accepted = asyncio.run(send(service, given))
        growth = api.memory_info().rss - size
        for dataset in set(accepted):
            client.delete_dataset(dataset)
        if service.pids != before:
            complaints.append(f"parts died: {before} became {dict(service.pids)}")
        if growth > MOST_GROWTH:
            complaints.append(f"the server grew by {growth / MEBIBYTE:.0f} MiB")
        if beside := left(service.data_dir) - here:
            complaints.append(f"left behind: {sorted(beside)[:10]}")
        if not np.array_equal(client.model("fuzzed").encode(vectors[:3]), first):
            complaints.append("the model answers otherwise than before")
    print(f"{dict(sorted(statuses.items()))}; {len(accepted)} data sets; server {growth / MEBIBYTE:+.0f} MiB")
    print("\n".join(complaints[:50]) or "nothing unexpected, nobody died, nothing left behind")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
