"""A job as the client sees it."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pinwheel.client.bodies import read_features, read_npy
from pinwheel.client.connection import AsyncConnection, Connection, Link
from pinwheel.client.downloads import saved
from pinwheel.client.events import DeadlinePassed, EventStream
from pinwheel.client.notebook import card, quietly
from pinwheel.client.progress import shown
from pinwheel.client.steps import Awaited, Blocking, Emit, Series, Steps, Tell, Work, chained, operation, series

Record = dict[str, Any]


class JobMethods:
    """`record` is the job as the server last told it; `refresh` asks again."""

    _connection: Link
    record: Record

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def status(self) -> str:
        return str(self.record["status"])

    @property
    def terminal(self) -> bool:
        """Whether the job has ended: succeeded, failed or cancelled."""
        return bool(self.record["terminal"])

    @property
    def model(self) -> str | None:
        """The published version, `name@3`, once there is one."""
        found: str | None = self.record["model"]
        return found

    @chained
    def refresh(self) -> Steps[None]:
        self.record = yield from self._connection.json("GET", self._path)

    @series
    def events(self, after: int = 0) -> Series[Record]:
        """The job's events behind number `after`, as they happen, until `done`. A broken connection is taken up again.

        Raises `ConnectionError` when the server stays away.
        """
        return EventStream(self._connection, self._path, after, None).each(Emit)

    @chained
    def wait(
        self,
        timeout_seconds: float | None = None,
        on_event: Callable[[Record], object] | None = None,
        progress: bool = False,
    ) -> Steps[None]:
        """Return when the job has ended, however it ended. `on_event` gets every event. Raises `TimeoutError`.

        `progress`: show on stderr how far it is.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        try:
            with shown(self.id, progress) as show:
                told = partial(Tell, _each(show, on_event))
                yield from EventStream(self._connection, self._path, 0, deadline).each(told)
        except DeadlinePassed:
            self.record = yield from self._connection.json("GET", self._path)
            raise TimeoutError(f"{self.id} had not ended after {timeout_seconds} s: {self.status}") from None
        self.record = yield from self._connection.json("GET", self._path)

    @operation
    def metrics(self, from_step: int = 0, max_points: int = 2000) -> Steps[Record]:
        """The history: `columns` holds a list for `step`, `epoch` and each metric."""
        params = {"from_step": from_step, "max_points": max_points}
        return self._connection.json("GET", f"{self._path}/metrics", params=params)

    @operation
    def filters(self, /, step: int | None = None, format: str = "png", **view: Any) -> Steps[Any]:
        """The filters now, or at `step`: bytes of a picture, an array (units, H, W, C) for npy, a dict for json.

        `view`: cols, scale, pad, normalize, order, kind.
        """
        return fetch_filters(self._connection, self._path, format, {"step": step, **view})

    @chained
    def cancel(self) -> Steps[None]:
        return self._command("cancel")

    @chained
    def pause(self) -> Steps[None]:
        return self._command("pause")

    @chained
    def resume(self) -> Steps[None]:
        return self._command("resume")

    @operation
    def result(self, format: str = "npz") -> Steps[Any]:
        """Features of an encoding job: a sparse matrix or an array for npz, an array for npy, a dict for json.

        Bytes for arrow, parquet and safetensors.
        """
        answer = yield from self._connection.send("GET", f"{self._path}/result", params={"format": format})
        readers: dict[str, Callable[[bytes], Any]] = {"npz": read_features, "npy": read_npy, "json": json.loads}
        if format not in readers:
            return answer.content
        return (yield Work(partial(readers[format], answer.content)))

    @operation
    def download(self, path: str | Path, format: str = "npz") -> Steps[Path]:
        """Write the features of an encoding job to a file. A download that breaks goes on where it stopped."""
        return saved(self._connection, f"{self._path}/result", {"format": format}, Path(path))

    @operation
    def delete(self) -> Steps[None]:
        """Forget the job, which must have ended. What it published stays."""
        yield from self._connection.send("DELETE", self._path)

    @property
    def _path(self) -> str:
        return f"/v1/jobs/{self.id}"

    def _command(self, name: str) -> Steps[None]:
        self.record = yield from self._connection.create(f"{self._path}/{name}")

    def _card(self, picture: bytes | None = None) -> str:
        progress = self.record.get("progress") or {}
        rows = {
            "status": self.status,
            "recipe": self.record.get("recipe"),
            "data set": self.record.get("dataset"),
            "model": self.model,
            "step": f"{progress.get('step')} of {progress.get('total_steps')}" if progress else None,
            **(self.record.get("metrics") or {}),
            "error": (self.record.get("error") or {}).get("detail"),
        }
        return card(f"Job {self.id}", rows, picture)


class Job(JobMethods, Blocking):
    __doc__ = JobMethods.__doc__

    def __init__(self, connection: Connection, record: Record) -> None:
        self._connection: Connection = connection
        self.record = record

    def _repr_html_(self) -> str:
        return self._card(quietly(lambda: self.filters(order="usage", scale=1)))


class AsyncJob(JobMethods, Awaited):
    """A `Job` whose methods are awaited; `events` is for `async for`."""

    def __init__(self, connection: AsyncConnection, record: Record) -> None:
        self._connection: AsyncConnection = connection
        self.record = record

    def _repr_html_(self) -> str:
        return self._card()


def _each(show: Callable[[Record], None], on_event: Callable[[Record], object] | None) -> Callable[[Record], object]:
    """What is done with every event; what `on_event` gives may be to be awaited."""

    def take(event: Record) -> object:
        show(event)
        return on_event(event) if on_event else None

    return take


def fetch_filters(link: Link, path: str, format: str, view: Record, of_unit: str = "") -> Steps[Any]:
    """Bytes, an array for npy, a dict for json: of all filters, or of what `of_unit` names below them."""
    params = {name: value for name, value in {"format": format, **view}.items() if value is not None}
    answer = yield from link.send("GET", f"{path}/filters{of_unit}", params=params)
    if format == "json":
        return answer.json()
    return read_npy(answer.content) if format == "npy" else answer.content
