"""A job as the client sees it."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from pinwheel.client.bodies import read_features, read_npy
from pinwheel.client.connection import Connection
from pinwheel.client.downloads import fetch
from pinwheel.client.events import DeadlinePassed, EventStream

Record = dict[str, Any]


class Job:
    """`record` is the job as the server last told it; `refresh` asks again."""

    def __init__(self, connection: Connection, record: Record) -> None:
        self._connection = connection
        self.record = record

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.status}>"

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

    def refresh(self) -> Self:
        self.record = self._connection.json("GET", self._path)
        return self

    def events(self, after: int = 0) -> Iterator[Record]:
        """The job's events behind number `after`, as they happen, until `done`. A broken connection is taken up again.

        Raises `ConnectionError` when the server stays away.
        """
        return iter(EventStream(self._connection, self._path, after, None))

    def wait(self, timeout_seconds: float | None = None, on_event: Callable[[Record], object] | None = None) -> Self:
        """Return when the job has ended, however it ended. `on_event` gets every event. Raises `TimeoutError`."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        try:
            for event in EventStream(self._connection, self._path, 0, deadline):
                if on_event:
                    on_event(event)
        except DeadlinePassed:
            raise TimeoutError(f"{self.id} had not ended after {timeout_seconds} s: {self.refresh().status}") from None
        return self.refresh()

    def metrics(self, from_step: int = 0, max_points: int = 2000) -> Record:
        """The history: `columns` holds a list for `step`, `epoch` and each metric."""
        return self._connection.json(
            "GET", f"{self._path}/metrics", params={"from_step": from_step, "max_points": max_points}
        )

    def filters(self, step: int | None = None, format: str = "png", **view: Any) -> Any:
        """The filters now, or at `step`: bytes of a picture, an array (units, H, W, C) for npy, a dict for json.

        `view`: cols, scale, pad, normalize, order, kind.
        """
        return fetch_filters(self._connection, self._path, format, {"step": step, **view})

    def cancel(self) -> Self:
        return self._command("cancel")

    def pause(self) -> Self:
        return self._command("pause")

    def resume(self) -> Self:
        return self._command("resume")

    def result(self, format: str = "npz") -> Any:
        """Features of an encoding job: a sparse matrix or an array for npz, an array for npy, a dict for json.

        Bytes for arrow, parquet and safetensors.
        """
        answer = self._connection.send("GET", f"{self._path}/result", params={"format": format})
        readers: dict[str, Callable[[bytes], Any]] = {"npz": read_features, "npy": read_npy, "json": json.loads}
        return readers[format](answer.content) if format in readers else answer.content

    def download(self, path: str | Path, format: str = "npz") -> Path:
        """Write the features of an encoding job to a file. A download that breaks goes on where it stopped."""
        target = Path(path)
        beside = target.with_name(target.name + ".part")
        fetch(self._connection, f"{self._path}/result", {"format": format}, beside)
        return beside.replace(target)

    def delete(self) -> None:
        """Forget the job, which must have ended. What it published stays."""
        self._connection.send("DELETE", self._path)

    @property
    def _path(self) -> str:
        return f"/v1/jobs/{self.id}"

    def _command(self, name: str) -> Self:
        self.record = self._connection.create(f"{self._path}/{name}")
        return self


def fetch_filters(connection: Connection, path: str, format: str, view: Record) -> Any:
    params = {name: value for name, value in {"format": format, **view}.items() if value is not None}
    answer = connection.send("GET", f"{path}/filters", params=params)
    if format == "json":
        return answer.json()
    return read_npy(answer.content) if format == "npy" else answer.content
