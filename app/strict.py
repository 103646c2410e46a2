"""A misspelt parameter must not be ignored: every query is checked against the parameters of its route."""

import difflib

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from pinwheel.errors import InvalidConfig


def _known(dependant: Dependant) -> set[str]:
    """Names of the query parameters of a route and of everything it depends on."""
    own = {parameter.alias for parameter in dependant.query_params}
    return own.union(*(_known(below) for below in dependant.dependencies))


async def known_query(request: Request) -> None:
    """Dependency of every route: `InvalidConfig` for a query parameter that the route does not have."""
    if not request.query_params:
        return
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or (route.openapi_extra or {}).get("x-reads-its-query"):
        return
    known = _known(route.dependant)
    for name in request.query_params:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, cutoff=0.6)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            allowed = ", ".join(sorted(known)) or "none"
            entry = {"pointer": f"#/query/{name[:100]}", "code": "unknown_parameter", "detail": f"there are: {allowed}"}
            raise InvalidConfig(
                f"There is no parameter {name[:100]!r} here; there are: {allowed}.{meant}", errors=[entry]
            )
