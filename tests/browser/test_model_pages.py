"""The pages of models in Chromium: cards, the sheet of filters, one unit, maps, deletion."""

import re
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import SMALL, wait_for
from browsing import Visit
from playwright.sync_api import expect

PHONE = {"viewport": {"width": 390, "height": 844}}


@pytest.mark.parametrize(("scheme", "size"), [("light", {}), ("dark", PHONE)])
def test_models_are_cards_that_lead_to_their_pages(
    visit: Visit, trained: dict[str, Any], scheme: str, size: dict[str, Any]
) -> None:
    watched = visit("/models", color_scheme=scheme, **size)
    card = watched.page.locator(".model-card", has_text="digits-36")
    expect(card).to_contain_text("drsae")
    expect(card).to_contain_text("unexplained variance")
    assert card.locator("img").evaluate("image => image.naturalWidth") > 0
    watched.check_accessible()
    watched.check_fits()
    card.get_by_role("link", name="digits-36", exact=True).click()
    expect(watched.page).to_have_title("digits-36@1 · Pinwheel")
    watched.page.wait_for_load_state("networkidle")
    watched.check_accessible()
    watched.check_fits()
    watched.check_clean()


def test_a_click_on_a_filter_tells_of_its_unit(visit: Visit, trained: dict[str, Any], http: httpx2.Client) -> None:
    watched = visit("/models/digits-36@1")
    page, shown = watched.page, http.get("/v1/models/digits-36@1/filters?format=json").json()
    box = page.locator("#sheet-picture").bounding_box()
    assert box is not None
    layout = shown["layout"]
    across, down = 7 % layout["cols"], 7 // layout["cols"]
    page.mouse.click(
        box["x"] + box["width"] * (across + 0.5) / layout["cols"],
        box["y"] + box["height"] * (down + 0.5) / layout["rows"],
    )
    unit = layout["order"][7]
    inspector = page.locator("#inspector")
    expect(inspector.get_by_role("heading", name=f"Unit {unit}", exact=True)).to_be_visible()
    told = http.get(f"/v1/models/digits-36@1/filters/{unit}?format=json").json()
    expect(inspector).to_contain_text(f"{told['usage'] * 100:.3g}".rstrip("."))
    patches = inspector.get_by_alt_text("The inputs that drive")
    patches.evaluate("image => image.decode()")
    assert patches.evaluate("image => image.naturalWidth") > 0
    expect(inspector.locator(".classifier li")).to_have_count(10)
    assert f"unit={unit}" in page.url
    first = told["neighbours"][0]["unit"]
    button = inspector.get_by_role("button", name=f"Unit {first},").first
    levels = button.locator("canvas").evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    )
    assert np.ptp(np.array(levels).reshape(-1, 4)[:, 0]) > 50
    button.click()
    expect(inspector.get_by_role("heading", name=f"Unit {first}", exact=True)).to_be_visible()
    watched.check_accessible()
    watched.check_clean()


def test_the_keys_go_from_filter_to_filter_and_the_address_keeps_the_place(
    visit: Visit, trained: dict[str, Any]
) -> None:
    watched = visit("/models/digits-36@1?unit=5")
    page, title = watched.page, watched.page.locator("#inspector h3")
    expect(title).to_have_text("Unit 5")
    page.locator("#sheet").focus()
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("Unit 6")
    page.keyboard.press("ArrowDown")
    expect(title).to_have_text("Unit 12")
    assert page.locator("#sheet-mark").get_attribute("aria-label").startswith("Unit 12, used by")  # type: ignore[union-attr]
    width = page.locator("#sheet-picture").evaluate("image => image.getBoundingClientRect().width")
    page.keyboard.press("+")
    assert page.locator("#sheet-picture").evaluate("image => image.getBoundingClientRect().width") > 1.4 * width
    page.keyboard.press("0")
    page.keyboard.press("End")
    expect(title).to_have_text("Unit 35")
    page.reload()
    expect(title).to_have_text("Unit 35")
    watched.check_clean()


