"""The supervisor's reports reach the log once each, also when an answer of the store is lost on its way."""

import threading
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from pinwheel.settings import Settings
from pinwheel.states import State
from pinwheel.store import events
from pinwheel.store.artifacts import Artifacts
from pinwheel.store.jobs import Event, JobStore
from worker.supervise import Supervisor


class LosesAnswers(JobStore):
    """The real store over a connection that breaks after the server has done what was asked, once."""

    broken = True

    def beat(self, *args: Any, **kwargs: Any) -> State:
        state = super().beat(*args, **kwargs)
        if self.broken:
            self.broken = False
            raise RedisConnectionError("the answer was lost")
        return state


def test_reports_survive_a_lost_answer(store: JobStore, tmp_path: Path) -> None:
    losing = LosesAnswers(store.client, Settings(lease_seconds=5))
    losing.create("job_1", {"type": "train", "dataset": "ds_1", "max_attempts": 3, "spec": {}}, [])
    claim = losing.claim("job_1", "w1")
    assert claim is not None
    supervisor = Supervisor(losing, Artifacts(tmp_path), Settings(), claim, threading.Event())
    supervisor._pending = ({"metrics": {"loss": 1.0}}, [Event("metrics", {"step": 1}, 1)])
    with pytest.raises(RedisConnectionError):
        supervisor._beat()
    supervisor._pending[1].append(Event("metrics", {"step": 2}, 2))
    supervisor._pending[0]["checkpoint"] = "checkpoints/1-000000002.safetensors"
    supervisor._beat()  # the first report again, which the store has already
    assert supervisor._unsent()
    supervisor._beat()
    assert not supervisor._unsent()
    steps = [event["data"]["step"] for event in events.read(store.client, "job_1") if event["type"] == "metrics"]
    assert steps == [1, 2]
    job = losing.get("job_1")
    assert job["checkpoint"] == "checkpoints/1-000000002.safetensors"
    assert job["metrics"] == {"loss": 1.0}
