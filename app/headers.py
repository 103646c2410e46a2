"""The headers of a request as a dictionary, read once for all that stands around the routes."""

from starlette.types import Scope

_HERE = "pinwheel.headers"


def headers_of(scope: Scope) -> dict[str, str]:
    """Name in lower case → value; of a header that comes twice the first one."""
    found: dict[str, str] | None = scope.get(_HERE)
    if found is None:
        found = scope[_HERE] = {}
        for name, value in scope["headers"]:
            found.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return found
