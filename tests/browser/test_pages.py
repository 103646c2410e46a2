"""Every page in light and dark, wide and narrow: no complaint, nothing cut off, nobody kept out."""

from collections.abc import Callable
from typing import Any

import pytest
from awaited_pages import until
from axe_playwright_python.sync_playwright import Axe

Open = Callable[..., Any]
PAGES = (
    "/",
    "/new#recipe=drsae",
    "/models",
    "/models/{model}?unit=3",
    "/jobs/{job}",
    "/data",
    "/playground",
    "/system",
    "/docs",
)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_no_page_complains_or_keeps_anybody_out(opened: Open, trained: dict[str, Any], scheme: str, width: int) -> None:
    page = opened("/", viewport={"width": width, "height": 900}, color_scheme=scheme)
    base = page.url.rstrip("/")
    found = []
    for path in PAGES:
        page.goto(base + path.format(model=trained["model"], job=trained["id"]))
        page.wait_for_load_state("load")
        page.wait_for_timeout(400)
        answer = Axe().run(page, options={"resultTypes": ["violations"]})
        for violation in answer.response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                found.append((path, violation["id"], [node["html"][:150] for node in violation["nodes"][:3]]))
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found.append((path, "wider than the screen", [str(wide)]))
    assert found == []


def test_the_theme_is_chosen_and_remembered(opened: Open) -> None:
    page = opened("/system", color_scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    page.click("#theme")
    until(page, f"getComputedStyle(document.body).backgroundColor !== '{light}'")
    page.goto(page.url.replace("/system", "/models"))
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.inner_text("#theme") == "Theme: dark"


def test_pages_forbid_what_is_not_ours(opened: Open) -> None:
    with_policy = opened("/system").evaluate(
        "async () => (await fetch(location.href)).headers.get('content-security-policy')"
    )
    assert "default-src 'self'" in with_policy
    assert "unsafe" not in with_policy


def test_the_wall_filters_by_state_and_draws_the_loss(opened: Open, trained: dict[str, Any]) -> None:
    page = opened("/?status=succeeded")
    page.wait_for_selector("[data-pictured]")
    tile = f'[data-job="{page.get_attribute("[data-pictured]", "data-job")}"]'
    page.locator(tile).scroll_into_view_if_needed()
    until(page, f"document.querySelector('{tile} polyline').getAttribute('points').split(' ').length > 2")
    until(page, f"document.querySelector('{tile} img').naturalWidth > 1")  # few units make a small picture
    page.click("text=failed")
    page.wait_for_load_state()
    assert page.query_selector(tile) is None
