"""MNIST's IDX files for the benchmarks: read, stored as data sets; and trainings on them that are kept."""

import gzip
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.specs import StackSpec, TrainSpec
from worker.data.reader import from_arrays
from worker.data.store import write_dataset
from worker.training.loop import Message, train
from worker.training.plan import Plan

HELD_OUT = 10_000  # the last of the training digits
SILENCE_SECONDS = 30
Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]


def idx(path: Path) -> NDArray[np.uint8]:
    content = gzip.decompress(path.read_bytes())
    sides = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(content[3])]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(sides)).reshape(sides)


def mnist(folder: Path, part: str) -> Labelled:
    """Images (n, 28, 28, 1) and labels (n,)."""
    images, labels = (next(folder.glob(f"{part}-{kind}-idx*.gz")) for kind in ("images", "labels"))
    return idx(images)[..., None], idx(labels).astype(np.int64)


def stored(data: Labelled, folder: Path) -> Path:
    if not folder.exists():
        write_dataset(from_arrays(*data), folder)
    return folder


def run(spec: TrainSpec | StackSpec, data: Path, out: Path, threads: int, **more: Any) -> tuple[Path, float]:
    """The bundle of a training, and the seconds it took; what is there already is used again."""
    bundle, seconds = out / "bundles" / "1", out / "seconds.json"
    if not seconds.exists():
        start = told = time.time()

        def report(message: Message) -> None:
            nonlocal told
            if message["type"] == "metrics" and time.time() - told > SILENCE_SECONDS:
                told = time.time()
                shown = {name: round(value, 4) for name, value in message["values"].items()}
                print(f"  {out.name} {message['step']} {time.time() - start:.0f} s {shown}", flush=True)

        train(Plan(spec=spec, dataset=data, out=out, threads=threads, **more), report, lambda: None)
        seconds.write_text(json.dumps(time.time() - start))
    return bundle, json.loads(seconds.read_text())
