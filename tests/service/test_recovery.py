"""A job survives the death of its trainer and of its worker, and ends as if nothing had happened."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import numpy as np
import psutil
import pytest
from asking import FAST, SMALL, npz, until, wait_for
from safetensors.numpy import load

from pinwheel.up import Service

Digits = tuple[np.ndarray, np.ndarray]
LONG = SMALL["training"] | {"epochs": 60}


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own, whose parts are killed."""
    with Service(tmp_path_factory.mktemp("fragile"), port=0, environment=FAST) as service:
        yield service


@pytest.fixture
def client(fragile: Service, digits: Digits) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=fragile.url, timeout=60, trust_env=False) as http:
        http.post("/v1/datasets?name=few", content=npz(images=digits[0][:500], labels=digits[1][:500]))
        yield http


def submit(client: httpx2.Client, name: str) -> str:
    body = {"type": "train", "recipe": "drsae", "dataset": "few", **SMALL, "training": LONG, "publish_as": name}
    return str(client.post("/v1/jobs", json=body).json()["id"])


def trainer_of(service: Service) -> psutil.Process:
    """The trainer process below the training worker."""
    worker = psutil.Process(service.pids["train-1"])
    return next(child for child in worker.children(recursive=True) if "worker.trainer" in child.cmdline())


def at_step(client: httpx2.Client, job_id: str, step: int) -> Callable[[], bool]:
    def reached() -> bool:
        job = client.get(f"/v1/jobs/{job_id}").json()
        assert not job["terminal"], job
        return bool(job["status"] == "running" and job["progress"]["step"] >= step)

    return reached


def weights(client: httpx2.Client, model: str) -> dict[str, np.ndarray]:
    return load(client.get(f"/v1/models/{model}/weights").content)


def test_killed_twice_a_training_ends_bit_for_bit_as_if_undisturbed(fragile: Service, client: httpx2.Client) -> None:
    undisturbed = wait_for(client, submit(client, "undisturbed"))
    assert (undisturbed["status"], undisturbed["attempt"]) == ("succeeded", 1)

    job_id = submit(client, "disturbed")
    until(at_step(client, job_id, 60))
    trainer_of(fragile).kill()
    until(lambda: client.get(f"/v1/jobs/{job_id}").json()["attempt"] == 2)
    until(at_step(client, job_id, 200))
    orphan = trainer_of(fragile)
    fragile.kill("train-1")
    until(lambda: not orphan.is_running(), 10)
    job = wait_for(client, job_id)

    assert (job["status"], job["attempt"]) == ("succeeded", 3)
    ours, theirs = weights(client, job["model"]), weights(client, undisturbed["model"])
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert np.array_equal(tensor, theirs[name]), name
    assert job["metrics"].keys() == undisturbed["metrics"].keys()
    assert job["metrics"]["loss"] == undisturbed["metrics"]["loss"]

    events = client.get(f"/v1/jobs/{job_id}/events?limit=1000&format=json").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    steps = [event["data"]["step"] for event in events if event["type"] == "metrics"]
    assert steps == sorted(set(steps)), "no step is reported twice"
    plain = client.get(f"/v1/jobs/{undisturbed['id']}/metrics").json()["columns"]
    again = client.get(f"/v1/jobs/{job_id}/metrics").json()["columns"]
    assert again["step"] == plain["step"]
    assert again["loss"] == plain["loss"]
    reasons = [event["data"].get("reason") for event in events if event["type"] == "status"]
    assert reasons.count("trainer_lost") == 1
    assert reasons.count("worker_lost") == 1
    assert [event["type"] for event in events].count("done") == 1


def test_the_server_may_die_while_a_training_runs(fragile: Service, client: httpx2.Client) -> None:
    job_id = submit(client, "api-killed")
    until(at_step(client, job_id, 10))
    fragile.kill("api")
    until(fragile.ready)
    job = wait_for(client, job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)


def test_the_store_may_die_while_a_training_runs(fragile: Service, client: httpx2.Client) -> None:
    job_id = submit(client, "store-killed")
    until(at_step(client, job_id, 10))
    fragile.kill("store")
    until(fragile.ready)
    job = wait_for(client, job_id)
    assert job["status"] == "succeeded"
    events = client.get(f"/v1/jobs/{job_id}/events?limit=1000&format=json").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events].count("done") == 1


