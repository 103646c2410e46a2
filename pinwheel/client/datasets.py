"""A data set as the client sees it."""

from collections.abc import Iterator, Mapping
from typing import Any

from pinwheel.client.connection import AsyncConnection, Connection, Link
from pinwheel.client.notebook import card, quietly
from pinwheel.client.steps import Awaited, Blocking, Steps, operation

Record = dict[str, Any]


class DatasetMethods(Mapping[str, Any]):
    """A data set's record, to be read like a dict (`dataset["images"]["count"]`), with what can be done with it.

    `len(dataset.record)` and iteration are those of the record; `count` is how many images there are.
    """

    _connection: Link
    record: Record

    def __getitem__(self, name: str) -> Any:
        return self.record[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.record)

    def __len__(self) -> int:
        return len(self.record)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.record.get('name') or ''}>".replace(" >", ">")

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def name(self) -> str | None:
        found: str | None = self.record.get("name")
        return found

    @property
    def count(self) -> int:
        """Images in it."""
        return int(self.record["images"]["count"])

    @property
    def classes(self) -> int | None:
        """Classes of its labels; None without labels."""
        labels = self.record["labels"]
        return None if labels is None else int(labels["classes"])

    @operation
    def preview(self) -> Steps[bytes]:
        """Some of its images, as a PNG."""
        return preview(self._connection, self._path)

    @operation
    def delete(self) -> Steps[None]:
        """Refused while a job that uses it has not ended."""
        yield from self._connection.send("DELETE", self._path)

    @property
    def _path(self) -> str:
        return f"/v1/datasets/{self.id}"

    def _card(self, picture: bytes | None = None) -> str:
        images = self.record.get("images") or {}
        labels = self.record.get("labels") or {}
        shape = images.get("shape")
        rows = {
            "name": self.name,
            "images": images.get("count"),
            "shape": " × ".join(map(str, shape)) if shape else "of different sizes",
            "classes": ", ".join(labels.get("names") or []) or labels.get("classes"),
            "skipped": len(self.record.get("skipped") or []) or None,
        }
        return card(f"Data set {self.id}", rows, picture)


class Dataset(DatasetMethods, Blocking):
    __doc__ = DatasetMethods.__doc__

    def __init__(self, connection: Connection, record: Record) -> None:
        self._connection: Connection = connection
        self.record = record

    def _repr_html_(self) -> str:
        return self._card(quietly(self.preview))


class AsyncDataset(DatasetMethods, Awaited):
    """A `Dataset` whose methods are awaited."""

    def __init__(self, connection: AsyncConnection, record: Record) -> None:
        self._connection: AsyncConnection = connection
        self.record = record

    def _repr_html_(self) -> str:
        return self._card()


def preview(link: Link, path: str) -> Steps[bytes]:
    content: bytes = (yield from link.send("GET", f"{path}/preview")).content
    return content
