"""Which format an answer takes: `?format=` first, then `Accept` (RFC 9110, section 12.5)."""

import re

from pinwheel.errors import NotAcceptable

QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


def choose(accept: str | None, wanted: str | None, available: dict[str, str]) -> str:
    """The short name of the format to answer in. `available` maps short names to media types, the default first.

    `wanted` is `?format=` and wins over `accept`. Of equally welcome formats the earlier one of `available` is taken.
    Raises `NotAcceptable` that lists what exists.
    """
    if wanted is not None:
        if wanted in available:
            return wanted
        raise NotAcceptable(
            f"format is {wanted[:100]!r}; there are: {', '.join(available)}.", available=_listed(available)
        )
    ranges = _ranges(accept or "")
    if not ranges:
        return next(iter(available))
    best = max(available, key=lambda name: _quality(available[name], ranges))
    if _quality(available[best], ranges) == 0:
        types = ", ".join(f"{media_type} (format={name})" for name, media_type in available.items())
        raise NotAcceptable(f"Accept is {(accept or '')[:200]!r}; there are: {types}.", available=_listed(available))
    return best


def _listed(available: dict[str, str]) -> list[dict[str, str]]:
    return [{"format": name, "type": media_type} for name, media_type in available.items()]


def _ranges(accept: str) -> dict[str, float]:
    """Media range → quality."""
    found = qualities(accept)
    if "*" in found:
        found["*/*"] = max(found["*"], found.get("*/*", 0.0))
    return {media_range: quality for media_range, quality in found.items() if "/" in media_range}


def qualities(header: str) -> dict[str, float]:
    """What a header like Accept lists → quality, 0 to 1. Other parameters than q are not told apart; what cannot be
    read is passed over."""
    found: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        given = [text[2:].strip() for text in parameters if text.startswith("q=")] or ["1"]
        if name and QUALITY.fullmatch(given[0]):
            found[name] = max(float(given[0]), found.get(name, 0.0))
    return found


def _quality(media_type: str, ranges: dict[str, float]) -> float:
    """How welcome a media type is: by its own name, else by `type/*`, else by `*/*`, else not at all."""
    plain = media_type.split(";")[0].strip().lower()
    for media_range in (plain, plain.split("/")[0] + "/*", "*/*"):
        if media_range in ranges:
            return ranges[media_range]
    return 0.0
