"""Errors as problem+json (RFC 9457): one shape for everything that goes wrong."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from pinwheel.errors import PinwheelError, StoreUnavailable, is_full
from pinwheel.specs.problems import describe
from pinwheel.store.connection import UNREACHABLE

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
CODES = {
    400: "invalid_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "payload_too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    422: "invalid_request",
}


def problem(
    request: Request,
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    body = {
        "type": f"/docs#problem-{code.replace('_', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "code": code,
        "request_id": request.scope.get("request_id"),
        **more,
    }
    body |= _foreign(request.url.path, body)
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def _foreign(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """`error` as the clients of a foreign protocol look for it: text in the Open Inference Protocol, an object in
    OpenAI's."""
    if path == "/v2" or path.startswith("/v2/"):
        return {"error": body["detail"]}
    if path != "/v1/embeddings":
        return {}
    kind = "server_error" if body["status"] >= 500 else "invalid_request_error"
    pointers = [entry["pointer"].removeprefix("#/") for entry in body.get("errors", [])]
    param = pointers[0] if pointers else None
    return {"error": {"message": body["detail"], "type": kind, "param": param, "code": body["code"]}}


def of_error(request: Request, error: PinwheelError) -> JSONResponse:
    headers = {"Retry-After": str(error.retry_after_seconds)} if error.retry_after_seconds is not None else None
    more = dict(error.extra)
    if error.errors:
        more["errors"] = error.errors
    return problem(request, error.status, error.code, error.title, error.detail, headers, **more)


async def _pinwheel(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PinwheelError)
    return of_error(request, error)


async def _unreachable(request: Request, error: Exception) -> JSONResponse:
    log.warning("store unreachable", error=str(error))
    return of_error(request, StoreUnavailable("The store does not answer.", retry_after_seconds=2))


async def _folder_full(request: Request, error: Exception) -> JSONResponse:
    """Nothing more can be written to the data folder; any other failure of the system is one of ours."""
    assert isinstance(error, OSError)
    if not is_full(error):
        raise error
    log.warning("data folder full", error=error.strerror)
    detail = f"The data folder takes nothing more: {error.strerror}."
    return of_error(request, StoreUnavailable(detail, retry_after_seconds=60))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "invalid_request" if error.status_code < 500 else "internal")
    detail = (
        f"There is no {request.method} {request.url.path}." if error.status_code in (404, 405) else str(error.detail)
    )
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_allowed(request)))
    return problem(request, error.status_code, code, str(error.detail), detail, headers)


def _allowed(request: Request) -> set[str]:
    """The methods of all routes with this path; the framework names those of one."""
    routes: list[BaseRoute] = request.app.routes
    found = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in found for method in getattr(route, "methods", None) or ()}


async def _validation(request: Request, error: Exception) -> JSONResponse:
    """Parameters of the query and the path that FastAPI itself refused."""
    assert isinstance(error, RequestValidationError)
    found = describe(error.errors(), None, None)
    for entry, raw in zip(found, error.errors(), strict=True):
        entry["pointer"] = "/".join(["#", *(str(part) for part in raw["loc"])])
    detail = "; ".join(f"{entry['pointer'].split('/')[-1]}: {entry['detail']}" for entry in found)
    return problem(request, 422, "invalid_config", "A parameter is not valid", detail, errors=found)


def install(app: FastAPI) -> None:
    app.add_exception_handler(PinwheelError, _pinwheel)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(OSError, _folder_full)
    for kind in UNREACHABLE:
        app.add_exception_handler(kind, _unreachable)
