"""The page of data sets: what is there is seen, files are added, and what is used cannot be deleted."""

from collections.abc import Callable
from typing import Any

import httpx2
from asking import SMALL, npz
from awaited_pages import until
from playwright.sync_api import expect

Open = Callable[..., Any]
Digits = tuple[Any, Any]


def names(page: Any) -> list[str]:
    found: list[str] = page.evaluate("[...document.querySelectorAll('.tile .name')].map(each => each.textContent)")
    return found


def delete(page: Any, name: str) -> None:
    page.click(f'[aria-label="Delete {name}"]')
    until(page, "document.querySelector('#confirm').open")
    assert name in page.inner_text("#confirm-title")


def test_a_file_is_added_seen_and_deleted_after_a_question(opened: Open, http: httpx2.Client, digits: Digits) -> None:
    page = opened("/data")
    body = npz(images=digits[0][100:160], labels=digits[1][100:160])
    page.set_input_files("#upload", {"name": "page-made.npz", "mimeType": "application/zip", "buffer": body})
    expect(page.locator('[aria-label="Delete page-made"]')).to_be_attached()
    (made,) = [each for each in http.get("/v1/datasets?limit=100").json()["data"] if each["name"] == "page-made"]
    assert made["images"]["count"] == 60
    picture = f'img[src^="/v1/datasets/{made["id"]}/preview"]'
    page.locator(picture).scroll_into_view_if_needed()
    until(page, f"document.querySelector('{picture}').naturalWidth > 100")
    delete(page, "page-made")
    page.click("#confirm button[value=keep]")
    assert "page-made" in names(page)
    delete(page, "page-made")
    page.click("#confirm button[value=delete]")
    expect(page.locator('[aria-label="Delete page-made"]')).not_to_be_attached()
    assert http.get(f"/v1/datasets/{made['id']}").status_code == 404


def test_a_data_set_that_a_job_uses_stays_and_the_page_says_so(
    visit: Any, http: httpx2.Client, digits: Digits, stop_at_the_end: Callable[[str], None]
) -> None:
    body = npz(images=digits[0][200:260], labels=digits[1][200:260])
    used = http.post("/v1/datasets?name=page-used", content=body).json()["id"]
    training = SMALL["training"] | {"epochs": 5000}
    job = {"type": "train", "recipe": "drsae", "dataset": used, **SMALL, "training": training}
    stop_at_the_end(http.post("/v1/jobs", json=job).json()["id"])
    watched = visit("/data")
    delete(watched.page, "page-used")
    watched.page.click("#confirm button[value=delete]")
    until(watched.page, "!document.querySelector('#refused').hidden")
    assert "use" in watched.page.inner_text("#refused")
    assert http.get(f"/v1/datasets/{used}").status_code == 200
    watched.errors.clear()  # of the refusal the browser makes a note


def test_a_file_that_is_no_data_set_is_refused_in_words(visit: Any) -> None:
    watched = visit("/data")
    sent = {"name": "letter.txt", "mimeType": "text/plain", "buffer": b"dear reader"}
    watched.page.set_input_files("#upload", sent)
    until(watched.page, "!document.querySelector('#refused').hidden")
    assert "no format that is read" in watched.page.inner_text("#refused")
