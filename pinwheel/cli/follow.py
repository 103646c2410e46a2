"""Following a job until it ends: how far it is, its measures and, where the terminal can, its filters as they form."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer

from pinwheel.cli.session import EXIT_OF, INTERRUPTED, fail, note

if TYPE_CHECKING:
    from rich.console import Group

    from pinwheel.client import Job

Event = dict[str, Any]
PLAIN_SECONDS = 5.0
MEASURES = ("loss", "unexplained_variance", "classification_error", "l0", "dead_units")
LEAST_COLUMNS, LEAST_ROWS = 40, 16


def follow(job: "Job", *, as_json: bool, picture: bool) -> None:
    """Ends the command with the status that the job's end stands for. Ctrl-C leaves the job alone."""
    show: Callable[[Event], None]
    try:
        if as_json:
            job.wait(on_event=lambda event: typer.echo(json.dumps(event)))
        elif sys.stderr.isatty():
            _on_terminal(job, picture)
        else:
            show = _Lines()
            job.wait(on_event=show)
    except KeyboardInterrupt:
        note(
            f"\nDetached; {job.id} goes on.\n  follow it again   pinwheel job follow {job.id}\n"
            f"  cancel it         pinwheel job cancel {job.id}"
        )
        raise typer.Exit(INTERRUPTED) from None
    _ended(job, as_json)


def _ended(job: "Job", as_json: bool) -> None:
    status, error = job.status, job.record.get("error") or {}
    if status == "succeeded" and not as_json:
        typer.echo(job.model or job.id)
    if status != "succeeded":
        hint = f"\n{error['hint']}" if error.get("hint") else ""
        fail(
            f"{job.id} {status}: {error.get('detail') or job.record.get('status_reason') or ''}{hint}", EXIT_OF[status]
        )
    note(f"{job.id} {status}")


class _Lines:
    """A line now and then, for logs."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        data = event["data"]
        if event["type"] == "status":
            note(f"{data.get('status')} {data.get('reason') or ''}".rstrip())
        if event["type"] == "alert":
            note(f"alert: {data.get('detail')}")
        if event["type"] == "metrics" and time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_SECONDS
            note(f"step {data['step']}: {measures(data)}")


def measures(data: Event) -> str:
    return ", ".join(f"{name} {data[name]:.4g}" for name in MEASURES if isinstance(data.get(name), int | float))


def _on_terminal(job: "Job", picture: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        job.wait(on_event=_Screen(job, live, picture and _can_draw(console)))


def _can_draw(console: Any) -> bool:
    size = console.size
    return bool(console.color_system == "truecolor" and size.width >= LEAST_COLUMNS and size.height >= LEAST_ROWS)


class _Screen:
    """Bar, measures and mosaic, drawn anew at most a few times a second."""

    def __init__(self, job: "Job", live: Any, picture: bool) -> None:
        self._job, self._live, self._picture = job, live, picture
        self._status, self._last = job.status, {"step": 0}
        self._total = job.record["progress"].get("total_steps")
        self._mosaic: Any = None
        self._drawn = 0.0

    def __call__(self, event: Event) -> None:
        kind, data = event["type"], event["data"]
        if kind in ("status", "done"):
            self._status = data.get("status", self._status)
        elif kind == "metrics":
            self._last = data
        elif kind == "preview" and self._picture:
            self._fetch(data.get("step"))
        if kind != "metrics" or time.monotonic() - self._drawn > 0.2:
            self._drawn = time.monotonic()
            self._live.update(self._screen(), refresh=True)

    def _fetch(self, step: int | None) -> None:
        from pinwheel.cli.mosaic import blocks
        from pinwheel.errors import PinwheelError

        size = self._live.console.size
        with suppress(PinwheelError):  # the picture may be gone by now; the next one comes
            png = self._job.filters(step=step, scale=1)
            self._mosaic = blocks(png, size.width - 2, size.height - 6)

    def _screen(self) -> "Group":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        step = self._last["step"]
        parts: list[Any] = [] if self._mosaic is None else [self._mosaic]
        parts.append(Text(f"{self._job.id}  {self._status}  step {step} of {self._total or '?'}"))
        parts.append(Text(measures(self._last), style="dim"))
        parts.append(ProgressBar(total=self._total or 1, completed=step))  # last: rich loses what comes behind it
        return Group(*parts)
