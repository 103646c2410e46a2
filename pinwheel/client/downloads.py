"""Large answers go to a file bit by bit; one that breaks off is taken up where it stopped."""

from pathlib import Path
from typing import IO, Any

import httpx2

from pinwheel.client.connection import Link
from pinwheel.client.retries import backoff, waiting
from pinwheel.client.steps import Next, Pause, Steps
from pinwheel.errors import Unavailable

MOST_BREAKS = 8  # in a row, without a byte between them


def fetch(link: Link, path: str, params: dict[str, Any], target: Path) -> Steps[None]:
    """Write the answer of one GET to `target`. Raises `ConnectionError` or `TimeoutError` where it stays away."""
    tag, breaks = None, 0
    with target.open("wb") as file:
        while True:
            before = file.tell()
            headers: dict[str, str] = {"Range": f"bytes={before}-", "If-Range": tag} if tag and before else {}
            try:
                answer = yield from link.open(path, params=params, headers=headers)
                if answer.status_code != 206:  # the whole: the first time, or what was begun is another file now
                    file.seek(0)
                    file.truncate()
                tag = answer.headers.get("etag")
                yield from _written(file)
                return
            except httpx2.TransportError as error:
                breaks = 0 if file.tell() > before else breaks + 1
                if breaks > MOST_BREAKS:
                    raise link.no_answer(error) from error
                yield Pause(backoff(breaks))
            except Unavailable as problem:
                breaks += 1
                if breaks > MOST_BREAKS:
                    raise
                yield Pause(waiting(problem, breaks))


def saved(link: Link, path: str, params: dict[str, Any], target: Path) -> Steps[Path]:
    """The same, with `target` as it was until everything is there, or for good where that fails; gives it back."""
    beside = target.with_name(target.name + ".part")
    try:
        yield from fetch(link, path, params, beside)
        return beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _written(file: IO[bytes]) -> Steps[None]:
    while True:
        chunk: bytes | None = yield Next()
        if chunk is None:
            return
        file.write(chunk)
