"""The way of an interactive encode request through the store, seen from the server and from the worker.

Each model has a list of requests, and `encode:ready` names the models that have any. Workers turn that ring: one model
at a time, up to so many requests and bytes, then the next model, so that a busy one never starves another. A worker
that dies between two steps leaves nothing behind but what it had taken: the model stays on the ring.

A request is `id` (32 characters), how many callers it is of (4 digits), the bytes of its images (12 digits) and what
`wire.pack` made: a server sends what several clients ask of one model as one (`app/together.py`). Small images travel
in it, larger ones under a key of their own. Both expire. Answers are published, not stored: a publication costs no
write to the append-only file, and whoever does not listen any more does not want it. A large one publishes its key.
All answers of a batch to one server are one publication.
Callers who have gone are named in `encode:gone`; their requests are dropped as they are taken.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pinwheel.errors import TooManyRequests
from pinwheel.store import keys

INLINE_BYTES = 64 * 1024
MOST_WAITING = 2000  # of one model
GONE_SECONDS = 120
ANSWER_SECONDS = 30
ID_CHARACTERS, CALLERS_DIGITS, SIZE_DIGITS = 32, 4, 12
HEAD = ID_CHARACTERS + CALLERS_DIGITS + SIZE_DIGITS

_SCRIPTS = Path(__file__).parent / "encoding_scripts"
# KEYS ready; ARGV prefix of the lists, model, request, seconds, most waiting → how many wait, −1 where refused
PUSH = (_SCRIPTS / "push.lua").read_text()
# KEYS ready, gone; ARGV prefix of the lists, most callers, most bytes → nil, or the requests of one model
TAKE = (_SCRIPTS / "take.lua").read_text()


def request(request_id: str, callers: int, size_bytes: int, packed: bytes) -> bytes:
    return b"%s%04d%012d%s" % (request_id.encode(), callers, size_bytes, packed)


def callers_of(raw: bytes) -> int:
    """How many callers a request is of."""
    return int(raw[ID_CHARACTERS : ID_CHARACTERS + CALLERS_DIGITS])


def publication(answers: Iterable[bytes]) -> bytes:
    """Answers side by side, each behind its length in 4 bytes, little-endian."""
    return b"".join(len(answer).to_bytes(4, "little") + answer for answer in answers)


def answers_in(published: bytes) -> Iterator[bytes]:
    """What `publication` put together."""
    start = 0
    while start < len(published):
        end = start + 4 + int.from_bytes(published[start : start + 4], "little")
        yield published[start + 4 : end]
        start = end


def model_key(name: str, version: int) -> str:
    return f"{name}@{version}"


def too_many(name: str, version: int) -> TooManyRequests:
    detail = f"{MOST_WAITING} encode requests wait for {model_key(name, version)}, the most that may."
    return TooManyRequests(detail, retry_after_seconds=2)


LISTS = keys.ENCODE_REQUESTS + ":"
