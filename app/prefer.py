"""The header `Prefer` (RFC 7240): `respond-async` asks for a job, `wait=N` waits N seconds for its end.

Preferences are wishes: what is unknown or cannot be read is passed over, never refused.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Self

from fastapi import Depends, Request

LONGEST_WAIT = 300.0
PREFERENCE = re.compile(r'\s*([\w-]+)\s*(?:=\s*"?([^";,]*)"?)?\s*(?:;.*)?', re.ASCII)


@dataclass(frozen=True)
class Preference:
    respond_async: bool = False
    wait_seconds: float | None = None

    @classmethod
    def of(cls, headers: Iterable[str]) -> Self:
        """From the values of all headers `Prefer`. Of a preference that comes twice the first counts."""
        found: dict[str, str] = {}
        for part in ",".join(headers).split(","):
            read = PREFERENCE.fullmatch(part)
            if read:
                found.setdefault(read[1].lower(), (read[2] or "").strip())
        wait = found.get("wait", "")
        seconds = min(float(wait), LONGEST_WAIT) if re.fullmatch(r"\d{1,9}", wait, re.ASCII) else None
        return cls("respond-async" in found, seconds)


async def _preference(request: Request) -> Preference:
    return Preference.of(request.headers.getlist("prefer"))


Preferred = Annotated[Preference, Depends(_preference)]
