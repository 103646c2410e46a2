"""32 clients with one image each: with batching, without it, and the same module behind LitServe.

    pip install -e '.[bench]'
    python benchmarks/encode_batching.py [--seconds 5] [--rounds 3] [--recipes drsae tree …]

Three servers hold the same models (one epoch of built-in digits; how well they encode does not matter here) and are
asked in turns: the service as it is, the service with `PINWHEEL_ENCODE_BATCH=1`, and LitServe with `Engine.encode` on
batches of up to 64. Every client sends an image as .npy (as a file of a form to LitServe, which reads forms and JSON
alone), waits for its features as .npy and sends the next; all clients are in one process, apart from the servers, which
knows no more of HTTP than it must: the machine's cores are for the servers. Each of these computes with one thread.
"""

import argparse
import asyncio
import contextlib
import io
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np
import psutil
import uvloop

from pinwheel.client import Client
from pinwheel.up import Service
from worker.data.store import read_npz

CLIENTS, IMAGES, WARM_UP_SECONDS = 32, 256, 1.0
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
WHOLE = {"patch_size": None, "patches_per_image": None}
LITSERVE = """
import io, sys
from pathlib import Path
import litserve
import numpy as np
import torch
from fastapi import Response
from worker.encoding.engine import Engine

class Encode(litserve.LitAPI):
    def setup(self, device):
        torch.set_num_threads(1)
        self.engine = Engine.load(Path(sys.argv[1]))
    def decode_request(self, request):
        return np.load(io.BytesIO(request["image"].file.read()))
    def batch(self, inputs):
        return np.concatenate(inputs)
    def predict(self, images):
        return self.engine.encode(images)
    def unbatch(self, features):
        return list(features)
    def encode_response(self, features):
        out = io.BytesIO()
        np.save(out, features[None])
        return Response(out.getvalue(), media_type="application/x-npy")

if __name__ == "__main__":
    api = Encode(max_batch_size=64, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
"""


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def content(url: str, body: bytes) -> tuple[str, bytes]:
    """Content type and body: plain, or a file of a form for LitServe, which reads no other."""
    if not url.endswith("/predict"):
        return "application/x-npy", body
    head = b'--pinwheel\r\nContent-Disposition: form-data; name="image"; filename="image.npy"\r\n'
    form = head + b"Content-Type: application/x-npy\r\n\r\n" + body + b"\r\n--pinwheel--\r\n"
    return "multipart/form-data; boundary=pinwheel", form


