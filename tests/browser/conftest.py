"""One headless Chromium for all tests of the pages, and a page that notes what goes wrong on it."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from browsing import Visit, watched
from browsing import Watched as WatchedPage

from pinwheel.up import Service

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (the extra `dev`)")
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """The browser: the one that PINWHEEL_CHROMIUM names, or the first on the path."""
    return os.environ.get("PINWHEEL_CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for each file: while it runs, so does an event loop, and tests of other files start their own."""
    path = chromium()
    if path is None:
        pytest.skip(f"no browser: set PINWHEEL_CHROMIUM, or install one of {', '.join(NAMES)}")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


class Watched:
    """A page of the service. `complaints` are errors on its console and requests to another host."""

    def __init__(self, page: Any, base: str) -> None:
        self.page = page
        self.base = base
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._check_host)

    def _hear(self, said: Any) -> None:
        # A browser notes every refusal of the API; that of a rehearsal is what the form asks for.
        if said.type in ("error", "warning") and "dry_run=true" not in said.location["url"]:
            self.complaints.append(f"{said.text} ({said.location['url']})")

    def _check_host(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(self.base).netloc:
            self.complaints.append(f"asks another host: {request.url}")

    def open(self, path: str) -> Any:
        self.page.goto(self.base + path)
        return self.page


@pytest.fixture
def opened(browser: Any, service: Service) -> Iterator[Callable[..., Any]]:
    """Opens a page at an address of the service; at the end none of them may have complained."""
    made: list[tuple[Any, Watched]] = []

    def open_page(path: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(20_000)
        watched = Watched(context.new_page(), service.url)
        made.append((context, watched))
        return watched.open(path)

    yield open_page
    for context, _ in made:
        context.close()
    assert [complaint for _, watched in made for complaint in watched.complaints] == []


@pytest.fixture
def stop_at_the_end(http: httpx2.Client) -> Iterator[Callable[[str], None]]:
    """Takes jobs that must not run on when the test has ended."""
    jobs: list[str] = []
    yield jobs.append
    for job in jobs:
        http.post(f"/v1/jobs/{job}/cancel")


@pytest.fixture
def visit(browser: Any, service: Service) -> Iterator[Visit]:
    """Opens a path of the service in a page that is watched, and closes it after the test."""
    opened = []

    def go(path: str, **options: Any) -> WatchedPage:
        entered = watched(browser, service.url, **options)
        opened.append(entered)
        page = entered.__enter__()
        page.go(path)
        return page

    yield go
    for entered in opened:
        entered.__exit__(None, None, None)
