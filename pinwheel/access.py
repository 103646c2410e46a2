"""API keys: who may do what. A key is a secret of 256 bits; the service keeps only its hash.

`PINWHEEL_API_KEYS` lists entries `name:scope:hash` with commas or blanks between them; `pinwheel key` makes one. A hash
without salt or stretching is enough for a secret that nobody can guess.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

PREFIX = "pw_"
ENTRY = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,63}):(?P<scope>[a-z]+):(?P<digest>[0-9a-f]{64})")


class Scope(IntEnum):
    """Each one may also do what those before it may."""

    READ = 1
    ENCODE = 2
    TRAIN = 3
    ADMIN = 4

    @classmethod
    def named(cls, name: str) -> "Scope":
        """Raises ValueError with those that there are."""
        try:
            return cls[name.upper()]
        except KeyError:
            allowed = ", ".join(scope.label for scope in cls)
            raise ValueError(f"the scope is {name[:63]!r}; there are: {allowed}") from None

    @property
    def label(self) -> str:
        return self.name.lower()


class ApiKey(NamedTuple):
    """One who may enter. `digest` is the SHA-256 of the secret, in hexadecimal."""

    name: str
    scope: Scope
    digest: str

    def __str__(self) -> str:
        return f"{self.name}:{self.scope.label}:{self.digest}"


def new_key(name: str, scope: Scope) -> tuple[str, ApiKey]:
    """A secret for its owner, and what the service is told of it. Raises ValueError for a name that is none."""
    secret = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(name, scope, _digest(secret))
    read_keys(str(key))
    return secret, key


def read_keys(text: str) -> tuple[ApiKey, ...]:
    """The entries of `PINWHEEL_API_KEYS`. Raises ValueError that never repeats what might be a secret."""
    found = []
    for number, entry in enumerate(re.split(r"[\s,]+", text.strip()) if text.strip() else []):
        read = ENTRY.fullmatch(entry)
        if not read:
            raise ValueError(f"entry {number} is no name:scope:hash, as `pinwheel key` prints it")
        found.append(ApiKey(read["name"], Scope.named(read["scope"]), read["digest"]))
    names = [key.name for key in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two keys are named {min(twice)!r}; each has a name of its own")
    return tuple(found)


def owner(keys: Sequence[ApiKey], secret: str) -> ApiKey | None:
    """Whose secret it is; the time that takes tells nothing of the others."""
    digest = _digest(secret)
    matching = [key for key in keys if hmac.compare_digest(key.digest, digest)]
    return matching[0] if matching else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
