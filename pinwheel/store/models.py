"""The registry of published models: `name` is the newest version, `name@3` that version."""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pinwheel.errors import InUse, NotFound
from pinwheel.specs.jobs import MODEL_NAME
from pinwheel.store import keys
from pinwheel.store.connection import Client
from pinwheel.store.datasets import LIVE
from pinwheel.store.pages import Page, page_of_index
from pinwheel.store.scripts import Scripts

# KEYS a model's hash; ARGV a version, or '' for the newest → its record ('' where there is none) and all fields
FIND = """
local fields, wanted = redis.call('HKEYS', KEYS[1]), ARGV[1]
if wanted == '' then
  local newest = 0
  for _, field in ipairs(fields) do
    newest = math.max(newest, tonumber(string.match(field, '^v(%d+)$')) or 0)
  end
  wanted = string.format('%d', newest)
end
return {redis.call('HGET', KEYS[1], 'v' .. wanted) or '', fields}
"""


def used_by(name: str, version: int) -> str:
    """How a job names this model among the things it uses."""
    return f"{keys.model(name)}#v{version}"


def split(reference: str) -> tuple[str, int | None]:
    """`digits@3` is ("digits", 3) and `digits` is ("digits", None); `NotFound` for what cannot be a model's name."""
    name, at, version = reference.partition("@")
    if not re.match(MODEL_NAME, name) or (at and not re.match(r"^[1-9][0-9]{0,8}$", version)):
        raise NotFound(f"There is no model {reference!r}; a model is `name` or `name@version`, as in digits@3.")
    return name, int(version) if at else None


def find_call(reference: str) -> tuple[list[str], list[str]]:
    """Keys and arguments of `FIND`. Raises `NotFound` for what cannot be a model's name."""
    name, version = split(reference)
    return [keys.model(name)], [str(version or "")]


def found(answer: Sequence[Any]) -> dict[str, Any] | None:
    """The record of one version, with the list of all `versions`, from what `FIND` answers."""
    raw, fields = answer
    if not raw:
        return None
    versions = sorted(int(field[1:]) for field in fields if field.startswith(b"v"))
    return {**_parsed(raw), "versions": versions}


@lru_cache(maxsize=64)
def _parsed(raw: bytes) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(raw)
    return record


class Models:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.scripts = Scripts(client)

    def find(self, reference: str) -> dict[str, Any]:
        """The record of one version, with the list of all `versions`."""
        called, given = find_call(reference)
        record = found(self.client.eval(FIND, len(called), *called, *given))
        if record is None:
            raise NotFound(f"There is no model {reference!r}; there are: {', '.join(self._names()) or 'none yet'}.")
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
