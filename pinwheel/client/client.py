"""The door: `Client`."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from pinwheel.client.bodies import Source, dataset_body
from pinwheel.client.connection import Connection
from pinwheel.client.jobs import Job
from pinwheel.client.models import Model
from pinwheel.errors import Unavailable

Record = dict[str, Any]


class Client:
    """One service. May be used from several threads. Errors are those of `pinwheel.errors`; `ConnectionError` and
    `TimeoutError` say that no answer came.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        api_key: str | None = None,
        timeout_seconds: float = 120.0,
        retries: int = 5,
    ) -> None:
        self._connection = Connection(base_url, api_key, timeout_seconds, retries)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # The server

    def health(self) -> Record:
        return self._connection.json("GET", "/healthz")

    def ready(self) -> bool:
        """Whether the service can do all of its work now. Does not wait."""
        try:
            with self._connection.stream("/readyz"):
                return True
        except Unavailable:
            return False

    def info(self) -> Record:
        """Version, limits and formats."""
        return self._connection.json("GET", "/v1/info")

    def recipes(self) -> list[Record]:
        found: list[Record] = self._connection.json("GET", "/v1/recipes")["data"]
        return found

    def recipe(self, name: str) -> Record:
        """One recipe with its paper, default spec and schema."""
        return self._connection.json("GET", f"/v1/recipes/{_part(name)}")

    # Data sets

    def create_dataset(
        self,
        data: Source | None = None,
        labels: Source | None = None,
        *,
        builtin: str | None = None,
        name: str | None = None,
        **options: Any,
    ) -> Record:
        """Create a data set from the path or bytes of a file, from an array, or from a built-in one; gives its record.

        Files are streamed. `labels` is an array beside an array, or a file beside a file (IDX). The same content under
        the same name is kept once. `options`: color, layout, images_key, labels_key, on_bad_file.
        """
        if (data is None) == (builtin is None):
            raise ValueError("give either data or builtin")
        if data is None:
            body = {"source": {"type": "builtin", "name": builtin}} | ({"name": name} if name else {})
            return self._connection.create("/v1/datasets", json=body)
        params = {"name": name} if name else {}
        with dataset_body(data, labels) as made:
            return self._connection.create("/v1/datasets", params=params | options, body=made)

    def datasets(self) -> Iterator[Record]:
        """Every data set, newest first."""
        return self._pages("/v1/datasets", {})

    def dataset(self, name: str) -> Record:
        """One data set by id or name."""
        return self._connection.json("GET", f"/v1/datasets/{_part(name)}")

    def dataset_preview(self, name: str) -> bytes:
        """Some of its images, as a PNG."""
        return self._connection.send("GET", f"/v1/datasets/{_part(name)}/preview").content

    def delete_dataset(self, name: str) -> None:
        self._connection.send("DELETE", f"/v1/datasets/{_part(name)}")

    # Jobs

    def train(
        self,
        *,
        dataset: str | Record,
        recipe: str | None = None,
        validation: str | float | Record | None = None,
        **fields: Any,
    ) -> Job:
        """Start a training. `validation`: a data set, or a share such as 0.1.

        `fields`: preprocessing, model, training, stages, resources (each laid over the recipe's), on_top_of,
        publish_as, publish_on_cancel, max_attempts, name, metadata.
        """
        body: Record = {"type": "train", "dataset": _name(dataset), **fields}
        if recipe is not None:
            body["recipe"] = recipe
        if validation is not None:
            body["validation"] = _validation(validation)
        return Job(self._connection, self._connection.create("/v1/jobs", json=body))

    def encode_dataset(self, *, model: str | Model, dataset: str | Record, **fields: Any) -> Job:
        """Start the encoding of a whole data set; `Job.result` gives the features.

        `fields`: output ({"format", "sparse"}), max_attempts, name, metadata.
        """
        reference = model.id if isinstance(model, Model) else model
        body = {"type": "encode", "model": reference, "dataset": _name(dataset), **fields}
        return Job(self._connection, self._connection.create("/v1/jobs", json=body))

    def jobs(self, status: str | None = None, type: str | None = None) -> Iterator[Job]:
        """Every job, newest first; only those of a state or type where one is given."""
        params = {name: value for name, value in {"status": status, "type": type}.items() if value}
        return (Job(self._connection, record) for record in self._pages("/v1/jobs", params))

    def job(self, job_id: str) -> Job:
        return Job(self._connection, self._connection.json("GET", f"/v1/jobs/{_part(job_id)}"))

    # Models

    def models(self) -> Iterator[Model]:
        """The newest version of every model."""
        return (Model(self._connection, record) for record in self._pages("/v1/models", {}))

    def model(self, name: str) -> Model:
        """The newest version of `name`, or `name@3`."""
        return Model(self._connection, self._connection.json("GET", f"/v1/models/{_part(name)}"))

    def _pages(self, path: str, params: Record) -> Iterator[Record]:
        after: Record = {}
        while True:
            page = self._connection.json("GET", path, params={"limit": 100, **params, **after})
            yield from page["data"]
            if not page["has_more"]:
                return
            after = {"after": page["last_id"]}


def _part(name: str) -> str:
    """A name as one segment of a path."""
    if name in ("", ".", ".."):
        raise ValueError(f"{name!r} is no name")
    return quote(name, safe="@")


def _name(dataset: str | Record) -> str:
    return dataset if isinstance(dataset, str) else str(dataset["id"])


def _validation(given: str | float | Record) -> Record:
    if isinstance(given, dict):
        return {"dataset": given["id"]} if "id" in given else given
    return {"dataset": given} if isinstance(given, str) else {"split": given}
