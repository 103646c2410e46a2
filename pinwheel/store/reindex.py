"""What the artifact folder holds, back into a store that has lost it: data sets, models, and jobs that had ended.

What the store knows already stays as it is. Jobs that had not ended are lost with their store: only it knew of them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pinwheel.errors import NotFound
from pinwheel.store import keys
from pinwheel.store.artifacts import RECORD, Artifacts
from pinwheel.store.connection import Client
from pinwheel.store.datasets import Datasets
from pinwheel.store.filing import filed, put_back
from pinwheel.store.jobs import check_id
from pinwheel.store.models import split
from pinwheel.times import timestamp

# Versions that are given away from now on come after those that are there.
AT_LEAST = """
local reserved = tonumber(redis.call('HGET', KEYS[1], 'reserved') or '0')
if tonumber(ARGV[1]) > reserved then redis.call('HSET', KEYS[1], 'reserved', ARGV[1]) end
"""

UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError)


@dataclass
class Found:
    """How many were put back, how many the store knew, and the folders that cannot be read, with why."""

    datasets: int = 0
    models: int = 0
    jobs: int = 0
    known: int = 0
    unreadable: list[str] = field(default_factory=list)


def reindex(client: Client, artifacts: Artifacts) -> Found:
    """Safe to run again, and beside a service at work."""
    found = Found()
    for kind, work in (("datasets", _dataset), ("models", _model), ("jobs", _job)):
        for folder in _folders(artifacts.root / kind, deep=kind == "models"):
            try:
                new = work(client, artifacts, folder)
            except UNREADABLE as error:
                found.unreadable.append(f"{folder.relative_to(artifacts.root)}: {type(error).__name__}: {error}")
                continue
            if new:
                setattr(found, kind, getattr(found, kind) + 1)
            elif new is False:
                found.known += 1
    return found


def _folders(root: Path, *, deep: bool) -> Iterator[Path]:
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.is_dir():
            yield from _folders(folder, deep=False) if deep else [folder]


def _dataset(client: Client, artifacts: Artifacts, folder: Path) -> bool:
    if client.exists(keys.dataset(folder.name)):
        return False
    if (folder / RECORD).exists():
        record = json.loads((folder / RECORD).read_text())
    else:  # of a version before records were kept beside the images: its name is lost
        manifest = json.loads((folder / "manifest.json").read_text())
        born = timestamp(datetime.fromtimestamp(folder.stat().st_mtime, UTC))
        record = {"id": folder.name, "name": None, "status": "ready", **manifest, "created_at": born}
    if record["id"] != folder.name:
        raise ValueError(f"it says that it is {record['id']!r}")
    return bool(Datasets(client).add(record)["id"] == folder.name)


def _model(client: Client, artifacts: Artifacts, folder: Path) -> bool:
    record: dict[str, Any] = json.loads((folder / "model.json").read_text())
    name, version = record["name"], int(record["version"])
    if artifacts.model(name, version) != folder:
        raise ValueError(f"it says that it is {name}@{version}")
    try:
        split(f"{name}@{version}")
    except NotFound as error:
        raise ValueError(str(error)) from None
    text = json.dumps(record, allow_nan=False, separators=(",", ":"))
    if not client.hsetnx(keys.model(name), f"v{version}", text):
        return False
    client.zadd(keys.MODELS, {name: 0})
    client.eval(AT_LEAST, 1, keys.model(name), version)
    return True


def _job(client: Client, artifacts: Artifacts, folder: Path) -> bool | None:
    """None for one that had not ended."""
    try:
        check_id(folder.name)
    except NotFound as error:
        raise ValueError(str(error)) from None
    document = filed(artifacts, folder.name)
    if document is None:
        return False if client.exists(keys.job(folder.name)) else None
    if document["fields"]["id"] != folder.name:
        raise ValueError(f"it says that it is {document['fields']['id']!r}")
    return put_back(client, document)