def message(url: str, body: bytes) -> bytes:
    """The whole HTTP request."""
    parts, (kind, body) = urlsplit(url), content(url, body)
    path = parts.path + ("?" + parts.query if parts.query else "")
    lines = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc}", "Accept: */*", f"Content-Type: {kind}"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Asking(asyncio.Protocol):
    """One client: sends a request, waits for the whole answer, sends the next. It costs the shared cores as little as
    a client in Python can."""

    def __init__(self, messages: list[bytes], number: int, ends: float) -> None:
        self.messages, self.asked, self.ends = messages, number, ends
        self.done, self.over = 0, asyncio.get_running_loop().create_future()
        self.received = b""
        self.missing = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        if time.perf_counter() >= self.ends:
            self.transport.close()
            self.over.set_result(self.done)
            return
        self.transport.write(self.messages[self.asked % len(self.messages)])
        self.asked += CLIENTS

    def data_received(self, data: bytes) -> None:
        if not self.missing:
            self.received += data
            head, end, body = self.received.partition(b"\r\n\r\n")
            if not end:
                return
            length = LENGTH.search(head)
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                self.over.set_exception(RuntimeError(self.received.decode(errors="replace")[:500]))
                return
            self.received, self.missing, data = b"", int(length[1]), body
        self.missing -= len(data)
        if not self.missing:
            self.done += 1
            self.send()


async def rate(url: str, bodies: list[bytes], seconds: float) -> float:
    """Images a second of all clients together."""
    messages, parts = [message(url, body) for body in bodies], urlsplit(url)
    loop, done = asyncio.get_running_loop(), 0
    for length in (WARM_UP_SECONDS, seconds):
        start = time.perf_counter()
        clients = [Asking(messages, number, start + length) for number in range(CLIENTS)]
        for client in clients:
            await loop.create_connection(lambda found=client: found, parts.hostname, parts.port)
        done = sum(await asyncio.gather(*(client.over for client in clients)))
    return done / (time.perf_counter() - start)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def litserve(bundle: Path, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    script, port = folder / "litserve_encode.py", free_port()
    script.write_text(LITSERVE)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, str(script), str(bundle), str(port)], env=environment)
    return process, f"http://127.0.0.1:{port}/predict"


def answers(url: str, body: bytes) -> np.ndarray:
    """The features, once the server answers."""
    kind, sent = content(url, body)
    for _ in range(240):
        with contextlib.suppress(httpx2.TransportError):
            answer = httpx2.post(url, content=sent, headers={"Content-Type": kind}, trust_env=False)
            if answer.status_code == 200:
                return np.asarray(np.load(io.BytesIO(answer.content)))
        time.sleep(0.25)
    raise TimeoutError(url)


def train(client: Client, recipe: str) -> None:
    digits = client.create_dataset(builtin="digits")
    fields = {} if recipe.startswith("drsae") else {"preprocessing": WHOLE}
    job = client.train(recipe=recipe, dataset=digits, training={"epochs": 1}, publish_as=recipe, **fields).wait()
    assert job.status == "succeeded", job.record["error"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", default=["drsae", "sparse-coding", "inhibition", "tree"])
    given = parser.parse_args()
    images = np.asarray(read_npz(Path(__file__).parents[1] / "pinwheel" / "data" / "digits.npz").images[:IMAGES])
    bodies = [npy(image[None]) for image in images]
    with tempfile.TemporaryDirectory(prefix="pw-bench-") as folder:
        data = Path(folder) / "data"
        settings = {"PINWHEEL_THREADS": "1"}
        with Service(data, port=0, environment=settings) as service, Client(service.url) as client:
            for recipe in given.recipes:
                train(client, recipe)
            bundles = {recipe: service.data_dir / "models" / recipe / "1" for recipe in given.recipes}
            alone = settings | {"PINWHEEL_ENCODE_BATCH": "1"}
            with Service(Path(folder) / "alone", port=0, environment=alone) as one, Client(one.url) as other:
                for recipe in given.recipes:
                    train(other, recipe)
                    measure(recipe, service.url, one.url, bundles[recipe], Path(folder), bodies, given)


def measure(
    recipe: str, url: str, alone: str, bundle: Path, folder: Path, bodies: list[bytes], given: argparse.Namespace
) -> None:
    process, peer = litserve(bundle, folder)
    try:
        path = f"/v1/models/{recipe}/encode?format=npy"
        urls = {"batches": url + path, "one by one": alone + path, "LitServe": peer}
        ours, theirs = (answers(urls[name], bodies[0]) for name in ("batches", "LitServe"))
        assert np.abs(ours.reshape(1, -1) - theirs.reshape(1, -1)).max() < 1e-5
        found: dict[str, list[float]] = {name: [] for name in urls}
        for _ in range(given.rounds):
            for name, address in urls.items():
                found[name].append(uvloop.run(rate(address, bodies, given.seconds)))
        rates = {name: statistics.median(values) for name, values in found.items()}
        told = ", ".join(f"{name} {value:.0f}" for name, value in rates.items())
        ratios = {name: rates["batches"] / rates[name] for name in ("one by one", "LitServe")}
        print(f"{recipe}: images a second: {told}; ratios", {n: round(r, 2) for n, r in ratios.items()}, flush=True)
    finally:
        for part in [*psutil.Process(process.pid).children(recursive=True), process]:
            part.kill()  # told to end, its parts live on without it
        process.wait(30)


if __name__ == "__main__":
    main()
