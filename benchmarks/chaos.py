"""Random `kill -9` over API, workers, trainers and store while jobs and encodes run; what was promised is counted.

    pip install -e '.[dev]' && python benchmarks/chaos.py [--kills 100] [--jobs 30] [--seed 0]

One training of each recipe runs first, undisturbed; then the jobs run while something is killed every second or two.
`pinwheel up` waits longer, up to 15 s, before it starts again what dies again and again; here it is one second, so that
there is more to be killed.
The status is 1 unless every job ended once as `succeeded`, with all events, and with the weights of the undisturbed
run, and every encode was answered with the right features, refused with a documented status, or cut off by a kill.
"""

import argparse
import hashlib
import io
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil

from pinwheel.client import Client
from pinwheel.up import Service, part
from worker.data.store import read_npz

ENVIRONMENT = {
    "PINWHEEL_LEASE_SECONDS": "3",
    "PINWHEEL_REAP_SECONDS": "0.5",
    "PINWHEEL_RESEND_SECONDS": "3",
    "PINWHEEL_CHECKPOINT_SECONDS": "0.2",
    "OMP_NUM_THREADS": "1",
    "PINWHEEL_THREADS": "1",
}
WHOLE = {"patch_size": None, "patches_per_image": None}
SHORT = {"epochs": 12, "batch_size": 50, "learning_rate": 0.01}
KINDS: dict[str, dict[str, Any]] = {
    "drsae": {"model": {"connection": {"units": 36}, "encoder": {"passes": 4}}, "training": SHORT},
    "lista": {"model": {"connection": {"units": 36}}, "training": SHORT | {"epochs": 2}, "preprocessing": WHOLE},
    "psd": {"model": {"connection": {"units": 36}}, "training": SHORT | {"epochs": 2}, "preprocessing": WHOLE},
}
REFUSALS = (429, 503)


class Chaos:
    def __init__(self, service: Service, chance: random.Random) -> None:
        self.service, self.chance = service, chance
        self.killed: Counter[str] = Counter()

    def kill_one(self) -> None:
        """A part that lives, or a trainer."""
        parts = {name: pid for name, pid in self.service.pids.items() if pid is not None}
        for name, pid in list(parts.items()):
            if name.startswith("train"):
                try:
                    children = psutil.Process(pid).children(recursive=True)
                    trainers = [child.pid for child in children if "worker.trainer" in child.cmdline()]
                    parts |= {"trainer": trainers[0]} if trainers else {}
                except psutil.NoSuchProcess:
                    continue
        if not parts:
            return
        name = self.chance.choice(sorted(parts))
        try:
            psutil.Process(parts[name]).kill()
        except psutil.NoSuchProcess:
            return
        self.killed[name.split("-")[0]] += 1


class Encodes(threading.Thread):
    """One image after the other; every answer is the right one, or a refusal."""

    def __init__(self, url: str, body: bytes, right: np.ndarray) -> None:
        super().__init__(daemon=True)
        self.url, self.body, self.right = url, body, right
        self.told: Counter[str] = Counter()
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.02):
            try:
                answer = httpx2.post(self.url, content=self.body, timeout=90, trust_env=False)
            except httpx2.TransportError:
                self.told["cut off"] += 1
                continue
            if answer.status_code == 200:
                found = np.load(io.BytesIO(answer.content))
                self.told["right" if np.allclose(found, self.right, atol=1e-5) else "WRONG"] += 1
            else:
                known = answer.status_code in REFUSALS and "retry-after" in answer.headers
                self.told[f"refused {answer.status_code}" if known else f"UNEXPECTED {answer.status_code}"] += 1


def digest(client: Client, model: str, folder: Path) -> str:
    return hashlib.sha256(client.model(model).weights(folder / "weights.npz", "npz").read_bytes()).hexdigest()


def wait_ready(service: Service) -> None:
    """`Service.wait_ready` gives up on parts that died as often as these."""
    for _ in range(120):
        if service.ready():
            return
        time.sleep(1)
    sys.exit("the service does not come back")


