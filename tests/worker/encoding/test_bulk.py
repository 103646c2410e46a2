"""Encode jobs: shards of bounded size, taken up where an attempt stopped, and ends that say what is wrong."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from training_cases import MakePlan, stripes

from pinwheel.ids import new_id
from pinwheel.settings import Settings
from pinwheel.store.artifacts import Artifacts
from pinwheel.store.jobs import JobStore
from worker.data.store import write_dataset
from worker.encoding import bulk
from worker.encoding.cache import EngineCache
from worker.encoding.shards import ShardWriter
from worker.training.loop import Loop

OUTPUT = {"format": "npz", "sparse": True, "topk": None, "threshold": None, "dtype": "float32"}
IMAGES = stripes(100, seed=4).images


class After(threading.Event):
    """A stop that is asked for when it has been looked for so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@pytest.fixture
def artifacts(make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifacts:
    """With a model `m@1` and a data set `ds_1`."""
    loop = Loop(make_plan({"training": {"previews": 0, "epochs": 1}}), lambda _: None, lambda: None)
    bundle = loop.run()["bundle"]
    found = Artifacts(tmp_path / "artifacts")
    found.adopt(loop.plan.out / bundle, found.model("m", 1))
    write_dataset(stripes(100, seed=4), found.dataset("ds_1"))
    engines = EngineCache(found)
    monkeypatch.setattr(bulk, "shared_engines", lambda: engines)
    return found


def submitted(store: JobStore, **fields: Any) -> str:
    job_id = new_id("job")
    job = {"type": "encode", "model": "m@1", "dataset": "ds_1", "max_attempts": 3, "output": OUTPUT} | fields
    store.create(job_id, job, [])
    return job_id


def run(store: JobStore, artifacts: Artifacts, job_id: str, stop: threading.Event | None = None) -> dict[str, Any]:
    claim = store.claim(job_id, "worker")
    assert claim is not None
    settings = Settings(lease_seconds=5, result_shard_bytes=1024)  # 16 rows of 16 units
    bulk.encode_dataset(store, artifacts, settings, claim, stop or threading.Event())
    return store.get(job_id)


def features(artifacts: Artifacts, job: dict[str, Any]) -> np.ndarray:
    paths = [artifacts.job(job["id"]) / shard["file"] for shard in job["shards"]]
    if paths[0].suffix == ".npy":
        return np.concatenate([np.load(path) for path in paths])
    matrix: np.ndarray = scipy.sparse.vstack([scipy.sparse.load_npz(path) for path in paths]).toarray()
    return matrix


@pytest.mark.parametrize("sparse", [True, False])
def test_a_job_that_was_stopped_goes_on_behind_its_last_shard(
    store: JobStore, artifacts: Artifacts, sparse: bool
) -> None:
    expected = bulk.shared_engines().get("m", 1).encode(IMAGES)
    job_id = submitted(store, output=OUTPUT | {"sparse": sparse})
    stopped = run(store, artifacts, job_id, After(4))
    assert stopped["state"] == "queued"
    before = stopped["shards"]
    assert 0 < sum(shard["rows"] for shard in before) < 100
    (artifacts.job(job_id) / "result" / "1-00099.npz.tmp").write_bytes(b"what a dead attempt left")
    job = run(store, artifacts, job_id)
    assert job["state"] == "succeeded"
    assert job["shards"][: len(before)] == before
    assert {shard["file"].split("/")[1].split("-")[0] for shard in job["shards"]} == {"1", "2"}
    assert job["result"]["shards"] == len(job["shards"]) == len(list((artifacts.job(job_id) / "result").iterdir()))
    np.testing.assert_allclose(features(artifacts, job), expected, atol=1e-6)
    assert job["metrics"]["l0"] == pytest.approx((expected != 0).sum(1).mean(), rel=1e-3)


def test_a_shard_that_is_gone_means_from_the_beginning(store: JobStore, artifacts: Artifacts) -> None:
    job_id = submitted(store)
    first = run(store, artifacts, job_id, After(4))["shards"][0]
    (artifacts.job(job_id) / first["file"]).unlink()
    job = run(store, artifacts, job_id)
    assert sum(shard["rows"] for shard in job["shards"]) == 100
    np.testing.assert_allclose(features(artifacts, job), bulk.shared_engines().get("m", 1).encode(IMAGES), atol=1e-6)


def test_passes_topk_and_threshold_are_those_of_the_job(store: JobStore, artifacts: Artifacts) -> None:
    engine = bulk.shared_engines().get("m", 1)
    job = run(store, artifacts, submitted(store, passes=1, output=OUTPUT | {"topk": 2, "threshold": 0.01}))
    found, whole = features(artifacts, job), engine.encode(IMAGES, 1)
    assert ((found != 0).sum(1) <= 2).all()
    kept = found != 0
    np.testing.assert_allclose(found[kept], whole[kept], atol=1e-6)
    assert np.array_equal(found.max(1) > 0, whole.max(1) > 0.01)


def test_images_of_a_request_are_its_own_and_go_with_success(store: JobStore, artifacts: Artifacts) -> None:
    job_id = submitted(store, dataset=None)
    write_dataset(stripes(100, seed=4), artifacts.input(job_id))
    job = run(store, artifacts, job_id)
    assert (job["state"], job.get("dataset")) == ("succeeded", None)
    assert not artifacts.input(job_id).exists()


def test_what_a_model_cannot_take_fails_with_the_reason(store: JobStore, artifacts: Artifacts) -> None:
    other = submitted(store, dataset=None)
    write_dataset(type(stripes(1))(np.zeros((3, 9, 6, 1), np.uint8)), artifacts.input(other))
    job = run(store, artifacts, other)
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid_dataset")
    assert "(9, 6, 1); the model takes (8, 6, 1)" in job["error"]["detail"]


def test_features_that_float16_cannot_hold_are_not_kept() -> None:
    with pytest.raises(ValueError, match="a feature of 70000 does not fit into float16"):
        bulk._kept(np.full((1, 2), 70_000, np.float32), {"dtype": "float16"})
    with pytest.raises(ValueError, match="overflow"):
        bulk._kept(np.full((1, 2), np.inf, np.float32), {})


def test_no_shard_is_larger_than_asked_for_and_a_batch(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 1, 8, sparse=False, shard_bytes=1000, known=[])
    for _ in range(20):
        writer.add(np.ones((10, 8), np.float32))
    writer.flush()
    writer.flush()
    assert [shard["rows"] for shard in writer.shards] == [40] * 5
    assert [shard["values"] for shard in writer.shards] == [320] * 5