def test_a_worker_that_is_told_to_end_gives_its_job_back_without_losing_an_attempt(
    fragile: Service, client: httpx2.Client
) -> None:
    job_id = submit(client, "drained")
    until(at_step(client, job_id, 20))
    psutil.Process(fragile.pids["train-1"]).terminate()
    job = wait_for(client, job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    events = client.get(f"/v1/jobs/{job_id}/events?limit=1000&format=json").json()["data"]
    assert "worker_stopped" in [event["data"].get("reason") for event in events if event["type"] == "status"]
    ours, theirs = weights(client, "drained"), weights(client, "undisturbed")
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_trainer_that_does_not_stop_is_killed_and_the_attempt_is_not_counted(
    fragile: Service, client: httpx2.Client
) -> None:
    job_id = submit(client, "stubborn")
    until(at_step(client, job_id, 20))
    trainer = trainer_of(fragile)
    trainer.suspend()
    assert client.post(f"/v1/jobs/{job_id}/pause").json()["status"] == "pausing"
    until(lambda: client.get(f"/v1/jobs/{job_id}").json()["status"] == "paused", 20)
    assert not trainer.is_running()
    client.post(f"/v1/jobs/{job_id}/resume")
    job = wait_for(client, job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    ours, theirs = weights(client, "stubborn"), weights(client, "undisturbed")
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def paused_with_checkpoints(service: Service, client: httpx2.Client, job_id: str) -> list[Path]:
    """Pause the job; its checkpoints, the newest last."""
    client.post(f"/v1/jobs/{job_id}/pause")
    until(lambda: client.get(f"/v1/jobs/{job_id}").json()["status"] == "paused", 20)
    found = (service.data_dir / "jobs" / job_id / "checkpoints").glob("*.safetensors")
    return sorted(found, key=lambda path: [int(part) for part in path.stem.split("-")])


def test_damaged_checkpoints_are_passed_over_and_the_end_is_the_same(fragile: Service, client: httpx2.Client) -> None:
    job_id = submit(client, "damaged")
    until(at_step(client, job_id, 60))
    *_, before, newest = paused_with_checkpoints(fragile, client, job_id)
    whole = newest.read_bytes()
    middle = len(whole) // 2
    newest.write_bytes(whole[:middle] + bytes([whole[middle] ^ 64]) + whole[middle + 1 :])
    client.post(f"/v1/jobs/{job_id}/resume")
    until(at_step(client, job_id, 200))
    assert json.loads((fragile.data_dir / "jobs" / job_id / "plan.json").read_text())["checkpoint"] == str(before)
    for path in paused_with_checkpoints(fragile, client, job_id):
        path.write_bytes(path.read_bytes()[:1000])  # all of them: it begins anew
    client.post(f"/v1/jobs/{job_id}/resume")
    job = wait_for(client, job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    ours, theirs = weights(client, "damaged"), weights(client, "undisturbed")
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    columns = client.get(f"/v1/jobs/{job_id}/metrics").json()["columns"]
    assert columns["step"] == sorted(set(columns["step"])), "no step is reported twice"


def test_a_worker_frozen_beyond_its_lease_stops_its_trainer_when_it_wakes(
    fragile: Service, client: httpx2.Client
) -> None:
    job_id = submit(client, "frozen")
    until(at_step(client, job_id, 20))
    worker, trainer = psutil.Process(fragile.pids["train-1"]), trainer_of(fragile)
    worker.suspend()
    trainer.suspend()  # or it could be done before its worker wakes
    until(lambda: client.get(f"/v1/jobs/{job_id}").json()["attempt"] == 2, 20)
    worker.resume()
    until(lambda: not trainer.is_running(), 10)
    job = wait_for(client, job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    ours, theirs = weights(client, "frozen"), weights(client, "undisturbed")
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    events = client.get(f"/v1/jobs/{job_id}/events?limit=1000&format=json").json()["data"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events].count("done") == 1


def test_a_killed_encode_worker_comes_back(fragile: Service, client: httpx2.Client, digits: Digits) -> None:
    fragile.kill("encode-1")
    job = client.post("/v1/jobs", json={"type": "encode", "model": "undisturbed", "dataset": "few"}).json()
    assert wait_for(client, job["id"])["status"] == "succeeded"
    until(lambda: client.post("/v1/models/undisturbed/encode", content=npz(images=digits[0][:2])).status_code == 200)


def test_an_encode_worker_killed_in_the_middle_of_a_job_leaves_a_whole_result(
    fragile: Service, client: httpx2.Client, digits: Digits
) -> None:
    many = np.tile(digits[0], (3, 1, 1))
    client.post("/v1/datasets?name=many", content=npz(images=many))
    body = {"type": "encode", "model": "undisturbed", "dataset": "many", "passes": 200}
    job_id = client.post("/v1/jobs", json=body).json()["id"]
    until(at_step(client, job_id, 1000))
    fragile.kill("encode-1")
    job = wait_for(client, job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert job["metrics"]["l0"] > 0
    found = np.load(io.BytesIO(client.get(f"{job['links']['result']}?format=npy").content))
    assert found.shape == (60_000, 36)
    np.testing.assert_allclose(found[:20_000], found[-20_000:], atol=1e-5)
    for row in (0, 19_999, 33_333, 59_999):
        one = npz(images=many[row : row + 1])
        answer = client.post("/v1/models/undisturbed/encode?passes=200&format=npy", content=one)
        np.testing.assert_allclose(found[row], np.load(io.BytesIO(answer.content))[0], atol=1e-5)


def test_a_restart_on_the_same_folder_shows_everything_again(
    fragile: Service, client: httpx2.Client, tmp_path: Path
) -> None:
    def listing() -> list[list[str]]:
        with httpx2.Client(base_url=fragile.url, timeout=60, trust_env=False) as http:
            kinds = {"jobs": "id", "models": "name", "datasets": "id"}
            return [
                [item[key] for item in http.get(f"/v1/{kind}?limit=100").json()["data"]] for kind, key in kinds.items()
            ]

    before = listing()
    assert all(before)
    fragile.stop()
    fragile.start()
    fragile.wait_ready()
    assert listing() == before
    with httpx2.Client(base_url=fragile.url, timeout=60, trust_env=False) as http:
        assert len(weights(http, "undisturbed")) == 5