def names(jobs: int) -> list[tuple[str, str]]:
    return [(f"chaos-{number}", list(KINDS)[number % len(KINDS)]) for number in range(jobs)]


def complaints_of(client: Client, job_id: str, name: str, right: str, folder: Path) -> list[str]:
    job = client.job(job_id)
    if job.status != "succeeded":
        return [f"{name} is {job.status}: {job.record.get('error')}"]
    found = []
    numbers, ends = [], 0
    for event in job.events():
        numbers.append(event["seq"])
        ends += event["type"] == "done"
    if numbers != list(range(1, len(numbers) + 1)):
        found.append(f"{name}: the events have gaps")
    if ends != 1:
        found.append(f"{name} ended {ends} times")
    if (versions := client.model(name).record["versions"]) != [1]:
        found.append(f"{name} was published as {versions}")
    if digest(client, name, folder) != right:
        found.append(f"{name} has other weights than undisturbed")
    return found


def calm(client: Client, dataset: Any, folder: Path) -> dict[str, str]:
    """The weights of one training of each kind that nothing disturbs."""
    found = {}
    for kind, fields in KINDS.items():
        client.train(recipe=kind, dataset=dataset, publish_as=f"calm-{kind}", **fields).wait()
        found[kind] = digest(client, f"calm-{kind}", folder)
    return found


def encoding(service: Service, images: np.ndarray) -> Encodes:
    """One image again and again, and what is right."""
    one = io.BytesIO()
    np.save(one, images[:1])
    url = f"{service.url}/v1/models/calm-drsae/encode?format=npy"
    features = np.load(io.BytesIO(httpx2.post(url, content=one.getvalue(), trust_env=False).content))
    return Encodes(url, one.getvalue(), features)


def killing(service: Service, kills: int, chance: random.Random) -> Counter[str]:
    chaos = Chaos(service, chance)
    while chaos.killed.total() < kills:
        time.sleep(chance.uniform(0.5, 2.0))
        chaos.kill_one()
    wait_ready(service)
    return chaos.killed


def ended(client: Client, jobs: dict[str, str], end: float) -> None:
    """Wait for all of them."""
    for name, job_id in jobs.items():
        while not client.job(job_id).record["terminal"]:
            if time.monotonic() > end:
                sys.exit(f"{name} has not ended: {client.job(job_id).record}")
            time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most-minutes", type=float, default=30)
    given = parser.parse_args()
    part.LONGEST_SECONDS = 1.0
    digits = read_npz(Path(__file__).parents[1] / "pinwheel" / "data" / "digits.npz")
    images, labels = np.asarray(digits.images[:1000]), np.asarray(digits.labels[:1000])
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pw-chaos-") as scratch:
        folder = Path(scratch)
        with Service(folder / "data", port=0, environment=ENVIRONMENT) as service, Client(service.url) as client:
            dataset = client.create_dataset(images, labels=labels, name="some")
            right = calm(client, dataset, folder)
            encodes = encoding(service, images)
            kinds = dict(names(given.jobs))
            jobs = {
                name: client.train(recipe=kind, dataset=dataset, publish_as=name, max_attempts=100, **KINDS[kind]).id
                for name, kind in kinds.items()
            }
            encodes.start()
            killed = killing(service, given.kills, random.Random(given.seed))
            print(f"killed {dict(killed)} in {time.monotonic() - start:.0f} s", flush=True)
            ended(client, jobs, start + 60 * given.most_minutes)
            found = [
                each
                for name, job in jobs.items()
                for each in complaints_of(client, job, name, right[kinds[name]], folder)
            ]
            attempts = [client.job(job_id).record["attempt"] for job_id in jobs.values()]
            encodes.stop.set()
            encodes.join(120)
    wrong = [what for what in encodes.told if what.isupper() or "UNEX" in what]
    found += [f"encode: {what} {encodes.told[what]} times" for what in wrong]
    print(f"{len(jobs)} jobs, attempts {sorted(attempts)}; encodes {dict(encodes.told)}")
    print("\n".join(found) or "nothing lost, nothing twice, nothing missing, all weights as undisturbed")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
