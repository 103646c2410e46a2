"""What the service costs: samples per second of a training through it, against the same torch loop called directly.

    python benchmarks/service_overhead.py --mnist FOLDER [--rounds 3] [--epochs 2]

FOLDER holds MNIST's four IDX files as they are distributed (gzip). Uploads the 60 000 training digits over HTTP, then
trains `drsae` (400 units, 11 passes, batch 100) in turn through the service and by the trainer process alone, on the
same stored data set. Prints the ratio of each round and the median, how long `GET /v1/jobs/{id}` took meanwhile
(four a second), and how much the server's memory grew during a 47 MB upload.
"""

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from pinwheel.client import Client
from pinwheel.recipes import find
from pinwheel.specs import TrainSpec, merge
from pinwheel.up import Service

POLL_SECONDS = 0.25  # as a page that is looked at; each read also costs the training a little


def training(epochs: int) -> dict[str, Any]:
    return {"epochs": epochs, "batch_size": 100, "seed": 0}


def rate(points: list[tuple[float, int]], batch: int) -> float:
    """Samples per second between the first and the last (seconds, step)."""
    (start, first), (end, last) = points[0], points[-1]
    return (last - first) * batch / (end - start)


def through_service(client: Client, epochs: int) -> tuple[float, list[float]]:
    """Samples per second by the times of the events, and the seconds that reading the job took meanwhile."""
    job = client.train(recipe="drsae", dataset="mnist", validation="mnist-test", training=training(epochs))
    seconds: list[float] = []
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(POLL_SECONDS):
            start = time.perf_counter()
            client.job(job.id)
            seconds.append(time.perf_counter() - start)

    poller = threading.Thread(target=poll)
    poller.start()
    job.wait()
    ended.set()
    poller.join()
    points = [
        (datetime.fromisoformat(event["time"]).timestamp(), event["data"]["step"])
        for event in job.events()
        if event["type"] == "metrics"
    ]
    return rate(points, 100), seconds


def direct(folder: Path, train: Path, test: Path, epochs: int) -> float:
    """Samples per second of the trainer process alone, by the times of its lines."""
    spec = TrainSpec.model_validate(merge(find("drsae").spec.model_dump(), {"training": training(epochs)}))
    plan = {
        "spec": spec.model_dump(mode="json"),
        "dataset": str(train),
        "validation": str(test),
        "split": None,
        "out": str(folder),
        "checkpoint": None,
        "token": 1,
        "threads": 0,
        "checkpoint_seconds": 20.0,
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "worker.trainer", str(folder / "plan.json")]
    points: list[tuple[float, int]] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        for line in child.stdout:
            message = json.loads(line)
            if message["type"] == "metrics":
                points.append((time.time(), message["step"]))
    return rate(points, 100)


def upload(service: Service, client: Client, mnist: Path) -> float:
    """Upload both parts; gives the growth of the server's memory in megabytes while 47 MB went in unpacked."""
    api = psutil.Process(service.pids["api"])
    images = gzip.decompress((mnist / "train-images-idx3-ubyte.gz").read_bytes())
    before = peak = api.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, api.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "train-images-idx3-ubyte"
        plain.write_bytes(images)
        client.create_dataset(plain, labels=mnist / "train-labels-idx1-ubyte.gz", name="mnist")
    done.set()
    watcher.join()
    client.create_dataset(
        mnist / "t10k-images-idx3-ubyte.gz", labels=mnist / "t10k-labels-idx1-ubyte.gz", name="mnist-test"
    )
    return (peak - before) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pw-bench-") as folder:
        start = time.perf_counter()
        with Service(Path(folder) / "data", port=0) as service, Client(service.url) as client:
            print(f"ready after {time.perf_counter() - start:.1f} s")
            print(f"the server grew by {upload(service, client, asked.mnist):.0f} MB during the upload")
            stored = [service.data_dir / "datasets" / client.dataset(name)["id"] for name in ("mnist", "mnist-test")]
            ratios, reads = [], []
            for number in range(asked.rounds):
                out = Path(folder) / f"direct-{number}"
                out.mkdir()
                served, seconds = through_service(client, asked.epochs)
                alone = direct(out, stored[0], stored[1], asked.epochs)
                ratios.append(served / alone)
                reads += seconds
                print(f"round {number + 1}: service {served:.0f}/s, alone {alone:.0f}/s, ratio {served / alone:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f}")
    p50, p95, p99 = np.percentile(np.array(reads) * 1000, [50, 95, 99])
    print(f"GET /v1/jobs/{{id}} while training, {len(reads)} reads: p50 {p50:.1f} p95 {p95:.1f} p99 {p99:.1f} ms")


if __name__ == "__main__":
    main()
