"""The registry of published models: `name` is the newest version, `name@3` that version."""

import json
import re
from typing import Any

from pinwheel.errors import InUse, NotFound
from pinwheel.specs.jobs import MODEL_NAME
from pinwheel.store import keys
from pinwheel.store.connection import Client
from pinwheel.store.datasets import LIVE
from pinwheel.store.pages import Page, page_of_index
from pinwheel.store.scripts import Scripts


def used_by(name: str, version: int) -> str:
    """How a job names this model among the things it uses."""
    return f"{keys.model(name)}#v{version}"


def split(reference: str) -> tuple[str, int | None]:
    """`digits@3` is ("digits", 3) and `digits` is ("digits", None); `NotFound` for what cannot be a model's name."""
    name, at, version = reference.partition("@")
    if not re.match(MODEL_NAME, name) or (at and not re.match(r"^[1-9][0-9]{0,8}$", version)):
        raise NotFound(f"There is no model {reference!r}; a model is `name` or `name@version`, as in digits@3.")
    return name, int(version) if at else None


def newest(fields: list[bytes]) -> int | None:
    """The highest version among the fields of a model's hash."""
    versions = [int(field[1:]) for field in fields if field.startswith(b"v")]
    return max(versions, default=None)


class Models:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.scripts = Scripts(client)

    def find(self, reference: str) -> dict[str, Any]:
        """The record of one version, with the list of all `versions`."""
        name, version = split(reference)
        fields = self.client.hkeys(keys.model(name))
        wanted = newest(fields) if version is None else version
        raw = self.client.hget(keys.model(name), f"v{wanted}") if wanted else None
        if raw is None:
            raise NotFound(f"There is no model {reference!r}; there are: {', '.join(self._names()) or 'none yet'}.")
        record: dict[str, Any] = json.loads(raw)
        record["versions"] = sorted(int(field[1:]) for field in fields if field.startswith(b"v"))
        return record

    def _names(self) -> list[str]:
        return [name.decode() for name in self.client.zrange(keys.MODELS, 0, 20)]

    def listed(self, page: Page) -> tuple[list[dict[str, Any]], bool]:
        """The newest version of each model, in the order of names."""

        def read(names: list[str]) -> list[dict[str, Any] | None]:
            records: list[dict[str, Any] | None] = []
            for name in names:
                try:
                    records.append(self.find(name))
                except NotFound:  # deleted since the index was read
                    records.append(None)
            return records

        return page_of_index(self.client, keys.MODELS, page, read)

    def check_unused(self, name: str, version: int) -> None:
        """`InUse` when a live job needs this version, so that of several none is removed."""
        for state in LIVE:
            for raw in self.client.zrange(keys.jobs_in(state), 0, -1):
                uses = json.loads(self.client.hget(keys.job(raw.decode()), "uses") or b"[]")
                if used_by(name, version) in uses:
                    raise InUse(f"The model {name}@{version} is used by {raw.decode()}, which has not ended.")

    def remove(self, name: str, version: int) -> None:
        """Take one version away; `InUse` while a live job needs it. The files are the caller's."""
        answer = self.scripts.run(
            "drop", used_by(name, version), keys.MODELS, name, "", "", json.dumps(LIVE), f"v{version}"
        )
        if answer[0] == "used":
            raise InUse(f"The model {name}@{version} is used by {answer[1]}, which has not ended.", job=answer[1])
        if answer[0] == "missing":
            raise NotFound(f"There is no model {name}@{version}.")
        self.client.delete(keys.inferences(name, version))
