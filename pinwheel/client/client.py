"""The door: `Client`, and `AsyncClient`, of which everything is awaited."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import quote

from pinwheel.client.bodies import Body, Labels, Source, dataset_body
from pinwheel.client.connection import AsyncConnection, Connection, Link
from pinwheel.client.datasets import AsyncDataset, Dataset, preview
from pinwheel.client.jobs import AsyncJob, Job, JobMethods
from pinwheel.client.models import AsyncModel, Model, ModelMethods
from pinwheel.client.notebook import card
from pinwheel.client.steps import Awaited, Blocking, Emit, Series, Steps, Work, operation, series
from pinwheel.errors import PinwheelError, Unavailable

Record = dict[str, Any]
Named = str | Mapping[str, Any]  # an id or name, or the data set itself

DatasetT = TypeVar("DatasetT")
JobT = TypeVar("JobT")
ModelT = TypeVar("ModelT")

LOCAL = "http://127.0.0.1:8000"


class ClientMethods(Generic[DatasetT, JobT, ModelT]):
    """One service. Errors are those of `pinwheel.errors`; `ConnectionError` and `TimeoutError` say that no answer came.

    `retries`: how often a request is sent again that got no answer, or one that asks to come back later.
    """

    _connection: Link
    _dataset: Callable[[Any, Record], DatasetT]
    _job: Callable[[Any, Record], JobT]
    _model: Callable[[Any, Record], ModelT]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._connection.base_url}>"

    # The server

    @operation
    def health(self) -> Steps[Record]:
        return self._connection.json("GET", "/healthz")

    @operation
    def ready(self) -> Steps[bool]:
        """Whether the service can do all of its work now. Does not wait."""
        try:
            yield from self._connection.open("/readyz")
        except Unavailable:
            return False
        return True

    @operation
    def info(self) -> Steps[Record]:
        """Version, limits and formats."""
        return self._connection.json("GET", "/v1/info")

    @operation
    def workers(self) -> Steps[list[Record]]:
        """The live workers: queues, device, memory, current job."""
        found: list[Record] = (yield from self._connection.json("GET", "/v1/workers"))["data"]
        return found

    @operation
    def recipes(self) -> Steps[list[Record]]:
        found: list[Record] = (yield from self._connection.json("GET", "/v1/recipes"))["data"]
        return found

    @operation
    def recipe(self, name: str) -> Steps[Record]:
        """One recipe with its paper, default spec and schema."""
        return self._connection.json("GET", f"/v1/recipes/{_part(name)}")

    # Data sets

    @operation
    def create_dataset(
        self,
        /,
        data: Source | None = None,
        labels: Labels | None = None,
        *,
        builtin: str | None = None,
        name: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Steps[DatasetT]:
        """Create a data set, or give the one that is there: the same content under the same name is kept once.

        `data`: the path or bytes of a file, the path of a folder of images (the folders in it are their labels), an
        array, or a list of arrays, PIL images, paths and bytes, one image each. `labels`: an array beside an array, an
        array or names beside a list, a file beside a file (IDX). Or `builtin`: `digits`, `digits-test`, `photos`,
        `photos-small`.
        Files are streamed. `options`: color, layout, images_key, labels_key, on_bad_file. A request with an
        `idempotency_key` that was used within a day gives the answer of then.
        """
        if (data is None) == (builtin is None):
            raise ValueError("give either data or builtin")
        create = partial(self._connection.create, "/v1/datasets", idempotency_key)
        if data is None:
            body = {"source": {"type": "builtin", "name": builtin}} | ({"name": name} if name else {})
            return self._dataset(self._connection, (yield from create(json=body)))
        params = {"name": name} if name else {}
        with ExitStack() as stack:
            made: Body = yield Work(partial(dataset_body, stack, data, labels))
            record = yield from create(params=params | options, body=made)
        return self._dataset(self._connection, record)

    @series
    def datasets(self) -> Series[DatasetT]:
        """Every data set, newest first."""
        return self._pages("/v1/datasets", {}, self._dataset)

    @operation
    def dataset(self, name: str) -> Steps[DatasetT]:
        """One data set by id or name."""
        return self._dataset(self._connection, (yield from self._connection.json("GET", _dataset_path(name))))

    @operation
    def dataset_preview(self, name: Named) -> Steps[bytes]:
        """Some of its images, as a PNG."""
        return preview(self._connection, _dataset_path(name))

    @operation
    def delete_dataset(self, name: Named) -> Steps[None]:
        yield from self._connection.send("DELETE", _dataset_path(name))

    # Jobs

    @operation
    def train(
        self,
        /,
        *,
        dataset: Named | None = None,
        recipe: str | None = None,
        validation: Named | float | None = None,
        resume_from: "str | JobMethods | None" = None,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Steps[JobT]:
        """Start a training. `validation`: a data set, or a share such as 0.1.

        `resume_from`: a job, its id, or `id@step`, from whose checkpoint it goes on, in place of data set and recipe.
        `fields`: preprocessing, model, training, stages, resources (each laid over the recipe's), on_top_of,
        publish_as, publish_on_cancel, keep_checkpoint, max_seconds, max_attempts, name, metadata.
        """
        return self._started(_training(dataset, recipe, validation, resume_from, fields), idempotency_key)

    @operation
    def estimate(
        self,
        /,
        *,
        dataset: Named | None = None,
        recipe: str | None = None,
        validation: Named | float | None = None,
        resume_from: "str | JobMethods | None" = None,
        **fields: Any,
    ) -> Steps[Record]:
        """What `train` with the same arguments would do: the resolved spec and an estimate of memory and time."""
        body = _training(dataset, recipe, validation, resume_from, fields)
        return self._connection.json("POST", "/v1/jobs", params={"dry_run": "true"}, json=body)

    @operation
    def encode_dataset(
        self,
        /,
        *,
        model: "str | ModelMethods",
        dataset: Named,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Steps[JobT]:
        """Start the encoding of a whole data set; the job's `result` gives the features.

        `fields`: output ({"format", "sparse"}), layer, passes, pool, stride, max_attempts, name, metadata.
        """
        reference = model.id if isinstance(model, ModelMethods) else model
        body = {"type": "encode", "model": reference, "dataset": _name(dataset), **fields}
        return self._started(body, idempotency_key)

    @series
    def jobs(self, status: str | None = None, type: str | None = None) -> Series[JobT]:
        """Every job, newest first; only those of a state or type where one is given."""
        params = {name: value for name, value in {"status": status, "type": type}.items() if value}
        return self._pages("/v1/jobs", params, self._job)

    @operation
    def job(self, job_id: str) -> Steps[JobT]:
        return self._job(self._connection, (yield from self._connection.json("GET", f"/v1/jobs/{_part(job_id)}")))

    # Models

    @series
    def models(self) -> Series[ModelT]:
        """The newest version of every model."""
        return self._pages("/v1/models", {}, self._model)

    @operation
    def model(self, name: str) -> Steps[ModelT]:
        """The newest version of `name`, or `name@3`."""
        return self._model(self._connection, (yield from self._connection.json("GET", f"/v1/models/{_part(name)}")))

    def _started(self, body: Record, idempotency_key: str | None) -> Steps[JobT]:
        record = yield from self._connection.create("/v1/jobs", idempotency_key, json=body)
        return self._job(self._connection, record)

    def _pages(self, path: str, params: Record, made: Callable[[Any, Record], Any]) -> Series[Any]:
        after: Record = {}
        while True:
            page = yield from self._connection.json("GET", path, params={"limit": 100, **params, **after})
            for record in page["data"]:
                yield Emit(made(self._connection, record))
            if not page["has_more"]:
                return
            after = {"after": page["last_id"]}


class Client(ClientMethods[Dataset, Job, Model], Blocking):
    """May be used from several threads."""

    __doc__ = f"{ClientMethods.__doc__}\n    {__doc__}"
    _dataset, _job, _model = Dataset, Job, Model

    def __init__(
        self, base_url: str = LOCAL, api_key: str | None = None, timeout_seconds: float = 120.0, retries: int = 5
    ) -> None:
        self._connection: Connection = Connection(base_url, api_key, timeout_seconds, retries)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _repr_html_(self) -> str:
        rows: Record = {"address": self._connection.base_url}
        try:
            rows |= {"version": self.info()["version"], "ready": self.ready()}
            rows |= {"models": ", ".join(model.id for model in self.models())}
        except (PinwheelError, OSError) as error:
            rows["error"] = str(error)
        return card("Pinwheel", rows)


class AsyncClient(ClientMethods[AsyncDataset, AsyncJob, AsyncModel], Awaited):
    """The same, awaited: `await client.train(…)`, `async for job in client.jobs()`."""

    _dataset, _job, _model = AsyncDataset, AsyncJob, AsyncModel

    def __init__(
        self, base_url: str = LOCAL, api_key: str | None = None, timeout_seconds: float = 120.0, retries: int = 5
    ) -> None:
        self._connection: AsyncConnection = AsyncConnection(base_url, api_key, timeout_seconds, retries)

    async def close(self) -> None:
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _part(name: str) -> str:
    """A name as one segment of a path."""
    if name in ("", ".", ".."):
        raise ValueError(f"{name!r} is no name")
    return quote(name, safe="@")


def _dataset_path(name: Named) -> str:
    return f"/v1/datasets/{_part(_name(name))}"


def _name(dataset: Named) -> str:
    return dataset if isinstance(dataset, str) else str(dataset["id"])


def _training(
    dataset: Named | None,
    recipe: str | None,
    validation: Named | float | None,
    resume_from: str | JobMethods | None,
    fields: Record,
) -> Record:
    body: Record = {"type": "train", **fields}
    if dataset is not None:
        body["dataset"] = _name(dataset)
    if recipe is not None:
        body["recipe"] = recipe
    if validation is not None:
        body["validation"] = _validation(validation)
    if resume_from is not None:
        body["resume_from"] = resume_from.id if isinstance(resume_from, JobMethods) else resume_from
    return body


def _validation(given: Named | float) -> Record:
    if isinstance(given, Mapping):
        return {"dataset": given["id"]} if "id" in given else dict(given)
    return {"dataset": given} if isinstance(given, str) else {"split": given}
