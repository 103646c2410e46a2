"""The loop of the encode worker against a real store: what it takes at once, and what it answers to whom."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from training_cases import MakePlan, small_recipe, stripes

from pinwheel.settings import Settings
from pinwheel.store import encoding, keys
from pinwheel.store.artifacts import Artifacts
from pinwheel.store.connection import connect, connect_blocking
from pinwheel.store.wire import pack, unpack
from worker.encoding.cache import EngineCache
from worker.encoding.loop import EncodeService
from worker.training.loop import train

CHANNEL = "answers"


@dataclass
class Server:
    """What a server does: pushes requests for the model `plain`, hears the answers."""

    store_url: str
    answers: dict[str, tuple[dict[str, Any], dict[str, NDArray[Any]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = connect(self.store_url)
        self.heard = self.client.pubsub()
        self.heard.subscribe(CHANNEL)
        assert self.heard.get_message(timeout=5) is not None  # it is subscribed

    def push(self, request_id: str, images: NDArray[Any], callers: int = 1) -> None:
        header = {"model": "plain", "version": 1, "operation": "encode", "parameters": {}, "reply": CHANNEL}
        header |= {"sent": time.time(), "deadline": time.time() + 60, "blob": False}
        raw = encoding.request(request_id.ljust(32), callers, images.nbytes, pack(header, {"images": images}))
        self.client.eval(encoding.PUSH, 1, keys.ENCODE_READY, encoding.LISTS, "plain@1", raw, 60, encoding.MOST_WAITING)

    def hear(self) -> None:
        while (message := self.heard.get_message(timeout=0.2)) is not None:
            for answer in encoding.answers_in(message["data"]):
                header, arrays = unpack(answer)
                self.answers[header["id"].strip()] = header, arrays


@pytest.fixture
def server(store_url: str) -> Iterator[Server]:
    found = Server(store_url)
    yield found
    found.heard.close()
    found.client.close()


@pytest.fixture
def worker(store_url: str, tmp_path: Path, make_plan: MakePlan) -> EncodeService:
    """With one model, `plain`, that takes pixels as they are."""
    plan = make_plan(small_recipe("psd", training={"epochs": 1, "previews": 0}, preprocessing={"scale": "none"}))
    last = train(plan, lambda _: None, lambda: None)
    artifacts = Artifacts(tmp_path / "kept")
    artifacts.model("plain", 1).parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(plan.out / last["bundle"], artifacts.model("plain", 1))
    engines = EngineCache(artifacts)
    engines.get("plain", 1)
    return EncodeService(connect(store_url), connect_blocking(store_url), engines, Settings(encode_batch=5))


def floats(count: int) -> NDArray[np.float32]:
    return stripes(count).images.astype(np.float32) / 255


def test_images_that_overflow_are_refused_alone(server: Server, worker: EncodeService) -> None:
    server.push("first", floats(2))
    server.push("bad", np.full((1, 8, 6, 1), 3e38, np.float32))
    server.push("last", floats(2)[:1])
    worker.serve_once()
    server.hear()
    assert server.answers["bad"][0]["error"] == "invalid_dataset"
    assert "overflow" in server.answers["bad"][0]["detail"]
    first, last = (server.answers[name] for name in ("first", "last"))
    assert (first[0]["batch"], last[0]["batch"]) == (1, 1)
    np.testing.assert_allclose(first[1]["features"][:1], last[1]["features"], atol=1e-5)


def test_a_batch_counts_callers_and_a_request_of_more_goes_alone(server: Server, worker: EncodeService) -> None:
    server.push("three", floats(3), callers=3)
    server.push("two", floats(2), callers=2)
    server.push("eight", floats(8), callers=8)
    server.push("one", floats(1))
    batches = []
    while len(server.answers) < 4:
        known = set(server.answers)
        worker.serve_once()
        server.hear()
        batches.append(sorted(set(server.answers) - known))
    assert batches == [["three", "two"], ["eight"], ["one"]]
    assert {name: header["batch"] for name, (header, _) in server.answers.items()} == {
        "three": 5,
        "two": 5,
        "eight": 8,
        "one": 1,
    }
    assert [len(arrays["features"]) for _, arrays in server.answers.values()] == [3, 2, 8, 1]
