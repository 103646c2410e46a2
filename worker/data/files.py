"""Files that appear whole or not at all: written beside, synced, renamed."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    # cloned to the layout that the file has: a view would save its whole storage or be refused
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, beside, metadata)
    sync(beside)
    beside.rename(path)
    sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")
    sync(beside)
    beside.rename(path)


def put_folder(beside: Path, folder: Path) -> None:
    """Give a finished folder its name; one that is there already is replaced."""
    if folder.exists():
        shutil.rmtree(folder)
    sync(beside)
    beside.rename(folder)
    sync(folder.parent)


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
