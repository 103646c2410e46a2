"""One HTTP connection to the service: sends again what may be sent again, and raises what the server meant.

Sent again, after a growing wait or the server's `Retry-After`: requests that got no answer, and answers 429, 502, 503
and 504. That is safe because every request repeats without harm: reading and encoding change nothing, commands can be
repeated, and what creates something carries an `Idempotency-Key`.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from pinwheel import __version__
from pinwheel.errors import IdempotencyInProgress, PinwheelError, Unavailable, from_problem

AGAIN = frozenset({429, 502, 503, 504})
FIRST_SECONDS, LONGEST_SECONDS = 0.25, 8.0
LONGEST_RETRY_AFTER = 60.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
Body = Mapping[str, Any]  # `content`, `files` and `headers` of one sending


class Connection:
    """Raises the classes of `pinwheel.errors`; `ConnectionError` or `TimeoutError` where no answer came."""

    def __init__(self, base_url: str, api_key: str | None, timeout_seconds: float, retries: int) -> None:
        headers = {"User-Agent": f"pinwheel/{__version__}"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        # A proxy is for other machines.
        outside = httpx2.URL(base_url).host not in LOOPBACK
        self._http = httpx2.Client(base_url=base_url, headers=headers, timeout=timeout_seconds, trust_env=outside)
        self._retries = retries

    def close(self) -> None:
        self._http.close()

    def json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.send(method, path, **request).json()
        return answer

    def create(self, path: str, **request: Any) -> dict[str, Any]:
        """POST that creates: repeating it gives the first answer again."""
        headers = {"Idempotency-Key": uuid.uuid4().hex, **request.pop("headers", {})}
        return self.json("POST", path, headers=headers, **request)

    def send(
        self, method: str, path: str, *, body: Callable[[], Body] | None = None, **request: Any
    ) -> httpx2.Response:
        """The answer, read whole. `body` makes a fresh body for each sending: a stream can be read only once."""
        for attempt in range(self._retries + 1):
            try:
                answer = self._http.request(method, path, **_with(request, body))
            except httpx2.TransportError as error:
                if attempt == self._retries or (isinstance(error, httpx2.TimeoutException) and not _unsent(error)):
                    raise self.no_answer(error) from error
                time.sleep(backoff(attempt))
                continue
            if answer.is_success:
                return answer
            problem = problem_of(answer)
            # The first sending of this very key is still at work: its answer will come.
            waits = answer.status_code in AGAIN or (attempt > 0 and isinstance(problem, IdempotencyInProgress))
            if attempt == self._retries or not waits:
                raise problem
            time.sleep(waiting(problem, attempt))
        raise AssertionError("the loop returns or raises")

    @contextmanager
    def stream(self, path: str, **request: Any) -> Iterator[httpx2.Response]:
        """One GET whose body is read bit by bit. Not sent again; raises as `httpx2` does while it is read."""
        with self._http.stream("GET", path, **request) as answer:
            if not answer.is_success:
                answer.read()
                raise problem_of(answer)
            yield answer

    def no_answer(self, error: httpx2.TransportError) -> OSError:
        if isinstance(error, httpx2.TimeoutException):
            return TimeoutError(f"{self._http.base_url} did not answer in time: {error!r}")
        return ConnectionError(f"{self._http.base_url} does not answer: {error}")


def backoff(attempt: int) -> float:
    """Seconds to wait, with a random share so that many clients do not come back together."""
    longest: float = min(LONGEST_SECONDS, FIRST_SECONDS * 2**attempt)
    return longest * random.uniform(0.5, 1)


def waiting(problem: PinwheelError, attempt: int) -> float:
    if problem.retry_after_seconds is None:
        return backoff(attempt)
    return min(LONGEST_RETRY_AFTER, max(problem.retry_after_seconds, 0.05))


def problem_of(answer: httpx2.Response) -> PinwheelError:
    """The error that an answer stands for; its text where a proxy answered instead of the server."""
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "detail" not in problem:
        problem = {"detail": f"HTTP {answer.status_code} {answer.reason_phrase}: {answer.text[:200]}"}
    error = from_problem(problem, answer.status_code)
    if type(error) is PinwheelError and answer.status_code in AGAIN:
        error = Unavailable(error.detail)
    seconds = answer.headers.get("retry-after", "")
    error.retry_after_seconds = int(seconds) if seconds.isascii() and seconds.isdigit() else None
    return error


def _with(request: dict[str, Any], body: Callable[[], Body] | None) -> dict[str, Any]:
    if body is None:
        return request
    made = dict(body())
    return {**request, **made, "headers": {**request.get("headers", {}), **made.get("headers", {})}}


def _unsent(error: httpx2.TimeoutException) -> bool:
    """Whether the time ran out before the server could have begun to work."""
    return isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout)
