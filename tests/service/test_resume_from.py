"""`resume_from`: a new job goes on from the checkpoint of another, with changed settings."""

import time
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import SMALL, succeeded, wait_for
from safetensors.numpy import load
from stack_cases import FIRST, LABELS, SECOND, asked, send_stripes

from pinwheel.up import Service

TRAINING = SMALL["training"] | {"epochs": 40}


def submitted(http: httpx2.Client, body: dict[str, Any]) -> str:
    answer = http.post("/v1/jobs", json={"type": "train", **body})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def job(http: httpx2.Client, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/v1/jobs/{job_id}").json()
    return found


def stopped(http: httpx2.Client, body: dict[str, Any], how: str = "cancel", step: int = 30) -> dict[str, Any]:
    """A job that was cancelled or paused after so many steps."""
    job_id = submitted(http, body)
    while job(http, job_id)["progress"]["step"] < step:
        time.sleep(0.02)
    assert http.post(f"/v1/jobs/{job_id}/{how}").status_code == 202
    while job(http, job_id)["status"] not in ("cancelled", "paused"):
        time.sleep(0.02)
    return job(http, job_id)


def weights(http: httpx2.Client, model: str) -> dict[str, np.ndarray]:
    return load(http.get(f"/v1/models/{model}/weights").content)


def metrics(http: httpx2.Client, job_id: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = http.get(f"/v1/jobs/{job_id}/metrics").json()["columns"]
    return found


@pytest.fixture(scope="module")
def body(few_digits: str) -> dict[str, Any]:
    return {"recipe": "drsae", "dataset": few_digits, **SMALL, "training": TRAINING, "validation": {"split": 0.2}}


@pytest.fixture(scope="module")
def cancelled(http: httpx2.Client, body: dict[str, Any]) -> dict[str, Any]:
    return stopped(http, body | {"publish_as": "given-up"})


def test_without_changes_the_end_is_that_of_the_training_undisturbed(
    http: httpx2.Client, body: dict[str, Any], cancelled: dict[str, Any]
) -> None:
    whole = succeeded(http, body | {"publish_as": "whole"})
    rest = succeeded(http, {"resume_from": cancelled["id"]})
    at = cancelled["checkpoint_step"]
    assert rest["resume_from"] == f"{cancelled['id']}@{at}"
    assert (rest["spec"], rest["recipe"], rest["dataset"]) == (whole["spec"], "drsae", whole["dataset"])
    assert (rest["validation"], rest["model"]) == ({"split": 0.2}, "given-up@1")
    found, undisturbed = weights(http, "given-up"), weights(http, "whole")
    assert found.keys() == undisturbed.keys()
    assert all(np.array_equal(found[name], undisturbed[name]) for name in found)
    assert min(metrics(http, rest["id"])["step"]) > at
    assert (
        metrics(http, rest["id"])["loss"]
        == metrics(http, whole["id"])["loss"][-len(metrics(http, rest["id"])["loss"]) :]
    )


def test_settings_may_change(http: httpx2.Client, cancelled: dict[str, Any]) -> None:
    changes = {"training": {"learning_rate": 0.001, "epochs": 30, "batch_size": 25}, "publish_as": "gentler"}
    rest = succeeded(http, {"resume_from": cancelled["id"], **changes, "model": {"sparsity": {"weight": 0.05}}})
    spec = rest["spec"]
    assert (spec["training"]["learning_rate"], spec["model"]["sparsity"]["weight"]) == (0.001, 0.05)
    assert spec["model"]["connection"] == cancelled["spec"]["model"]["connection"]
    assert (rest["progress"]["step"], rest["model"]) == (30 * 16, "gentler@1")


def test_a_paused_job_and_one_that_goes_on_from_it_do_not_meet(http: httpx2.Client, body: dict[str, Any]) -> None:
    paused = stopped(http, body | {"publish_as": "paused"}, "pause")
    succeeded(http, {"resume_from": paused["id"], "publish_as": "beside"})
    assert job(http, paused["id"])["status"] == "paused"
    http.post(f"/v1/jobs/{paused['id']}/resume")
    assert wait_for(http, paused["id"])["status"] == "succeeded"
    assert all(np.array_equal(value, weights(http, "beside")[name]) for name, value in weights(http, "paused").items())


def test_a_kept_checkpoint_can_be_trained_further_and_its_job_forgotten(
    http: httpx2.Client, body: dict[str, Any]
) -> None:
    first = succeeded(http, body | {"training": SMALL["training"], "keep_checkpoint": True, "publish_as": "short"})
    assert (first["keep_checkpoint"], first["checkpoint_step"]) == (True, 32)
    again = submitted(http, {"resume_from": f"{first['id']}@32", "training": {"epochs": 20}, "publish_as": "longer"})
    assert http.delete(f"/v1/jobs/{first['id']}").status_code == 204
    longer = wait_for(http, again)
    assert (longer["status"], longer["progress"]["step"]) == ("succeeded", 160)
    assert longer["metrics"]["loss"] < first["metrics"]["loss"]
    assert longer["checkpoint_step"] is None


def test_a_failed_training_goes_on_with_a_lower_rate(http: httpx2.Client, body: dict[str, Any]) -> None:
    calm = {
        "model": {"connection": {"units": 36}, "encoder": {"passes": 60, "rate_multiplier": 100.0}},
        "training": {"epochs": 2, "batch_size": 50, "learning_rate": 1e-6},
    }
    kept = succeeded(http, body | calm | {"keep_checkpoint": True, "publish_as": "calm"})
    wild = {"learning_rate": 10.0, "unsupervised_fraction": 1.0, "epochs": 400}
    failed = wait_for(http, submitted(http, {"resume_from": kept["id"], "training": wild}))
    assert (failed["status"], failed["error"]["code"]) == ("failed", "loss_not_finite")
    assert "resume_from" in failed["error"]["hint"]
    assert failed["checkpoint_step"] == kept["progress"]["step"]
    tamed = {"resume_from": failed["id"], "training": {"learning_rate": 1e-6, "epochs": 4}, "publish_as": "tamed"}
    assert np.isfinite(succeeded(http, tamed)["metrics"]["loss"])


def test_a_stack_goes_on_in_the_stage_where_it_stopped(http: httpx2.Client) -> None:
    send_stripes(http)
    epochs = (30, 200)  # the second stage is long enough to be met in its middle
    given = zip((FIRST, SECOND), epochs, strict=True)
    stages = [stage | {"training": stage["training"] | {"epochs": count}} for stage, count in given]
    body = asked(*stages, LABELS, publish_as="stack-again")
    steps = http.post("/v1/jobs?dry_run=true", json=body).json()["spec"]["stages"]
    assert len(steps) == 3
    first_steps = 30 * -(-300 // stages[0]["training"]["batch_size"])
    halted = stopped(http, body, step=first_steps + 5)
    assert halted["checkpoint_step"] > first_steps
    refused = http.post(
        "/v1/jobs", json={"type": "train", "resume_from": halted["id"], "stages": [{"training": {"epochs": 3}}]}
    )
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "#/stages/0/training/epochs"
    rest = succeeded(http, {"resume_from": halted["id"], "training": {"learning_rate": 0.0005}})
    rates = [stage["training"]["learning_rate"] for stage in rest["spec"]["stages"]]
    assert rates == [halted["spec"]["stages"][0]["training"]["learning_rate"], 0.0005, 0.0005]
    assert http.get("/v1/models/stack-again").json()["classes"]


@pytest.mark.parametrize(
    ("changes", "pointer", "words"),
    [
        ({"model": {"connection": {"units": 64}}}, "#/model/connection/units", ["36", "64"]),
        ({"training": {"seed": 5}}, "#/training/seed", ["0", "5"]),
        ({"training": {"optimizer": "sgd"}}, "#/training/optimizer", ["adam", "sgd"]),
        ({"model": {"encoder": {"passes": 5}}}, "#/model/encoder/passes", ["4", "5"]),
        ({"model": {"sparsity": {"kind": "topk", "k": 3}}}, "#/model/sparsity", ["topk"]),
        ({"training": {"epochs": 1}}, "#/resume_from", ["epochs"]),
        ({"dataset": "few-digits"}, "#/dataset", ["leave it out"]),
        ({"recipe": "psd"}, "#/recipe", ["leave it out"]),
        ({"preprocessing": {"scale": "none"}}, "#/preprocessing", ["leave it out"]),
        ({"training": {"epochz": 5}}, "#/training/epochz", ["epochs"]),
        ({"stages": [{}, {}]}, "#/stages", []),
    ],
)
def test_what_cannot_change_is_refused(
    http: httpx2.Client, cancelled: dict[str, Any], changes: dict[str, Any], pointer: str, words: list[str]
) -> None:
    answer = http.post("/v1/jobs", json={"type": "train", "resume_from": cancelled["id"], **changes})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)
    for word in words:
        assert word in answer.json()["detail"]


def test_jobs_that_nothing_goes_on_from(
    http: httpx2.Client, trained: dict[str, Any], cancelled: dict[str, Any]
) -> None:
    def asked_for(resume_from: str) -> httpx2.Response:
        return http.post("/v1/jobs", json={"type": "train", "resume_from": resume_from})

    assert asked_for("job_nothing").status_code == 404
    assert asked_for("job_nothing").json()["errors"][0]["pointer"] == "#/resume_from"
    assert asked_for("../../etc").status_code == 404
    assert asked_for(f"{trained['id']}").status_code == 422
    assert "keep_checkpoint" in asked_for(trained["id"]).json()["detail"]
    assert asked_for(f"{cancelled['id']}@1").status_code == 422
    assert str(cancelled["checkpoint_step"]) in asked_for(f"{cancelled['id']}@1").json()["detail"]
    assert asked_for(f"{cancelled['id']}@x").status_code == 422
    encode = http.post("/v1/jobs", json={"type": "encode", "model": trained["model"], "dataset": trained["dataset"]})
    assert asked_for(encode.json()["id"]).status_code == 422
    wait_for(http, encode.json()["id"])


def test_a_job_at_work_is_not_gone_on_from(http: httpx2.Client, body: dict[str, Any]) -> None:
    running = submitted(http, body | {"training": TRAINING | {"epochs": 4000}})
    answer = http.post("/v1/jobs", json={"type": "train", "resume_from": running})
    assert (answer.status_code, answer.json()["code"]) == (409, "job_state_conflict")
    assert "paused" in answer.json()["allowed"]
    http.post(f"/v1/jobs/{running}/cancel")
    wait_for(http, running)


def test_a_dry_run_tells_and_leaves_nothing(http: httpx2.Client, service: Service, cancelled: dict[str, Any]) -> None:
    jobs = set((service.data_dir / "jobs").iterdir())
    answer = http.post("/v1/jobs?dry_run=true", json={"type": "train", "resume_from": cancelled["id"]})
    assert answer.status_code == 200
    assert answer.json()["spec"] == cancelled["spec"]
    assert answer.json()["estimate"]["memory_bytes"] > 0
    assert set((service.data_dir / "jobs").iterdir()) == jobs


def test_a_job_whose_checkpoint_is_lost_fails_and_says_so(
    http: httpx2.Client, service: Service, body: dict[str, Any], cancelled: dict[str, Any]
) -> None:
    blocker = submitted(http, body | {"training": TRAINING | {"epochs": 4000}})  # the only worker is busy
    while job(http, blocker)["status"] != "running":
        time.sleep(0.02)
    waiting = submitted(http, {"resume_from": cancelled["id"]})
    checkpoints: Path = service.data_dir / "jobs" / waiting / "checkpoints"
    for path in checkpoints.iterdir():
        path.unlink()
    http.post(f"/v1/jobs/{blocker}/cancel")
    failed = wait_for(http, waiting)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "checkpoint_lost")
    assert cancelled["id"] in failed["error"]["detail"]
