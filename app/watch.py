"""One reader per process that hears of every event and wakes those who follow the job.

A stream per browser would hold a connection per browser; this holds one. Followers then read their own job's log from
where they are, so nobody can be too slow and nothing is lost.
"""

import asyncio
from collections import defaultdict

import structlog

from pinwheel.store import keys
from pinwheel.store.connection import AsyncClient

log = structlog.get_logger()

BLOCK_MS = 5000


class Watch:
    def __init__(self, blocking: AsyncClient) -> None:
        self._blocking = blocking
        self._followers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    async def run(self) -> None:
        last: bytes | str = "$"
        while True:
            try:
                for _, entries in await self._blocking.xread({keys.ACTIVITY: last}, block=BLOCK_MS, count=1000):
                    last = entries[-1][0]
                    for job_id in {fields[b"job"].decode() for _, fields in entries}:
                        self._wake(job_id)
            except Exception as error:  # whatever it is, this one reader must live on
                log.warning("store unreachable", error=str(error))
                await asyncio.sleep(1.0)
                for job_id in list(self._followers):  # events may have been missed: let everyone look
                    self._wake(job_id)

    def _wake(self, job_id: str) -> None:
        for follower in self._followers.get(job_id, ()):
            follower.set()

    def follow(self, job_id: str) -> asyncio.Event:
        """An event that is set whenever the job's log grew; give it back with `leave`."""
        follower = asyncio.Event()
        self._followers[job_id].add(follower)
        return follower

    def leave(self, job_id: str, follower: asyncio.Event) -> None:
        self._followers[job_id].discard(follower)
        if not self._followers[job_id]:
            del self._followers[job_id]
