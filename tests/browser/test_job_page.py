"""The page of one job: pictures and curves at one moment."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from asking import THOUSAND, wait_for
from awaited_pages import until

Open = Callable[..., Any]
SHOWN = "document.querySelector('#filters').dataset.step"
PIXELS = "document.querySelector('#filters').toDataURL()"
CURSORS = "[...document.querySelectorAll('.cursor')].map(each => each.getBoundingClientRect().left)"


def preview_steps(http: httpx2.Client, job: str) -> list[int]:
    page = http.get(f"/v1/jobs/{job}/events?limit=1000&format=json").json()
    return [event["data"]["step"] for event in page["data"] if event["type"] == "preview"]


def test_scrubbing_back_shows_the_picture_of_that_step_and_moves_every_cursor(
    opened: Open, http: httpx2.Client, trained: dict[str, Any]
) -> None:
    steps = preview_steps(http, trained["id"])
    page = opened(f"/jobs/{trained['id']}")
    until(page, f"{SHOWN} === '{steps[-1]}'")
    page.wait_for_selector(".curve svg .lines")
    last, before = page.evaluate(PIXELS), page.evaluate(CURSORS)
    asked = steps[len(steps) // 2]
    page.evaluate(
        """step => { const bar = document.querySelector('#time'); bar.value = step;
            bar.dispatchEvent(new Event('input', {bubbles: true})); }""",
        asked,
    )
    until(page, f"{SHOWN} === '{asked}'")
    answer = http.get(f"/v1/jobs/{trained['id']}/filters?step={asked}")
    assert answer.headers["x-step"] == page.inner_text("#step") == str(asked)
    assert page.evaluate(PIXELS) != last
    after = page.evaluate(CURSORS)
    assert len(after) >= 4
    assert all(now < then for now, then in zip(after, before, strict=True))
    assert len({round(left - after[0], 1) for left in after}) == 1
    until(page, f"location.hash === '#step={asked}'")
    assert page.get_attribute("#live", "aria-pressed") == "false"


def test_the_address_holds_the_step_and_keys_move_it(
    opened: Open, http: httpx2.Client, trained: dict[str, Any]
) -> None:
    steps = preview_steps(http, trained["id"])
    page = opened(f"/jobs/{trained['id']}#step={steps[2]}")
    until(page, f"{SHOWN} === '{steps[2]}'")
    for key, step in (("ArrowRight", steps[3]), ("ArrowLeft", steps[2]), ("Home", steps[0]), ("End", steps[-1])):
        page.keyboard.press(key)
        until(page, f"{SHOWN} === '{step}'")
    page.keyboard.press("Home")
    until(page, f"{SHOWN} === '{steps[0]}'")
    page.keyboard.press("Space")
    until(page, f"{SHOWN} === '{steps[-1]}'")
    page.click("#live")
    until(page, "location.hash === ''")


@pytest.fixture(scope="module")
def lively(http: httpx2.Client, few_digits: str) -> Iterator[str]:
    """A job of 1024 filters of 16 × 16 with many pictures, which goes on for long."""
    training = {"epochs": 200, "batch_size": 100, "previews": 100}
    body = {"type": "train", **THOUSAND, "dataset": few_digits, "training": training}
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    yield answer.json()["id"]
    http.post(f"/v1/jobs/{answer.json()['id']}/cancel")


def test_a_running_job_moves_by_itself_and_leaves_a_touched_bar_alone(
    opened: Open, http: httpx2.Client, lively: str, stop_at_the_end: Callable[[str], None]
) -> None:
    page = opened(f"/jobs/{lively}")
    until(page, f"Number({SHOWN}) > 0 && document.querySelectorAll('.curve').length > 2", 60)
    first = page.evaluate(f"Number({SHOWN})")
    until(page, f"Number({SHOWN}) > {first}")
    page.keyboard.press("Home")
    until(page, f"{SHOWN} === '0'")
    end = int(page.get_attribute("#time", "max"))
    until(page, f"Number(document.querySelector('#time').max) > {end}")
    assert page.input_value("#time") == "0"
    page.click("[data-action=pause]")
    until(page, "document.querySelector('#state').textContent === 'paused'")
    page.click("[data-action=resume]")
    page.wait_for_selector("[data-action=pause]")
    page.click("[data-action=cancel]")
    until(page, "document.querySelector('#state').textContent === 'cancelled'")
    page.click("[data-action=retry]")
    page.wait_for_url(lambda address: "/jobs/" in address and lively not in address)
    again = page.get_attribute("#job", "data-job")
    stop_at_the_end(again)
    assert http.get(f"/v1/jobs/{again}").json()["spec"] == http.get(f"/v1/jobs/{lively}").json()["spec"]


def test_scrubbing_through_a_thousand_filters_keeps_thirty_frames_a_second(
    opened: Open, http: httpx2.Client, lively: str
) -> None:
    http.post(f"/v1/jobs/{lively}/cancel")
    wait_for(http, lively)
    steps = preview_steps(http, lively)[:12]
    page = opened(f"/jobs/{lively}#step=0")
    page.wait_for_selector(".curve svg", state="attached")
    for step in steps:  # seen once, as somebody would
        if step:
            page.keyboard.press("ArrowRight")
        until(page, f"{SHOWN} === '{step}'")
    tries = [scrub(page, steps[-1]) for _ in range(3)]
    assert min(drawn for drawn, _ in tries) >= len(steps) - 2
    assert max(rate for _, rate in tries) >= 30, tries


def scrub(page: Any, end: int) -> tuple[int, float]:
    """Drags the bar over sixty frames up to `end`: how many pictures were drawn, and frames a second."""
    drawn, seconds = page.evaluate(
        """async (end) => {
        const bar = document.querySelector('#time'), seen = new Set(), started = performance.now();
        for (let frame = 0; frame < 60; frame += 1) {
            bar.value = Math.round(end * frame / 59);
            bar.dispatchEvent(new Event('input', {bubbles: true}));
            await new Promise(requestAnimationFrame);
            seen.add(document.querySelector('#filters').dataset.step);
        }
        return [seen.size, (performance.now() - started) / 1000];
    }""",
        end,
    )
    return drawn, 60 / seconds
