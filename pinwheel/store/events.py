"""The log of a job: a stream whose entry ids are the event numbers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pinwheel.store import keys
from pinwheel.store.connection import AsyncClient, Client

Entries = list[tuple[bytes, dict[bytes, bytes]]]


def read(client: Client, job_id: str, after: int = 0, count: int | None = None) -> list[dict[str, Any]]:
    """Events with numbers above `after`, oldest first."""
    return parse(client.xrange(keys.events(job_id), f"({after}-0", "+", count))


class Unparsed(Sequence[dict[str, Any]]):
    """The data of events, each read from its text when it is asked for: of very many only some are."""

    def __init__(self, texts: list[bytes]) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, index: Any) -> Any:
        return json.loads(self._texts[index])


@dataclass(frozen=True)
class Log:
    """All that a job has said; `last` is the number of its last event, 0 without any."""

    entries: Entries

    @classmethod
    def read(cls, client: Client, job_id: str) -> "Log":
        return cls(client.xrange(keys.events(job_id)))

    @property
    def last(self) -> int:
        return int(self.entries[-1][0].split(b"-")[0]) if self.entries else 0

    def data(self, type_: str, from_step: int = 0) -> Sequence[dict[str, Any]]:
        """Of the events of a type, at this step or later ones."""
        name = type_.encode()
        found = Unparsed([fields[b"data"] for _, fields in self.entries if fields[b"type"] == name])
        return [each for each in found if each["step"] >= from_step] if from_step else found


async def read_async(
    client: AsyncClient, job_id: str, after: int = 0, count: int | None = None
) -> list[dict[str, Any]]:
    """As `read`, on an event loop."""
    return parse(await client.xrange(keys.events(job_id), f"({after}-0", "+", count))


def parse(entries: Entries) -> list[dict[str, Any]]:
    return [
        {
            "object": "event",
            "seq": int(entry.split(b"-")[0]),
            "type": fields[b"type"].decode(),
            "time": fields[b"time"].decode(),
            "data": json.loads(fields[b"data"]),
        }
        for entry, fields in entries
    ]
