"""The trainer process and its protocol, with real processes and pipes."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from training_cases import MakePlan

from worker.training.plan import Plan

LONG = {"training": {"epochs": 100_000, "previews": 0}}


@contextmanager
def trainer(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "worker.trainer", str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as child:  # type: ignore[call-overload]
        try:
            yield child
        finally:
            child.kill()


def written(plan: Plan) -> Path:
    path = plan.out.with_suffix(".json")
    path.write_text(plan.model_dump_json())
    return path


def until(child: subprocess.Popen[str], kind: str) -> dict[str, Any]:
    assert child.stdout is not None
    for line in child.stdout:
        message: dict[str, Any] = json.loads(line)
        if message["type"] == kind:
            return message
    raise AssertionError(f"the trainer ended without a message {kind!r}")


def say(child: subprocess.Popen[str], command: str) -> None:
    assert child.stdin is not None
    child.stdin.write(command + "\n")
    child.stdin.flush()


def test_a_training_runs_to_its_last_word_with_nothing_but_messages_on_stdout(make_plan: MakePlan) -> None:
    with trainer(written(make_plan())) as child:
        assert child.stdout is not None
        messages = [json.loads(line) for line in child.stdout]
        assert child.wait(timeout=10) == 0
    assert (messages[0]["type"], messages[-1]["type"]) == ("started", "finished")
    assert [m["step"] for m in messages if m["type"] == "metrics"] == list(range(1, 61))


@pytest.mark.parametrize("command", ["stop", "stop publish"])
def test_a_stop_ends_at_the_next_step_with_a_checkpoint(make_plan: MakePlan, command: str) -> None:
    plan = make_plan(LONG)
    with trainer(written(plan)) as child:
        until(child, "progress")
        say(child, "no such command")
        say(child, command)
        last = until(child, "stopped")
        assert child.wait(timeout=10) == 0
    assert last["file"] == f"checkpoints/1-{last['step']:09d}.safetensors"
    assert (plan.out / last["file"]).exists()
    assert last["bundle"] == ("bundles/1" if command == "stop publish" else None)


def test_the_trainer_dies_with_its_supervisor(make_plan: MakePlan) -> None:
    with trainer(written(make_plan(LONG))) as child:
        until(child, "progress")
        assert child.stdin is not None
        start = time.monotonic()
        child.stdin.close()
        assert child.wait(timeout=10) == 3
        assert time.monotonic() - start < 5
        assert child.stdout is not None
        words = [json.loads(line)["type"] for line in child.stdout]
    assert not {"stopped", "finished", "failed"} & set(words)


def test_a_plan_that_cannot_work_fails_with_the_reason(make_plan: MakePlan, tmp_path: Path) -> None:
    with trainer(written(make_plan(dataset=tmp_path / "nothing"))) as child:
        last = until(child, "failed")
        assert child.wait(timeout=10) == 0
    assert (last["code"], last["step"]) == ("invalid_config", 0)
    assert "manifest.json is missing" in last["detail"]
    assert last["hint"]


def test_memory_that_runs_out_is_told_with_what_to_lower(make_plan: MakePlan) -> None:
    huge = {"model": {"connection": {"units": 16_000}, "encoder": {"kind": "recurrent", "passes": 2}}}
    with trainer(written(make_plan(huge))) as child:
        resource.prlimit(child.pid, resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
        last = until(child, "failed")
    assert last["code"] == "out_of_memory", last
    assert "units" in last["hint"]


def test_a_loss_that_is_not_finite_fails_with_its_step(make_plan: MakePlan) -> None:
    wild = {
        "model": {"encoder": {"passes": 60, "rate_multiplier": 100.0}},
        "training": {"learning_rate": 10.0},
    }
    with trainer(written(make_plan(wild))) as child:
        last = until(child, "failed")
    assert last["code"] == "loss_not_finite"
    assert f"step {last['step']} " in last["detail"]
