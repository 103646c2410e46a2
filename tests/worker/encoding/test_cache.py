"""Models kept warm: within their number and their size, and anew when their files are others."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from training_cases import MakePlan, stripes

from pinwheel.store.artifacts import Artifacts
from worker.encoding.cache import EngineCache
from worker.training.loop import Loop


@pytest.fixture
def artifacts(tmp_path: Path, make_plan: MakePlan) -> Artifacts:
    """Three models of one size, `a`, `b` and `c`, each version 1, of different seeds."""
    kept = Artifacts(tmp_path / "data")
    for seed, name in enumerate("abc"):
        plan = make_plan({"training": {"epochs": 1, "seed": seed, "previews": 0}})
        last = Loop(plan, lambda _: None, lambda: None).run()
        kept.model(name, 1).parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(plan.out / last["bundle"], kept.model(name, 1))
    return kept


def soon(wanted: Callable[[], bool]) -> None:
    """The model that came last is there before those that make room for it have left."""
    deadline = time.monotonic() + 20
    while not wanted() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert wanted()


def test_the_models_used_last_stay(artifacts: Artifacts) -> None:
    cache = EngineCache(artifacts, most=2)
    for name in "ab":
        cache.get(name, 1)
    cache.get("a", 1)
    cache.get("c", 1)
    soon(lambda: cache.names() == ["a@1", "c@1"])


def test_together_they_are_no_larger_than_allowed_and_one_alone_may_be(artifacts: Artifacts) -> None:
    size = EngineCache(artifacts).get("a", 1).size_bytes
    cache = EngineCache(artifacts, most_bytes=2 * size)
    for name in "abc":
        cache.get(name, 1)
    soon(lambda: cache.names() == ["b@1", "c@1"])
    tight = EngineCache(artifacts, most_bytes=size // 2)
    images = stripes(3).images
    found = {name: tight.get(name, 1).encode(images) for name in "ab"}
    soon(lambda: tight.names() == ["b@1"])
    np.testing.assert_array_equal(tight.get("a", 1).encode(images), found["a"])
    assert (found["a"] != found["b"]).any()


def test_a_model_whose_file_is_another_is_loaded_anew(artifacts: Artifacts) -> None:
    cache, images = EngineCache(artifacts), stripes(3).images
    first, other = (cache.get(name, 1).encode(images) for name in "ab")
    shutil.rmtree(artifacts.model("a", 1))
    with pytest.raises(FileNotFoundError):
        cache.get("a", 1)
    shutil.copytree(artifacts.model("b", 1), artifacts.model("a", 1))
    now = cache.get("a", 1).encode(images)
    np.testing.assert_array_equal(now, other)
    assert (now != first).any()
