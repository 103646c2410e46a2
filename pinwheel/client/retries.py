"""When to send again, and what an answer that is none means."""

import random
import time
from email.utils import parsedate_to_datetime

import httpx2

from pinwheel.errors import PinwheelError, Unavailable, from_problem

AGAIN = frozenset({429, 502, 503, 504})
FIRST_SECONDS, LONGEST_SECONDS = 0.25, 8.0
LONGEST_RETRY_AFTER = 60.0


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
    error.retry_after_seconds = retry_after(answer.headers.get("retry-after", ""))
    return error


def retry_after(text: str) -> int | None:
    """Seconds of a `Retry-After` header, which holds them or a date (RFC 9110, 10.2.3); None where it holds neither."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return max(0, round(parsedate_to_datetime(text).timestamp() - time.time()))
    except (ValueError, OverflowError):
        return None