def test_the_sheet_is_sorted_as_asked(visit: Visit, trained: dict[str, Any], http: httpx2.Client) -> None:
    watched = visit("/models/digits-36")
    order = http.get("/v1/models/digits-36/filters?format=json&order=usage").json()["layout"]["order"]
    sheet = watched.page.locator("#sheet")
    expect(sheet).to_have_attribute("aria-busy", "false")
    watched.page.get_by_label("Order").select_option("usage")
    expect(watched.page.locator("#sheet-picture")).to_have_attribute("src", re.compile("order=usage"))
    expect(sheet).to_have_attribute("aria-busy", "false")
    watched.page.locator("#sheet").focus()
    watched.page.keyboard.press("ArrowRight")
    expect(watched.page.locator("#inspector h3")).to_have_text(f"Unit {order[0]}")
    assert "order=usage" in watched.page.url
    watched.page.locator("select[name=kind]").select_option("encoder")
    expect(watched.page.locator(".enlarged-filter")).to_have_attribute(
        "src", f"/v1/models/digits-36@1/filters/{order[0]}?kind=encoder&format=png"
    )
    watched.check_clean()


def test_maps_are_tabs_of_those_that_a_model_has(visit: Visit, trained: dict[str, Any], http: httpx2.Client) -> None:
    watched = visit("/models/digits-36@1")
    page = watched.page
    kinds = list(http.get("/v1/models/digits-36@1").json()["maps"])
    assert page.get_by_role("tab").all_inner_texts() == kinds
    tab = page.get_by_role("tab", name="usage")
    tab.click()
    expect(page.locator("#map-panel")).to_contain_text("Units at zero are dead")
    page.get_by_alt_text("The map usage").evaluate("image => image.decode()")
    assert page.get_by_alt_text("The map usage").evaluate("image => image.naturalWidth") > 0
    page.keyboard.press("ArrowRight")
    following = kinds[(kinds.index("usage") + 1) % len(kinds)]
    expect(page.get_by_role("tab", name=following)).to_have_attribute("aria-selected", "true")
    watched.check_clean()


def test_a_model_is_deleted_after_a_question(visit: Visit, http: httpx2.Client, few_digits: str) -> None:
    body = {"type": "train", "recipe": "drsae", "dataset": few_digits, "publish_as": "to-delete", **SMALL}
    body["training"] = {"epochs": 1, "batch_size": 100, "previews": 1}
    assert wait_for(http, http.post("/v1/jobs", json=body).json()["id"])["status"] == "succeeded"
    watched = visit("/models/to-delete@1")
    page = watched.page
    page.get_by_role("button", name="Delete this version…").click()
    page.get_by_role("button", name="Keep it").click()
    assert http.get("/v1/models/to-delete@1").status_code == 200
    page.get_by_role("button", name="Delete this version…").click()
    page.get_by_role("button", name="Delete to-delete@1").click()
    page.wait_for_url("**/models")
    assert http.get("/v1/models/to-delete@1").status_code == 404
    watched.check_clean()


@pytest.mark.parametrize(
    "path", ["/models/nothing", "/models/digits-36@99", "/models/%20", "/playground?model=nothing"]
)
def test_a_page_of_no_model_says_so(visit: Visit, http: httpx2.Client, trained: dict[str, Any], path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    watched = visit(path)
    expect(watched.page.get_by_role("heading", name="Not found")).to_be_visible()
    expect(watched.page.get_by_role("link", name="All models")).to_be_visible()
    watched.check_accessible()


def test_a_picture_of_a_unit_that_there_is_not_is_left_out(visit: Visit, trained: dict[str, Any]) -> None:
    watched = visit("/models/digits-36@1?unit=999&order=nonsense&map=nonsense")
    expect(watched.page.locator("#inspector")).to_contain_text("Choose a filter")
    watched.check_clean()
