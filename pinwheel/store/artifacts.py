"""The artifact folder: everything too large for Redis. Files appear whole or not at all.

datasets/{dataset}/       images.npy  [offsets.npy, shapes.npy]  [labels.npy]  manifest.json  record.json
jobs/{job}/               checkpoints/{token}-{step}.safetensors   previews/{step:09d}.safetensors   result/
                          job.json.gz once it has ended
inputs/{job}/             images of an encode request that became a job, like a data set; gone when it ends
models/{name}/{version}/  weights.safetensors  units.safetensors  [patches.safetensors]  model.json
staging/                  uploads and results on their way; emptied at every start
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RECORD = "record.json"  # of a data set, as the registry has it


class Artifacts:
    """One folder. Paths inside it are made from our own ids only, never from a client's text."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.staging = self.root / "staging"
        self.inputs = self.root / "inputs"
        self.staging.mkdir(parents=True, exist_ok=True)

    def dataset(self, dataset_id: str) -> Path:
        return self.root / "datasets" / dataset_id

    def input(self, job_id: str) -> Path:
        """The images of an encode request that became this job."""
        return self.inputs / job_id

    def job(self, job_id: str) -> Path:
        return self.root / "jobs" / job_id

    def model(self, name: str, version: int) -> Path:
        return self.root / "models" / name / str(version)

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A fresh folder under `staging`, gone at the end unless `adopt` moved it."""
        folder = Path(tempfile.mkdtemp(dir=self.staging))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def adopt(self, folder: Path, target: Path) -> None:
        """Move a finished folder to its place. An older folder there, from an attempt that died, is replaced."""
        sync_tree(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
        sync_folder(target.parent)

    def remove(self, folder: Path) -> None:
        """Take a folder away; readers that hold its files open keep them."""
        if not folder.exists():
            return
        grave = Path(tempfile.mkdtemp(dir=self.staging))
        folder.rename(grave / folder.name)
        shutil.rmtree(grave, ignore_errors=True)

    def room(self, least_free_bytes: int) -> str | None:
        """What stands against writing something new, or None."""
        try:
            with tempfile.TemporaryFile(dir=self.staging) as file:
                file.write(b"0")
            free = shutil.disk_usage(self.staging).free
        except FileNotFoundError:
            return f"{self.staging.name} is missing"
        except OSError as error:
            return f"it cannot be written to: {error.strerror}"
        if free < least_free_bytes:
            return f"{free} bytes are free, {least_free_bytes} are to be left (PINWHEEL_MIN_FREE_BYTES)"
        return None

    def empty_staging(self) -> None:
        for leftover in self.staging.iterdir():
            shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` at `path` so that a reader sees the old file or the new one, never half of it."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")
    put_in_place(beside, path)


def put_in_place(beside: Path, path: Path) -> None:
    """Sync a finished temporary file and rename it to its name."""
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)
