"""Identifiers: a prefix that says what it names, then a ULID, so that ids sort by time of creation."""

from ulid import ULID


def new_id(prefix: str) -> str:
    """`new_id("job")` is `job_01j…`, 26 characters of Crockford base 32 in lower case behind the prefix."""
    return f"{prefix}_{str(ULID()).lower()}"
