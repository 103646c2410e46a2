"""The job store: records, leases and events of jobs. Every change is one Lua script on the server.

A worker that claims a job gets a token; every later call of that worker carries it and is refused once another worker
holds the job (a fencing token). The server's clock decides when a lease is over.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pinwheel.errors import JobStateConflict, NotFound, TooManyRequests
from pinwheel.settings import Settings
from pinwheel.states import LEASED, TERMINAL, TRANSITIONS, State, allowed_commands
from pinwheel.store import keys
from pinwheel.store.connection import Client
from pinwheel.store.pages import Page, page_of_index
from pinwheel.store.scripts import Scripts

# What is stored as JSON text in the fields of a job.
JSON_FIELDS = (
    "spec",
    "validation",
    "layer",
    "output",
    "metadata",
    "progress",
    "metrics",
    "error",
    "uses",
    "result",
    "shards",
    "passes",
    "pool",
    "stride",
)


class LeaseLost(Exception):
    """Another worker holds the job, or it is gone: stop at once and write nothing more."""


@dataclass(frozen=True)
class Claim:
    """A job that this worker holds, with the token that proves it."""

    job: dict[str, Any]
    token: int


@dataclass(frozen=True)
class Event:
    """What a worker reports; with a `step`, an event of its type at this step or an earlier one is not repeated."""

    type: str
    data: dict[str, Any]
    step: int | None = None


@dataclass(frozen=True)
class Publication:
    """A model version whose files are in their place."""

    name: str
    version: int
    record: dict[str, Any]


def text(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def no_such_job(job_id: str) -> NotFound:
    return NotFound(f"There is no job {job_id[:100]!r}.")


def check_id(job_id: str) -> None:
    """`NotFound` for what cannot be an id: it is about to become part of a key."""
    if not re.fullmatch(r"job_[0-9a-z]{1,40}", job_id):
        raise no_such_job(job_id)


class JobStore:
    """Everything that is done to jobs in Redis; safe to share between threads."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self.client = client
        self.scripts = Scripts(client)
        self._keep = settings.events_per_job
        self._lease_ms = int(settings.lease_seconds * 1000)
        self._resend_ms = int(settings.resend_seconds * 1000)
        self._max_queued = settings.max_queued_jobs

    # what people do

    def create(self, job_id: str, fields: dict[str, Any], uses: Sequence[str]) -> None:
        """Write a queued job with its first event; a second call with the same id changes nothing.

        `uses` names what must exist now and must not be deleted while the job lives, each as `key#field`.
        """
        record = {
            name: text(value) if name in JSON_FIELDS else str(value)
            for name, value in fields.items()
            if value is not None
        }
        record |= {"id": job_id, "uses": text(list(uses))}
        flat = [part for pair in record.items() for part in pair]
        answer = self.scripts.run(
            "create", job_id, self._resend_ms, self._keep, self._max_queued, len(uses), *uses, *flat
        )
        if answer[0] == "full":
            raise TooManyRequests(
                f"{self._max_queued} jobs are waiting already, which is the limit (PINWHEEL_MAX_QUEUED_JOBS).",
                retry_after_seconds=10,
            )
        if answer[0] == "missing":
            raise NotFound(f"{answer[1].split('#')[0].removeprefix(keys.PREFIX)} was deleted a moment ago.")

    def get(self, job_id: str) -> dict[str, Any]:
        """The job's record, or `NotFound`."""
        check_id(job_id)
        fields = self.client.hgetall(keys.job(job_id))
        if not fields:
            raise no_such_job(job_id)
        return self._placed([decode(fields)])[0]

    def _placed(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that wait with their place in the queue, asked for together."""
        waiting = [job for job in jobs if job["state"] == State.QUEUED]
        if waiting:
            pipeline = self.client.pipeline(transaction=False)
            for job in waiting:
                pipeline.zrank(keys.jobs_in(State.QUEUED), job["id"])
            for job, rank in zip(waiting, pipeline.execute(), strict=True):
                job["queue_position"] = None if rank is None else int(rank) + 1
        return jobs

    def listed(
        self, page: Page, status: str | None = None, type_: str | None = None
    ) -> tuple[list[dict[str, Any]], bool]:
        """Jobs in order of time and whether there are more."""
        index = keys.jobs_in(status) if status else keys.JOBS

        def read(ids: list[str]) -> list[dict[str, Any] | None]:
            pipeline = self.client.pipeline(transaction=False)
            for job_id in ids:
                pipeline.hgetall(keys.job(job_id))
            records = [decode(fields) if fields else None for fields in pipeline.execute()]
            return [job if job and type_ in (None, job["type"]) else None for job in records]

        jobs, more = page_of_index(self.client, index, page, read)
        return self._placed(jobs), more

    def command(self, job_id: str, name: str) -> dict[str, Any]:
        """`cancel`, `pause` or `resume`; `JobStateConflict` with `current` and `allowed` where the state refuses."""
        answer = self._transition(job_id, name)
        if answer[0] == "no":
            allowed = allowed_commands(State(answer[1]))
            raise JobStateConflict(
                f"The job is {answer[1]} and cannot {name}; it allows: {', '.join(allowed) or 'nothing'}.",
                current=answer[1],
                allowed=allowed,
            )
        return self.get(job_id)

    def forget(self, job_id: str) -> None:
        """Delete a finished job; `JobStateConflict` while it lives."""
        check_id(job_id)
        answer = self.scripts.run("forget", job_id, text(dict.fromkeys(TERMINAL, True)))
        if answer[0] == "missing":
            raise no_such_job(job_id)
        if answer[0] == "no":
            allowed = allowed_commands(State(answer[1]))
            raise JobStateConflict(
                f"The job is {answer[1]}; only a finished job can be deleted.", current=answer[1], allowed=allowed
            )

    # what the holder of a lease does

    def claim(self, job_id: str, worker: str) -> Claim | None:
        """Take a queued job; `None` when there is nothing to do: it runs already, was cancelled, or is gone."""
        answer = self._transition(job_id, "claim", fields={"worker": worker}, event={"worker": worker})
        if answer[0] != "ok":
            return None
        return Claim(self.get(job_id), int(answer[2]))

    def beat(
        self, claim: Claim, report: int, fields: dict[str, Any] | None = None, events: Iterable[Event] = ()
    ) -> State:
        """Extend the lease and write what happened; gives the state, in which a cancel or pause may be asked for.

        `report` grows with every call of one claim, so that a repeated message is written once. Raises `LeaseLost`.
        """
        values = {name: text(value) if name in JSON_FIELDS else str(value) for name, value in (fields or {}).items()}
        flat = [
            part
            for event in events
            for part in (event.type, "" if event.step is None else event.step, text(event.data))
        ]
        answer = self.scripts.run(
            "beat", claim.job["id"], claim.token, report, self._lease_ms, self._keep, text(values), *flat
        )
        if answer[0] != "ok":
            raise LeaseLost(claim.job["id"])
        return State(answer[1])

    def end(
        self,
        claim: Claim,
        name: str,
        fields: dict[str, Any] | None = None,
        reason: str | None = None,
        model: Publication | None = None,
    ) -> State:
        """`succeed`, `fail`, `release` or `lose` the job, and make a finished bundle visible, in one step.

        Gives the new state. Raises `LeaseLost`.
        """
        event = {"reason": reason} if reason else {}
        answer = self._transition(claim.job["id"], name, claim.token, fields, event, model=model)
        if answer[0] != "ok":
            raise LeaseLost(claim.job["id"])
        return State(answer[1])

    def reserve_version(self, claim: Claim, model: str) -> int:
        """The version this job will publish `model` as, the same in every attempt. Raises `LeaseLost`."""
        answer = self.scripts.run("reserve", claim.job["id"], claim.token, model)
        if answer[0] != "ok":
            raise LeaseLost(claim.job["id"])
        return int(answer[1])

    # what looks after jobs

    def lapse(self) -> list[str]:
        """Take jobs from workers whose lease is over; gives the ids."""
        seconds, microseconds = self.client.time()
        now = seconds * 1000 + microseconds // 1000
        over = self.client.zrangebyscore(keys.LEASES, "-inf", now)
        over += self.client.zrangebyscore(keys.LEASES, now + 10 * self._lease_ms, "+inf")  # the clock was put back
        lapsed = []
        for job_id in (raw.decode() for raw in over):
            answer = self._transition(job_id, "lose", event={"reason": "worker_lost"}, only_lapsed=True)
            if answer[0] == "ok":
                lapsed.append(job_id)
        return lapsed

    def due(self) -> list[tuple[str, str]]:
        """(id, type) of queued jobs that may have no message; each is given once per `resend_seconds`."""
        answer = self.scripts.run("due", self._resend_ms, 100)
        return list(zip(answer[::2], answer[1::2], strict=True))

    def _transition(
        self,
        job_id: str,
        name: str,
        token: int | None = None,
        fields: dict[str, Any] | None = None,
        event: dict[str, Any] | None = None,
        only_lapsed: bool = False,
        model: Publication | None = None,
    ) -> list[Any]:
        check_id(job_id)
        values = {key: text(value) if key in JSON_FIELDS else str(value) for key, value in (fields or {}).items()}
        answer = self.scripts.run(
            "transition",
            job_id,
            uuid4().hex,
            text(TRANSITIONS[name]),
            "" if token is None else token,
            text(values),
            self._keep,
            self._lease_ms,
            0 if name in ("lose", "release", "resume") else self._resend_ms,
            text(dict.fromkeys(TERMINAL, True)),
            text(dict.fromkeys(LEASED, True)),
            "1" if name == "lose" else "0",
            "1" if only_lapsed else "0",
            text(event or {}),
            *((model.name, model.version, text(model.record)) if model else ("", "", "")),
        )
        if answer[0] == "missing":
            raise no_such_job(job_id)
        return answer


def decode(fields: dict[bytes, bytes]) -> dict[str, Any]:
    """The fields of a record as Redis gives them, as Python values."""
    record: dict[str, Any] = {name.decode(): value.decode() for name, value in fields.items()}
    for name in JSON_FIELDS:
        if name in record:
            record[name] = json.loads(record[name])
    for name in ("attempt", "max_attempts", "token", "seq"):
        if name in record:
            record[name] = int(record[name])
    for name in ("max_seconds", "trained_seconds"):
        if name in record:
            record[name] = float(record[name])
    for name in ("publish_on_cancel", "keep_checkpoint"):
        if name in record:
            record[name] = record[name] == "True"
    return record
