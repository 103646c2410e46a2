"""Times of day as everything outside sees them."""

from datetime import UTC, datetime


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339 in UTC with milliseconds; of now, unless another moment is given."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
