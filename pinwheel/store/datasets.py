"""The registry of data sets: what was uploaded, found by id, by name (the newest of that name) and by content."""

import json
from typing import Any

from pinwheel.errors import InUse, NotFound
from pinwheel.states import TERMINAL, State
from pinwheel.store import keys
from pinwheel.store.connection import Client
from pinwheel.store.pages import Page, page_of_index
from pinwheel.store.scripts import Scripts

MOST_NAMES = 20  # of those that a refusal tells
LIVE = [state for state in State if state not in TERMINAL]


def used_by(dataset_id: str) -> str:
    """How a job names this data set among the things it uses."""
    return f"{keys.dataset(dataset_id)}#record"


class Datasets:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.scripts = Scripts(client)

    def add(self, record: dict[str, Any]) -> dict[str, Any]:
        """Keep `record` unless the same content is there under the same name; gives the one that is kept."""
        content = f"{record['digest']} {record['name'] or ''}"
        if self.client.hsetnx(keys.DIGESTS, content, record["id"]):
            pipeline = self.client.pipeline()
            pipeline.hset(
                keys.dataset(record["id"]), mapping={"record": json.dumps(record), "name": record["name"] or ""}
            )
            pipeline.zadd(keys.DATASETS, {record["id"]: 0})
            pipeline.execute()
            return record
        kept = self.client.hget(keys.DIGESTS, content)
        try:
            return self.get(kept.decode()) if kept else self.add(record)
        except NotFound:  # an upload that died between the two writes
            self.client.hdel(keys.DIGESTS, content)
            return self.add(record)

    def get(self, dataset_id: str) -> dict[str, Any]:
        raw = self.client.hget(keys.dataset(dataset_id), "record")
        if raw is None:
            raise NotFound(f"There is no data set {dataset_id!r}.")
        record: dict[str, Any] = json.loads(raw)
        return record

    def find(self, name: str) -> dict[str, Any]:
        """By id, or else the newest data set of this name; `NotFound` names what there is."""
        if self.client.exists(keys.dataset(name)):
            return self.get(name)
        names: set[str] = set()
        page, more = Page(limit=100), True
        while more:
            records, more = self.listed(page)
            for record in records:
                if record["name"] == name:
                    return record
                if record["name"] and len(names) < MOST_NAMES:
                    names.add(record["name"])
            page = Page(after=records[-1]["id"] if records else None, limit=100)
        raise NotFound(f"There is no data set {name!r}; there are: {', '.join(sorted(names)) or 'none yet'}.")

    def listed(self, page: Page) -> tuple[list[dict[str, Any]], bool]:
        def read(ids: list[str]) -> list[dict[str, Any] | None]:
            pipeline = self.client.pipeline(transaction=False)
            for dataset_id in ids:
                pipeline.hget(keys.dataset(dataset_id), "record")
            return [json.loads(raw) if raw else None for raw in pipeline.execute()]

        return page_of_index(self.client, keys.DATASETS, page, read)

    def remove(self, dataset_id: str) -> None:
        """Take the record away; `InUse` while a live job needs it. The files are the caller's."""
        record = self.get(dataset_id)
        content = f"{record['digest']} {record['name'] or ''}"
        answer = self.scripts.run(
            "drop", used_by(dataset_id), keys.DATASETS, dataset_id, keys.DIGESTS, content, json.dumps(LIVE)
        )
        if answer[0] == "used":
            raise InUse(f"The data set {dataset_id} is used by {answer[1]}, which has not ended.", job=answer[1])
        if answer[0] == "missing":
            raise NotFound(f"There is no data set {dataset_id!r}.")
