"""What the server says of itself, its lists and its pages."""

import json
import re
import subprocess
import sys
import threading
from typing import Any

import httpx2
import numpy as np
import psutil
import pytest
from asking import npy

from pinwheel.recipes import RECIPES, find
from pinwheel.specs import ANY_SPEC
from pinwheel.up import Service


def test_the_server_imports_quickly_and_without_torch() -> None:
    code = """
import sys, time
start = time.process_time()
import app.main
print(time.process_time() - start, "torch" in sys.modules)
"""
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    seconds, torch = zip(*(run.stdout.split() for run in runs), strict=True)
    assert set(torch) == {"False"}
    assert min(float(value) for value in seconds) < 1.5


def test_health_readiness_and_information(http: httpx2.Client) -> None:
    assert http.get("/healthz").json() == {"status": "ok"}
    ready = http.get("/readyz")
    assert ready.status_code == 200
    assert set(ready.json()["checks"].values()) == {"ok"}
    info = http.get("/v1/info").json()
    assert info["version"]
    assert info["limits"]["max_encode_images"] == 20_000
    assert 'pinwheel_jobs{state="queued"}' in http.get("/metrics").text


def test_workers_are_listed(http: httpx2.Client) -> None:
    workers = http.get("/v1/workers").json()["data"]
    assert sorted(queue for worker in workers for queue in worker["queues"]) == ["encode", "train"]
    assert {worker["device"] for worker in workers} <= {"cpu", "cuda"}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_carry_their_spec_and_its_schema(http: httpx2.Client, name: str) -> None:
    recipe = http.get(f"/v1/recipes/{name}").json()
    assert recipe["name"] == name
    assert recipe["paper"]
    assert ANY_SPEC.validate_json(json.dumps(recipe["spec"])) == find(name).spec
    assert recipe["schema"]["properties"].keys() == recipe["spec"].keys()
    assert name in [item["name"] for item in http.get("/v1/recipes").json()["data"]]


def test_an_unknown_recipe_is_a_404(http: httpx2.Client) -> None:
    answer = http.get("/v1/recipes/nope")
    assert answer.status_code == 404
    assert "drsae" in answer.json()["detail"]


def test_the_front_is_a_page_for_browsers_and_a_document_for_programs(http: httpx2.Client) -> None:
    page = http.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    document = http.get("/", headers={"Accept": "application/json"}).json()
    for link in document["links"].values():
        assert http.get(link).status_code == 200, link


def some_of_each_kind(addresses: list[str]) -> list[str]:
    """Five of those that differ in the id of a job alone: the front page shows every job of this service."""
    kinds: dict[str, list[str]] = {}
    for address in dict.fromkeys(addresses):
        kinds.setdefault(re.sub(r"job_\w+", "job", address), []).append(address)
    return [address for kind in kinds.values() for address in kind[:5]]


def test_pages_are_whole_and_ask_nobody_else(http: httpx2.Client, trained: dict[str, Any]) -> None:
    model = trained["model"]
    pages = ("/", "/new", "/models", f"/models/{model}", f"/jobs/{trained['id']}", "/data", "/playground", "/system")
    for path in (*pages, "/docs"):
        page = http.get(path, headers={"Accept": "text/html"})
        assert page.status_code == 200, path
        addresses = re.findall(r'(?:src|href)="([^"#]+)', page.text)
        assert [address for address in addresses if not address.startswith("/")] == []
        for address in some_of_each_kind(addresses):
            # A job that was cancelled as it began has no picture; the page takes its place away.
            allowed = (200, 404) if address.startswith("/v1/jobs/") else (200,)
            assert http.get(address.replace("&amp;", "&")).status_code in allowed, address
        assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "digits-36" in http.get("/models").text
    assert http.get(f"/v1/jobs/{trained['id']}/filters?scale=1").headers["content-type"] == "image/png"
    assert http.get("/jobs/job_nothing").status_code == 404
    assert http.get("/models/nothing").status_code == 404


def test_the_curves_are_drawn_by_the_installed_plotly_kept_for_ever(http: httpx2.Client) -> None:
    page = http.get("/static/vendor/plotly.min.js?v=1")
    assert page.headers["content-type"].startswith("text/javascript")
    assert "immutable" in page.headers["cache-control"]
    assert len(page.content) > 1_000_000
    assert http.get("/static/page.js").headers["cache-control"] == "no-cache"


def test_every_route_says_what_it_does_and_how_it_fails(http: httpx2.Client) -> None:
    document = http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            assert route.get("description"), (method, path)
            successes = [status for status in route["responses"] if status.startswith("2")]
            assert successes, (method, path)
            if path.startswith("/v1/") and path not in ("/v1/info", "/v1/recipes"):
                problems = [status for status in route["responses"] if status[0] in "45"]
                assert problems, (method, path)


def test_every_answer_carries_a_request_id(http: httpx2.Client) -> None:
    assert http.get("/healthz").headers["x-request-id"]
    assert http.get("/healthz", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert http.get("/healthz", headers={"X-Request-Id": "no spaces"}).headers["x-request-id"] != "no spaces"
    assert http.get("/nothing").headers["x-request-id"]


def test_lists_come_in_pages(http: httpx2.Client) -> None:
    made = []
    for number in range(3):
        image = np.full((1, 5, 5), number, np.uint8)
        made.append(http.post(f"/v1/datasets?name=page-{number}", content=npy(image)).json()["id"])
    newest = http.get("/v1/datasets?limit=2").json()
    assert newest["object"] == "list"
    assert [item["id"] for item in newest["data"]] == [made[2], made[1]]
    assert (newest["first_id"], newest["last_id"], newest["has_more"]) == (made[2], made[1], True)
    following = http.get(f"/v1/datasets?limit=1&after={made[1]}").json()
    assert following["data"][0]["id"] == made[0]
    oldest_first = http.get(f"/v1/datasets?order=asc&after={made[0]}").json()
    assert [item["id"] for item in oldest_first["data"]][:2] == made[1:]
    for query in ("limit=0", "limit=101", "order=up", "status=lost"):
        refused = http.get(f"/v1/jobs?{query}")
        assert refused.status_code == 422, query
        assert refused.json()["errors"]


def test_an_upload_of_47_mb_leaves_the_servers_memory_flat(service: Service, http: httpx2.Client) -> None:
    rng = np.random.default_rng(0)
    body = npy(rng.integers(0, 255, (60_000, 28, 28), dtype=np.uint8))
    assert len(body) > 47_000_000
    api = psutil.Process(service.pids["api"])
    before = peak = api.memory_info().rss
    stop = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.005):
            peak = max(peak, api.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    answer = http.post("/v1/datasets?name=large", content=body)
    stop.set()
    watcher.join()
    assert answer.status_code == 201, answer.text
    assert peak - before < 100_000_000
    assert http.get("/v1/jobs").elapsed.total_seconds() < 1
    http.delete(f"/v1/datasets/{answer.json()['id']}")
