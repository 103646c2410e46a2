"""Waiting for what a page shows. Playwright's own way evaluates text in the page, which our pages forbid."""

import time
from typing import Any


def until(page: Any, claim: str, seconds: float = 20) -> None:
    """Returns when the JavaScript expression `claim` holds on the page."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(f"() => Boolean({claim})"):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {claim}; the page says: {page.inner_text('main')[:1000]}")
        page.wait_for_timeout(30)
