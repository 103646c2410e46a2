"""`pinwheel demo`: the whole service on built-in hand-written digits, through the same API that everybody uses.

Trains DrSAE (arXiv 1301.3775), shows how it goes, and leaves the filters, some reconstructions and the sparse features
of the test images in a folder.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pinwheel.builtin import BUILTIN
from pinwheel.client import Client, Job, Model
from pinwheel.errors import PinwheelError
from pinwheel.pictures.images import comparison
from pinwheel.pictures.mosaic import encode_png
from pinwheel.up import Service

# What the demo asks for beside the recipe's defaults: a minute or two on two CPU cores.
DEMO_TRAINING: dict[str, Any] = {"training": {"epochs": 24}}
VALIDATION_SPLIT = 0.1
MODEL = "digits-demo"
RECONSTRUCTED = 16
POLL_SECONDS = 0.5
PLAIN_SECONDS = 5.0


def run_demo(service: Service, out: Path, *, stay: bool) -> None:
    """Start `service`, train, write the results to `out`; with `stay` serve on until interrupted, then stop.

    Raises `CannotStart`, `PinwheelError` or `OSError`; the service is stopped then.
    """
    console = Console(highlight=False, soft_wrap=True)
    console.print("Starting the store, the server and two workers …")
    with service, Client(service.url) as client:
        console.print(f"Ready, dashboard at {service.url}")
        job = _trained(client, console)
        model = client.model(str(job.model))
        out.mkdir(parents=True, exist_ok=True)
        _report(console, model, write_results(model, out), out)
        console.print(f"Dashboard: {service.url}/jobs/{job.id}")
        if stay:
            console.print("Serving on until Ctrl-C.")
            _until_interrupted()


def write_results(model: Model, out: Path) -> float:
    """Filters, reconstructions and features into `out`; gives the share of test images that `model` takes for another.

    The test images are read here for the first and only time: training and its validation never saw them.
    """
    images, labels = _test_digits()
    (out / "filters.png").write_bytes(model.filters("png", order="usage"))
    some = images[:RECONSTRUCTED]
    (out / "reconstruction.png").write_bytes(encode_png(comparison(some, model.reconstruct(some))))
    (out / "features.npz").write_bytes(model.encode_npz(images, sparse=True))
    predictions = model.classify(images).probabilities.argmax(axis=1)
    return float(np.mean(predictions != labels))


def _trained(client: Client, console: Console) -> Job:
    for name in ("digits", "digits-test"):
        record = client.create_dataset(builtin=name)
        console.print(f"Data set {name}: {record['images']['count']} images, {record['id']}")
    job = client.train(
        recipe="drsae", dataset="digits", validation=VALIDATION_SPLIT, publish_as=MODEL, name="demo", **DEMO_TRAINING
    )
    try:
        console.print(f"Training {job.id}, published as {MODEL} when it is done")
        _watch(job, console)
    except BaseException:
        # Or the next demo on this folder would have to wait behind this training.
        with suppress(PinwheelError, OSError):
            job.cancel()
        raise
    if job.status != "succeeded":
        raise PinwheelError(f"{job.id} {job.status}: {(job.record['error'] or {}).get('detail', 'no reason is known')}")
    return job


def _watch(job: Job, console: Console) -> None:
    with _shown(console, job) as show:
        while not job.refresh().terminal:
            show()
            time.sleep(POLL_SECONDS)
        show()


def _report(console: Console, model: Model, error: float, out: Path) -> None:
    _, labels = _test_digits()
    console.print(f"\nModel {model.id}: {error:.2%} of {len(labels)} test images are taken for another digit.")
    for name, what in (
        ("filters.png", "what each unit adds to an image, most used first"),
        ("reconstruction.png", "test images, their reconstructions, the difference"),
        ("features.npz", "sparse features of the test images, for scipy.sparse.load_npz"),
    ):
        console.print(f"  {out / name}   {what}")


def _test_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(BUILTIN["digits-test"], allow_pickle=False) as archive:
        return archive["images"][..., None], archive["labels"].astype(np.int64)


@contextmanager
def _shown(console: Console, job: Job) -> Iterator[Callable[[], None]]:
    """A live bar on a terminal, a plain line now and then elsewhere; call what is yielded after each refresh."""
    if not console.is_terminal:
        yield _PlainLines(console, job)
        return
    columns = (
        BarColumn(bar_width=24),
        TextColumn("step"),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress, progress.add_task("training", total=None, numbers="waiting for a worker"), job)


class _Bar:
    def __init__(self, progress: Progress, task: TaskID, job: Job) -> None:
        self._progress, self._task, self._job = progress, task, job

    def __call__(self) -> None:
        at = self._job.record["progress"]
        self._progress.update(
            self._task, completed=at["step"], total=at["total_steps"], numbers=_numbers(self._job.record)
        )


class _PlainLines:
    def __init__(self, console: Console, job: Job) -> None:
        self._console, self._job = console, job
        self._next = 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self._next or self._job.terminal:
            self._next = time.monotonic() + PLAIN_SECONDS
            at = self._job.record["progress"]
            self._console.print(
                f"{self._job.status}: step {at['step']} of {at['total_steps']}  {_numbers(self._job.record)}"
            )


def _numbers(record: dict[str, Any]) -> str:
    """The metrics that tell most, as far as there are any yet."""
    names = {"loss": "loss", "unexplained_variance": "unexplained variance", "classification_error": "error"}
    metrics = record["metrics"]
    shown = [f"{label} {metrics[name]:.3f}" for name, label in names.items() if name in metrics]
    return "  ".join(shown)


def _until_interrupted() -> None:
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
