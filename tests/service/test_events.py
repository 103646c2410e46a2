"""Following a job: pages, streams, reconnects, and the end."""

import json
import threading
import time
from typing import Any

import httpx2
from asking import SMALL, wait_for


def read_stream(http: httpx2.Client, path: str, most: int | None = None, **headers: str) -> list[dict[str, Any]]:
    """Events of a stream until it closes, or the first `most`."""
    found: list[dict[str, Any]] = []
    with http.stream("GET", path, headers={"Accept": "text/event-stream", **headers}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        block: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(":")
                block[name] = value.strip()
                continue
            if "data" in block:
                event = json.loads(block["data"])
                assert block["id"] == str(event["seq"])
                assert block["event"] == event["type"]
                found.append(event)
                if most and len(found) >= most:
                    return found
            block = {}
    return found


def test_a_stream_replays_everything_and_closes_after_done(http: httpx2.Client, trained: dict[str, Any]) -> None:
    events = read_stream(http, f"/v1/jobs/{trained['id']}/events")
    page = http.get(f"/v1/jobs/{trained['id']}/events?limit=1000&format=json").json()
    assert events == page["data"]
    assert events[-1]["type"] == "done"


def test_a_stream_continues_behind_last_event_id(http: httpx2.Client, trained: dict[str, Any]) -> None:
    here = f"/v1/jobs/{trained['id']}/events"
    events = read_stream(http, here, **{"Last-Event-ID": "5"})
    assert events[0]["seq"] == 6
    assert read_stream(http, here + "?after=5") == events
    assert read_stream(http, here + "?after=0", **{"Last-Event-ID": "5"}) == events


def test_nothing_is_left_to_say_after_done(http: httpx2.Client, trained: dict[str, Any]) -> None:
    here = f"/v1/jobs/{trained['id']}/events"
    last = read_stream(http, here)[-1]["seq"]
    answer = http.get(here, headers={"Accept": "text/event-stream", "Last-Event-ID": str(last)})
    assert answer.status_code == 204
    assert http.get(f"{here}?after={last}&format=json").json()["data"] == []


def test_a_last_event_id_that_is_no_number_is_refused(http: httpx2.Client, trained: dict[str, Any]) -> None:
    answer = http.get(f"/v1/jobs/{trained['id']}/events", headers={"Last-Event-ID": "abc"})
    assert answer.status_code == 400
    assert "abc" in answer.json()["detail"]


def test_a_live_stream_brings_events_as_they_happen_and_survives_reconnects(
    http: httpx2.Client, few_digits: str
) -> None:
    body = {"type": "train", "recipe": "drsae", "dataset": few_digits, **SMALL, "publish_as": "streamed"}
    job_id = http.post("/v1/jobs", json=body).json()["id"]
    found: list[dict[str, Any]] = []
    while not found or found[-1]["type"] != "done":  # a new connection after every third event
        headers = {"Last-Event-ID": str(found[-1]["seq"])} if found else {}
        found += read_stream(http, f"/v1/jobs/{job_id}/events", most=3, **headers)
    assert [event["seq"] for event in found] == list(range(1, len(found) + 1))
    assert found[-1]["data"]["status"] == "succeeded"


def test_a_long_poll_answers_as_soon_as_something_happens(http: httpx2.Client, few_digits: str) -> None:
    body = {"type": "train", "recipe": "drsae", "dataset": few_digits, "training": {"epochs": 100_000}}
    job_id = http.post("/v1/jobs", json=body).json()["id"]
    last = 0
    while True:  # wait until it runs and is quiet for a moment
        page = http.get(f"/v1/jobs/{job_id}/events?after={last}&wait=10&format=json").json()
        last = page["last_id"] or last
        if any(event["data"].get("status") == "running" for event in page["data"] if event["type"] == "status"):
            break
    http.post(f"/v1/jobs/{job_id}/cancel")
    start = time.monotonic()
    kinds: list[str] = []
    while "done" not in kinds and time.monotonic() - start < 30:
        page = http.get(f"/v1/jobs/{job_id}/events?after={last}&wait=25&format=json").json()
        kinds += [event["type"] for event in page["data"]]
        last = page["last_id"] or last
    assert "done" in kinds
    start = time.monotonic()
    assert http.get(f"/v1/jobs/{job_id}/events?after={last}&wait=25&format=json").json()["data"] == []
    assert time.monotonic() - start < 5, "after done nothing more can come, so nothing is waited for"


def test_many_followers_see_the_same(http: httpx2.Client, few_digits: str) -> None:
    body = {"type": "train", "recipe": "drsae", "dataset": few_digits, **SMALL, "publish_as": "followed"}
    job_id = http.post("/v1/jobs", json=body).json()["id"]
    seen: list[list[dict[str, Any]]] = [[] for _ in range(8)]

    def follow(number: int) -> None:
        with httpx2.Client(base_url=http.base_url, timeout=60, trust_env=False) as client:
            seen[number] = read_stream(client, f"/v1/jobs/{job_id}/events")

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=90)
    assert wait_for(http, job_id)["status"] == "succeeded"
    assert seen[0][-1]["type"] == "done"
    assert all(events == seen[0] for events in seen)
