"""A job with 50 000 points of history and many pictures of 1024 filters, as after weeks of training."""

import shutil
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
import psutil
import pytest
from asking import THOUSAND, succeeded
from awaited_pages import until

from pinwheel.ids import new_id
from pinwheel.settings import Settings
from pinwheel.store.connection import connect
from pinwheel.store.jobs import Event, JobStore
from pinwheel.up import Service

Open = Callable[..., Any]
POINTS, EVERY, PICTURES = 50_000, 10, 40
SHOWN = "document.querySelector('#filters').dataset.step"
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def pictured(http: httpx2.Client, few_digits: str) -> dict[str, Any]:
    """A short training of 1024 filters of 16 × 16 that has some pictures."""
    training = {"epochs": 4, "batch_size": 100, "previews": PICTURES}
    return succeeded(http, {**THOUSAND, "dataset": few_digits, "training": training})


@pytest.fixture(scope="module")
def weeks(service: Service, pictured: dict[str, Any]) -> str:
    """A job whose log was written as a worker writes it, 50 000 times."""
    client = connect(service.redis_url)
    store = JobStore(client, Settings(lease_seconds=20, events_per_job=2 * POINTS))
    job_id = new_id("job")
    fields = {name: pictured[name] for name in ("type", "recipe", "dataset", "spec", "progress", "max_attempts")}
    store.create(job_id, fields | {"publish_as": "weeks", "metadata": {}}, [])
    claim = store.claim(job_id, "written by hand")
    assert claim is not None
    curve = np.exp(-np.arange(POINTS) / 10_000) + 0.1
    previews = service.data_dir / "jobs" / job_id / "previews"
    previews.mkdir(parents=True)
    taken = sorted((service.data_dir / "jobs" / pictured["id"] / "previews").glob("*.safetensors"))
    pictures = {int(place): taken[number % len(taken)] for number, place in enumerate(np.linspace(0, POINTS, PICTURES))}
    for start in range(0, POINTS, 1000):
        events = []
        for point in range(start, start + 1000):
            step = EVERY * point
            if point in pictures:
                shutil.copy(pictures[point], previews / f"{step:09d}.safetensors")
                events.append(Event("preview", {"step": step}, step))
            values = {"loss": curve[point], "unexplained_variance": curve[point] / 2, "l0": 40.0 + point % 7}
            events.append(Event("metrics", {"step": step, "epoch": point / 100, **values}, step))
        store.beat(claim, 1 + start // 1000, {}, events)
    store.end(claim, "succeed")
    client.close()
    return job_id


def test_a_long_history_is_painted_at_once_scrubs_fluently_and_stays_small(
    opened: Open, http: httpx2.Client, weeks: str
) -> None:
    assert http.get(f"/v1/jobs/{weeks}/metrics").json()["total_points"] == POINTS
    page = opened("/system")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page.url.replace("/system", f"/jobs/{weeks}"))
    painted = page.evaluate(
        """() => new Promise(found => new PerformanceObserver(list => found(list.getEntries().at(-1).startTime))
        .observe({type: 'paint', buffered: true}))"""
    )
    assert painted < 1000
    until(page, "document.querySelectorAll('.curve svg .lines').length >= 3", 20)
    until(page, f"{SHOWN} !== undefined", 20)
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(60)
    rates = [scrub(page) for _ in range(3)]
    assert max(rates) >= 30, rates
    histories = [url for url in asked if "/metrics" in url]
    assert len(histories) == 1
    assert not [url for url in asked if "/events" in url], "a job that has ended says nothing more"
    page.goto(page.url.split("#")[0])  # what is measured is a page that has loaded, not what loading it took
    until(page, f"{SHOWN} !== undefined", 20)
    assert largest_tab() < 200 * MEBIBYTE


def scrub(page: Any) -> float:
    """Frames a second while the bar is dragged over the last pictures."""
    seconds: float = page.evaluate(
        """async () => {
        const bar = document.querySelector('#time'), end = Number(bar.max), started = performance.now();
        for (let frame = 0; frame < 60; frame += 1) {
            bar.value = Math.round(end * (1 - 0.1 * frame / 59));
            bar.dispatchEvent(new Event('input', {bubbles: true}));
            await new Promise(requestAnimationFrame);
        }
        return (performance.now() - started) / 1000;
    }"""
    )
    return 60 / seconds


def largest_tab() -> int:
    """Memory that only the largest page of the browser has."""
    sizes = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in child.cmdline():
                sizes.append(child.memory_full_info().uss)
        except psutil.Error:
            continue
    return max(sizes)
