"""Large answers go to a file bit by bit; one that breaks off is taken up where it stopped."""

import time
from pathlib import Path
from typing import Any

import httpx2

from pinwheel.client.connection import Connection, backoff

MOST_BREAKS = 8  # in a row, without a byte between them


def fetch(connection: Connection, path: str, params: dict[str, Any], target: Path) -> None:
    """Write the answer of one GET to `target`. Raises `ConnectionError` or `TimeoutError` where it stays away."""
    tag, breaks = None, 0
    with target.open("wb") as file:
        while True:
            before = file.tell()
            headers: dict[str, str] = {"Range": f"bytes={before}-", "If-Range": tag} if tag and before else {}
            try:
                with connection.stream(path, params=params, headers=headers) as answer:
                    if answer.status_code != 206:  # the whole: the first time, or what was begun is another file now
                        file.seek(0)
                        file.truncate()
                    tag = answer.headers.get("etag")
                    for chunk in answer.iter_raw():
                        file.write(chunk)
                return
            except httpx2.TransportError as error:
                breaks = 0 if file.tell() > before else breaks + 1
                if breaks > MOST_BREAKS:
                    raise connection.no_answer(error) from error
                time.sleep(backoff(breaks))
