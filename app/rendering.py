"""HTML pages: templates filled in, with a policy under which they load nothing that is not ours."""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from starlette.responses import Response
from starlette.types import Scope

WEB = Path(__file__).parent / "web"
NAVIGATION = (
    ("/", "Jobs"),
    ("/new", "New job"),
    ("/models", "Models"),
    ("/data", "Data"),
    ("/playground", "Playground"),
    ("/system", "System"),
    ("/docs", "API"),
)
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src {styles}; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# Plotly puts its rules into <style> elements of its own; attributes stay forbidden.
STRICT = POLICY.format(styles="'self'")
WITH_PLOTLY = POLICY.format(styles="'self'; style-src-elem 'self' 'unsafe-inline'")

templates = Jinja2Templates(WEB / "templates")


def page(
    request: Request, template: str, *, status_code: int = 200, curves: bool = False, **shown: Any
) -> HTMLResponse:
    """A page from a template. One with `curves` may load Plotly, whose address is `plotly` there."""
    around = {"pages": NAVIGATION, "here": request.url.path, "plotly": PLOTLY_ADDRESS}
    headers = {"Vary": "Accept", "Content-Security-Policy": WITH_PLOTLY if curves else STRICT}
    headers |= {"Referrer-Policy": "same-origin", "Cache-Control": "no-cache"}
    return templates.TemplateResponse(request, template, around | shown, status_code, headers)


def _plotly() -> Path:
    """The script that the package `plotly` ships; the package itself is not imported."""
    found = find_spec("plotly")
    assert found is not None  # the extra `app` installs it
    assert found.origin is not None
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


PLOTLY = _plotly()
PLOTLY_ADDRESS = f"/static/vendor/plotly.min.js?v={version('plotly')}"


class OwnFiles(StaticFiles):
    """Our scripts and styles: browsers ask every time whether they have changed, so that none outlives an update."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        return answer
