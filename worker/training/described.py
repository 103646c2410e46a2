"""The edge at which a model is described: what goes wrong there is recorded and does not cost the model."""

from collections.abc import Callable
from typing import TypeVar

import structlog

log = structlog.get_logger()
Found = TypeVar("Found")


def described(what: str, measure: Callable[[], Found], instead: Found) -> Found:
    """What `measure` finds, or `instead`, and a word in the log, where it does not work."""
    try:
        return measure()
    except Exception:  # the edge that records it: nobody's training is lost for what is told of it
        log.exception("not found out; the model is published without", what=what)
        return instead
