"""Chromium for tests of pages: that of the system, or the one named by PINWHEEL_TEST_CHROMIUM."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from browsing import Visit, Watched, watched
from playwright.sync_api import Browser, sync_playwright

from pinwheel.up import Service


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = os.environ.get("PINWHEEL_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium; install one, or name it in PINWHEEL_TEST_CHROMIUM")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Visit]:
    """Opens a path of the service in a page that is watched, and closes it after the test."""
    opened = []

    def go(path: str, **options: Any) -> Watched:
        entered = watched(browser, service.url, **options)
        opened.append(entered)
        page = entered.__enter__()
        page.go(path)
        return page

    yield go
    for entered in opened:
        entered.__exit__(None, None, None)
