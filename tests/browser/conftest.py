"""One headless Chromium for all tests of the pages, and a page that notes what goes wrong on it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from browsing import Visit, Watched, watched

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


@pytest.fixture
def opened(browser: Any, service: Service) -> Iterator[Callable[..., Any]]:
    """Opens a page at an address of the service; at the end none of them may have complained."""
    visits: list[Watched] = []
    with ExitStack() as stack:

        def open_page(path: str, **options: Any) -> Any:
            options = {"viewport": {"width": 1280, "height": 900}, **options}
            visit = stack.enter_context(watched(browser, service.url, **options))
            visit.page.set_default_timeout(20_000)
            visits.append(visit)
            visit.page.goto(service.url + path)
            return visit.page

        yield open_page
    for visit in visits:
        visit.check_clean()


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
    with ExitStack() as stack:

        def go(path: str, **options: Any) -> Watched:
            found = stack.enter_context(watched(browser, service.url, **options))
            found.go(path)
            return found

        yield go
