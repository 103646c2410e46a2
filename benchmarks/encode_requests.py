"""Encoding over HTTP: one image at a time on an idle service and beside a training, many at once against the bare call,
32 clients together.

    python benchmarks/encode_requests.py [--requests 200] [--threads 1]

A model of the recipe `drsae` (400 units, 11 passes, one epoch of the built-in digits) is trained first; how well it
encodes does not matter here. The bare call is `Engine.encode` in this process on the same arrays, in turns with the
same through HTTP, answer as npy included.
"""

import argparse
import io
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np
import torch

from pinwheel.client import Client
from pinwheel.up import Service
from worker.data.store import read_npz
from worker.encoding.engine import Engine

IMAGES, ROUNDS, CLIENTS = 10_000, 5, 32
ENCODE = "/v1/models/timed/encode?format=npy"


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def timed_requests(http: httpx2.Client, bodies: list[bytes]) -> list[float]:
    """Seconds of each, one after the other."""
    found = []
    for body in bodies:
        start = time.perf_counter()
        http.post(ENCODE, content=body, headers={"Content-Type": "application/x-npy"}).raise_for_status()
        found.append(time.perf_counter() - start)
    return found


def told(what: str, seconds: list[float]) -> float:
    """The median, once it is printed."""
    middle, late = statistics.median(seconds), sorted(seconds)[-len(seconds) // 20]
    print(f"{what}: p50 {1e3 * middle:.1f} ms, p95 {1e3 * late:.1f} ms", flush=True)
    return middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    images = np.asarray(read_npz(Path(__file__).parents[1] / "pinwheel" / "data" / "digits.npz").images[:IMAGES])
    single = [npy(image[None]) for image in images[: given.requests]]
    with tempfile.TemporaryDirectory(prefix="pw-bench-") as folder:
        environment = {"PINWHEEL_THREADS": str(given.threads)}
        with Service(Path(folder) / "data", port=0, environment=environment) as service, Client(service.url) as client:
            digits = client.create_dataset(builtin="digits")
            client.train(recipe="drsae", dataset=digits, training={"epochs": 1}, publish_as="timed").wait()
            engine = Engine.load(service.data_dir / "models" / "timed" / "1")
            with httpx2.Client(base_url=service.url, timeout=120) as http:
                timed_requests(http, single[:20])
                idle = told("one image", timed_requests(http, single))
                job = client.train(recipe="drsae", dataset=digits, publish_as="beside")
                while job.refresh().record["progress"]["step"] == 0:
                    time.sleep(0.1)
                busy = told("one image beside a training", timed_requests(http, single))
                print(f"  {busy / idle:.2f} times as long")
                job.cancel().wait()
                ratios = []
                for _ in range(ROUNDS):
                    (through,) = timed_requests(http, [npy(images)])
                    start = time.perf_counter()
                    engine.encode(images)
                    ratios.append((time.perf_counter() - start) / through)
                print(
                    f"{IMAGES} images: {statistics.median(ratios):.2f} of the bare rate", [round(r, 2) for r in ratios]
                )

            def client_of(number: int) -> None:
                with httpx2.Client(base_url=service.url, timeout=120) as own:
                    timed_requests(own, single[number::CLIENTS] * 4)

            with ThreadPoolExecutor(CLIENTS) as pool:
                start = time.perf_counter()
                list(pool.map(client_of, range(CLIENTS)))
            print(f"{CLIENTS} clients: {4 * len(single) / (time.perf_counter() - start):.0f} images a second")


if __name__ == "__main__":
    main()
