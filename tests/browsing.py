"""A page in Chromium, and what must be true of each: no error, no other host, nothing that some cannot use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

SERIOUS = ("serious", "critical")
Visit = Callable[..., "Watched"]


@dataclass
class Watched:
    """A page with what it logged and whom it asked."""

    page: Page
    base: str
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("console", self._logged)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._asked)

    def _logged(self, message: ConsoleMessage) -> None:
        # A browser notes every refusal of the API; that of a rehearsal is what the form asks for.
        if message.type in ("error", "warning") and "dry_run=true" not in message.location["url"]:
            self.errors.append(f"{message.text} ({message.location['url']})")

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).scheme in ("http", "https"):
            self.hosts.add(urlsplit(request.url).netloc)

    def go(self, path: str) -> Page:
        self.page.goto(self.base + path)
        self.page.wait_for_load_state("networkidle")
        return self.page

    def check_clean(self) -> None:
        assert self.errors == []
        assert self.hosts <= {urlsplit(self.base).netloc}

    def check_accessible(self) -> None:
        """No violation that axe calls serious."""
        found = Axe().run(self.page).response["violations"]
        bad = {each["id"]: [node["html"][:200] for node in each["nodes"][:3]] for each in found if _is_serious(each)}
        assert bad == {}

    def check_fits(self) -> None:
        """Nothing is wider than the window."""
        assert self.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def _is_serious(violation: dict[str, Any]) -> bool:
    return violation["impact"] in SERIOUS


@contextmanager
def watched(browser: Browser, base: str, **options: Any) -> Iterator[Watched]:
    """A new page of its own; `options` are those of a browser context."""
    context = browser.new_context(**options)
    try:
        yield Watched(context.new_page(), base)
    finally:
        context.close()
