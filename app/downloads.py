"""Files sent whole or in ranges (RFC 9110, section 14): a download that was cut off goes on where it stopped."""

import re
from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

RANGES = re.compile(r"bytes=\s*(\d+-\d*|-\d+)\s*(,\s*(\d+-\d*|-\d+)\s*)*", re.IGNORECASE | re.ASCII)
MOST_DIGITS = 18


def send_file(
    request: Request, path: Path, media_type: str, filename: str, etag: str, headers: dict[str, str]
) -> Response:
    """The file, a part of it (206), or 304 where the client has it. Its `etag` must be strong.

    A `Range` that cannot be read is passed over, as the standard allows; one behind the end of the file is a 416.
    """
    headers = {"ETag": etag, "Accept-Ranges": "bytes", **headers}
    if etag in [each.strip() for each in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    stat = path.stat()
    asked = request.headers.get("range")
    if asked is not None and not _can_be_read(asked):
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]
    elif asked is not None and request.headers.get("if-range") in (None, etag):
        _check_within(asked, stat.st_size)
    return FileResponse(path, headers=headers, media_type=media_type, filename=filename, stat_result=stat)


def _ends(asked: str) -> list[tuple[str, str]]:
    return [(start, end) for start, end in re.findall(r"(\d*)-(\d*)", asked)]


def _can_be_read(asked: str) -> bool:
    if not RANGES.fullmatch(asked) or max(len(digits) for pair in _ends(asked) for digits in pair) > MOST_DIGITS:
        return False
    return all(not start or not end or int(start) <= int(end) for start, end in _ends(asked))


def _check_within(asked: str, size: int) -> None:
    for start, end in _ends(asked):
        if (start and int(start) >= size) or (not start and int(end) == 0):
            detail = f"Range is {asked[:200]!r} and the file has {size} bytes."
            raise HTTPException(416, detail, {"Content-Range": f"bytes */{size}"})
