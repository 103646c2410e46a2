"""Who may come in: keys and their scopes, and requests that a page of another site makes a browser send.

Without keys everybody on this machine may do everything, so names that lead here by a trick (DNS rebinding) are
refused: only addresses, names without a dot, and those of `PINWHEEL_ALLOWED_HOSTS` are this service.
"""

import base64
import binascii
import ipaddress
import re
from functools import lru_cache
from urllib.parse import urlsplit

import structlog
from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.gone import ENCODING
from app.headers import headers_of
from app.problems import of_error
from pinwheel import access
from pinwheel.errors import Forbidden, InvalidRequest, PinwheelError, Unauthenticated
from pinwheel.settings import Settings

SAFE = ("GET", "HEAD", "OPTIONS")
# Whether the service lives may be asked by whoever watches it; what lies in `static` is on every page anyway.
PUBLIC = re.compile(r"/healthz|/readyz|/static/.*|/v2/health/(live|ready)")
LONGEST_HOST = 300  # longer than any name; what is remembered of names is bounded
SHARED = re.compile(r"/v1/(models|datasets)/.*")  # others may use them


def scope_of(method: str, path: str) -> access.Scope | None:
    """What a request needs; None for what is public."""
    if method in SAFE:
        return None if PUBLIC.fullmatch(path) else access.Scope.READ
    if method == "POST" and ENCODING.fullmatch(path):
        return access.Scope.ENCODE
    return access.Scope.ADMIN if method == "DELETE" and SHARED.fullmatch(path) else access.Scope.TRAIN


class Access:
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.keys = access.read_keys(settings.api_keys)
        self.hosts = {host.lower() for host in re.split(r"[\s,]+", settings.allowed_hosts) if host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = headers_of(scope)
        try:
            self._check_host(headers)
            if scope["method"] not in SAFE:
                self._check_origin(headers)
            key = self._entered(scope["method"], scope["path"], headers)
        except PinwheelError as error:
            answer = of_error(Request(scope), error)
            if isinstance(error, Unauthenticated):
                # a browser then asks for it, or sends the one that it knows with what our pages ask for
                basic = "text/html" in headers.get("accept", "") or headers.get("sec-fetch-site") == "same-origin"
                answer.headers["WWW-Authenticate"] = (
                    'Basic realm="Pinwheel: the key as password", charset="UTF-8"' if basic else "Bearer"
                )
            return await answer(scope, receive, send)
        if key is None:
            return await self.app(scope, receive, send)
        scope["key_name"] = key.name
        with structlog.contextvars.bound_contextvars(key=key.name):
            return await self.app(scope, receive, send)

    def _check_host(self, headers: dict[str, str]) -> None:
        name = _name(headers.get("host", "")[:LONGEST_HOST])
        if (self.keys and not self.hosts) or name in self.hosts or _is_here(name):
            return
        raise Forbidden(
            f"This service is not known as {name[:100]!r}. Ask it by its address or as localhost, or name the host in "
            "PINWHEEL_ALLOWED_HOSTS."
        )

    def _check_origin(self, headers: dict[str, str]) -> None:
        """A browser sends keys that it knows with what pages of other sites ask for; but it says whose they are."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is None and site != "cross-site":
            return
        theirs = urlsplit(origin or "").netloc.lower()
        if not theirs or (theirs != headers.get("host", "").lower() and _name(theirs[:LONGEST_HOST]) not in self.hosts):
            raise Forbidden(f"The request comes from a page of another site, {(origin or 'not named')[:200]}.")

    def _entered(self, method: str, path: str, headers: dict[str, str]) -> access.ApiKey | None:
        needed = scope_of(method, path) if self.keys else None
        if needed is None:
            return None
        secret = _secret(headers)
        if secret is None:
            raise Unauthenticated("This service asks for a key: send Authorization: Bearer KEY, or X-API-Key.")
        key = access.owner(self.keys, secret)
        if key is None:
            raise Unauthenticated("The key is not known here.")
        if key.scope < needed:
            raise Forbidden(
                f"The key {key.name!r} has the scope {key.scope.label}; {method} {path} needs {needed.label}."
            )
        return key


@lru_cache(maxsize=256)  # every request names it, mostly the same
def _name(host: str) -> str:
    """The name in a header Host, in lower case and without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        raise InvalidRequest(f"The header Host is {host[:100]!r}, which is no name.") from None


@lru_cache(maxsize=256)
def _is_here(name: str) -> bool:
    if "." not in name and ":" not in name:  # localhost, or the name of a container: never one of the public DNS
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.endswith(".localhost")
    return True


def _secret(headers: dict[str, str]) -> str | None:
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthenticated("Authorization: Basic is not readable.") from None
    return headers.get("x-api-key") or None
