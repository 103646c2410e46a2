"""Files that appear whole or not at all: written beside, synced, renamed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], finish: Callable[[Path], None] = lambda _: None
) -> None:
    """A safetensors file; equal tensors and metadata give equal bytes. `finish` sees it before it gets its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    with beside.open("wb") as file:
        start = 8 + int.from_bytes(content[:8], "little")
        file.write(sorted_header(content[8:start]))
        file.write(memoryview(content)[start:])
    finish(beside)
    sync(beside)
    beside.rename(path)
    sync(path.parent)


def read_tensors(path: Path, *, content: bool = True) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file, without its `content` the metadata alone."""
    with safe_open(path, "pt") as file:
        names = file.keys() if content else ()
        return file.metadata() or {}, {name: file.get_tensor(name) for name in names}


def sorted_header(header: bytes) -> bytes:
    """A safetensors header with its length in front and its metadata sorted, which the library leaves in any order."""
    entries = json.loads(header)
    entries["__metadata__"] = dict(sorted(entries["__metadata__"].items()))
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


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
