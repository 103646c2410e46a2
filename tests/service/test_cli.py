"""The command line against a real service: what it prints, where, and with which exit status it ends."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import scipy.sparse
from asking import npz, wait_for
from PIL import Image
from typer.testing import CliRunner, Result

from pinwheel.cli import app
from pinwheel.up import Service

ROOT = Path(__file__).parents[2]
LONG = ["--set", "training.epochs=3000", "--set", "model.connection.units=16", "--set", "training.batch_size=50"]
Digits = tuple[np.ndarray, np.ndarray]
Run = Callable[..., Result]


@pytest.fixture
def run(service: Service) -> Run:
    return lambda *arguments, **more: CliRunner().invoke(app, ["--url", service.url, *map(str, arguments)], **more)


def good(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def process(service: Service) -> Callable[..., "subprocess.Popen[str]"]:
    """The command as a process of its own, with pipes. It hears Ctrl-C, which what a shell runs behind `&` does not."""
    started = "import signal; signal.signal(2, signal.default_int_handler); from pinwheel.cli import main; main()"

    def start(*arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", started, "--url", service.url, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)

    return start


def cancel(http: httpx2.Client, job_id: str) -> None:
    http.post(f"/v1/jobs/{job_id}/cancel")
    wait_for(http, job_id)


def running(http: httpx2.Client, job_id: str) -> None:
    deadline = time.monotonic() + 60
    while http.get(f"/v1/jobs/{job_id}").json()["progress"]["step"] == 0 and time.monotonic() < deadline:
        time.sleep(0.05)


def test_data_sets_are_added_listed_shown_and_removed(run: Run, digits: Digits, tmp_path: Path) -> None:
    (tmp_path / "cli-set.npz").write_bytes(npz(images=digits[0][:30], labels=digits[1][:30]))
    added = run("data", "add", tmp_path / "cli-set.npz")
    identity = good(added).strip()
    assert "30 images as cli-set" in added.stderr
    for number in range(4):
        folder = tmp_path / "folder" / ("even" if number % 2 == 0 else "odd")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits[0][number]).save(folder / f"{number}.png")
    record = json.loads(good(run("data", "add", tmp_path / "folder", "--name", "cli-folder", "--json")))
    assert (record["images"]["count"], record["labels"]["names"]) == (4, ["even", "odd"])
    rows = [line.split("\t") for line in good(run("data", "ls")).splitlines()]
    assert ["cli-set", "30", "28×28×1", "10", identity] in rows
    assert identity in good(run("data", "show", "cli-set"))
    assert json.loads(good(run("data", "show", "cli-set", "--json")))["id"] == identity
    good(run("data", "show", "cli-set", "-o", tmp_path / "preview.png"))
    assert Image.open(tmp_path / "preview.png").width > 50
    good(run("data", "rm", identity, "cli-folder"))
    assert run("data", "show", "cli-set").exit_code == 2


def test_a_training_is_followed_and_its_model_used(
    run: Run, few_digits: str, digits: Digits, tmp_path: Path, http: httpx2.Client
) -> None:
    settings = ["-s", "model.connection.units=16", "-s", "training.epochs=3", "-s", "model.encoder.passes=3"]
    trained = run("train", "drsae", "--data", few_digits, *settings, "--validation", "0.1", "--publish-as", "by-cli")
    assert good(trained) == "by-cli@1\n"
    assert re.search(r"step \d+: loss [\d.]+, unexplained_variance", trained.stderr)
    job = http.get("/v1/models/by-cli").json()["job"]
    spec = http.get(f"/v1/jobs/{job}").json()["spec"]
    assert (spec["model"]["connection"]["units"], spec["training"]["epochs"]) == (16, 3)
    assert any(line.startswith("by-cli@1\tdrsae\t16") for line in good(run("models")).splitlines())
    assert "by-cli" in good(run("model", "show", "by-cli"))
    assert [each["name"] for each in json.loads(good(run("models", "--json"))) if each["name"] == "by-cli"]
    assert job in good(run("jobs", "-n", "100"))
    assert json.loads(good(run("jobs", "--json", "-n", "1")))[0]["object"] == "job"
    shown = good(run("job", "show", job))
    assert "succeeded" in shown
    assert "by-cli@1" in shown

    good(run("filters", "by-cli", "-o", tmp_path / "filters.png", "--scale", "1"))
    assert Image.open(tmp_path / "filters.png").width > 100
    good(run("filters", "by-cli", "-o", tmp_path / "filters.npy"))
    assert np.load(tmp_path / "filters.npy").shape == (16, 28, 28, 1)
    good(run("filters", job, "--step", "0", "-o", tmp_path / "first.png"))
    assert json.loads(good(run("filters", "by-cli", "--unit", "3", "--format", "json")))["unit"] == 3

    Image.fromarray(digits[0][0]).save(tmp_path / "one.png")
    Image.fromarray(digits[0][1]).save(tmp_path / "two.png")
    expected = http.post("/v1/models/by-cli/encode?format=json", content=npz(images=digits[0][:2])).json()["data"]
    both = json.loads(good(run("encode", "by-cli", tmp_path / "one.png", tmp_path / "two.png")))["data"]
    np.testing.assert_allclose(both, expected, atol=1e-6)
    good(run("encode", "by-cli", tmp_path / "one.png", "--topk", "2", "-o", tmp_path / "one.npz"))
    assert scipy.sparse.load_npz(tmp_path / "one.npz").nnz <= 2
    stdin = run("encode", "by-cli", "-", "--format", "npy", input=(tmp_path / "two.png").read_bytes())
    np.testing.assert_allclose(np.load(io.BytesIO(stdin.stdout_bytes))[0], expected[1], atol=1e-6)
    good(run("encode", "by-cli", "--data", few_digits, "-o", tmp_path / "all.npz"))
    assert scipy.sparse.load_npz(tmp_path / "all.npz").shape == (500, 16)
    for name in ("model.safetensors", "model.npz", "model.onnx"):
        good(run("export", "by-cli", "-o", tmp_path / name))
        assert (tmp_path / name).stat().st_size > 1000
    good(run("job", "rm", job))
    assert run("job", "show", job).exit_code == 2
    good(run("model", "rm", "by-cli"))
    assert run("model", "show", "by-cli").exit_code == 2


def test_recipes_tell_the_names_that_set_takes(run: Run) -> None:
    assert "drsae\tDiscriminative" in good(run("recipes"))
    one = good(run("recipes", "stacked"))
    assert "stages.0.model.connection.units" in one
    assert json.loads(good(run("recipes", "drsae", "--json")))["name"] == "drsae"


def test_a_dry_run_estimates_and_starts_nothing(run: Run, few_digits: str, http: httpx2.Client) -> None:
    before = http.get("/v1/jobs").json()["first_id"]
    told = good(run("train", "stacked", "--data", few_digits, "-s", "stages.0.training.epochs=2", "--dry-run"))
    assert "memory_bytes" in told
    resolved = run("train", "stacked", "--data", few_digits, "-s", "stages.1.training.epochs=7", "--dry-run", "--json")
    epochs = [stage["training"]["epochs"] for stage in json.loads(good(resolved))["spec"]["stages"]]
    assert epochs[1] == 7
    assert epochs[0] != 7
    assert http.get("/v1/jobs").json()["first_id"] == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "nonsense", "--data", "digits"], "no recipe 'nonsense'"),
        (["train", "drsae", "--data", "DATA", "-s", "model.connection.unit=3"], "did you mean 'units'"),
        (["train", "drsae", "--data", "DATA", "-s", "oops"], "'oops' is not NAME=VALUE"),
        (["train", "drsae", "--data", "DATA", "-s", "units=3"], "'units' is no part of a training"),
        (["train", "stacked", "--data", "DATA", "-s", "stages.9.training.epochs=3"], "there is no stage 9"),
        (["train", "drsae", "--data", "no-such-data"], "no data set 'no-such-data'"),
        (["encode", "digits-36", "no-such-file.png"], "no file no-such-file.png"),
        (["encode", "digits-36"], "either images or --data"),
        (["encode", "digits-36", "x.png", "-o", "x.doc"], "doc is not one of npy"),
        (["job", "show", "job_nothing"], "no job 'job_nothing'"),
        (["data", "add", "no-such-folder"], "neither a file nor a folder"),
        (["export", "digits-36", "-o", "model.h5"], "h5 is not one of safetensors"),
        (["filters", "digits-36", "--step", "3", "-o", "x.png"], "--step is of a training"),
        (["jobs", "--status", "asleep"], "asleep"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_says_what_is_allowed(
    run: Run, few_digits: str, trained: dict[str, Any], arguments: list[str], said: str
) -> None:
    result = run(*[few_digits if each == "DATA" else each for each in arguments])
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stdout == ""


def test_a_failed_training_ends_with_1_and_a_cancelled_one_with_3(
    run: Run, few_digits: str, http: httpx2.Client
) -> None:
    wild = {"model.encoder.passes": 60, "model.encoder.rate_multiplier": 100, "training.learning_rate": 10}
    settings = [part for name, value in wild.items() for part in ("-s", f"{name}={value}")]
    failed = run("train", "drsae", "--data", few_digits, *settings, "-s", "training.unsupervised_fraction=1")
    assert failed.exit_code == 1, failed.output
    assert "loss" in failed.stderr
    job = good(run("train", "drsae", "--data", few_digits, *LONG, "-d")).strip()
    running(http, job)
    assert good(run("job", "pause", job)).strip() in ("pausing", "paused")
    wait_until_paused(http, job)
    good(run("job", "resume", job))
    good(run("job", "cancel", job))
    cancelled = run("job", "follow", job)
    assert cancelled.exit_code == 3, cancelled.output
    assert f"{job} cancelled" in cancelled.stderr


def wait_until_paused(http: httpx2.Client, job_id: str) -> None:
    deadline = time.monotonic() + 30
    while http.get(f"/v1/jobs/{job_id}").json()["status"] != "paused" and time.monotonic() < deadline:
        time.sleep(0.05)


def test_where_no_service_answers_the_status_is_4() -> None:
    result = CliRunner().invoke(app, ["--url", "http://127.0.0.1:9", "jobs"])
    assert result.exit_code == 4
    assert "`pinwheel up` starts a service" in result.stderr


def test_ctrl_c_leaves_the_training_alone_and_says_how_to_come_back(
    process: Callable[..., "subprocess.Popen[str]"], few_digits: str, http: httpx2.Client
) -> None:
    command = process("train", "drsae", "--data", few_digits, *LONG)
    assert command.stderr is not None
    job = command.stderr.readline().split()[0]
    running(http, job)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=20)
    assert (command.returncode, out) == (130, "")
    assert f"pinwheel job follow {job}" in err
    assert f"pinwheel job cancel {job}" in err
    assert "Traceback" not in err
    assert http.get(f"/v1/jobs/{job}").json()["status"] == "running"
    cancel(http, job)


def test_events_are_lines_of_json(run: Run, trained: dict[str, Any]) -> None:
    events = [json.loads(line) for line in good(run("job", "follow", trained["id"], "--json")).splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "done"


def test_who_reads_no_further_ends_it_quietly(
    process: Callable[..., "subprocess.Popen[str]"], trained: dict[str, Any]
) -> None:
    followed = process("job", "follow", trained["id"], "--json")
    assert followed.stdout is not None
    assert followed.stderr is not None
    assert json.loads(followed.stdout.readline())["type"]
    followed.stdout.close()  # as `head -1` does
    complaints = followed.stderr.read()
    assert followed.wait(30) in (0, 141)  # 0 where the pipe took all lines before it was closed
    assert "does not answer" not in complaints
    assert "Traceback" not in complaints


def test_a_place_that_is_not_there_is_told_of(run: Run, trained: dict[str, Any], tmp_path: Path) -> None:
    refused = run("filters", trained["model"], "-o", tmp_path / "missing" / "x.png")
    assert refused.exit_code == 2
    assert "No such file or directory" in refused.stderr


def test_folders_are_encoded_without_what_is_no_picture(
    run: Run, trained: dict[str, Any], digits: Digits, tmp_path: Path
) -> None:
    for number in range(3):
        Image.fromarray(digits[0][number].squeeze()).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    good(run("encode", trained["model"], tmp_path, "-o", tmp_path / "some.npy"))
    assert np.load(tmp_path / "some.npy").shape[0] == 3
    (tmp_path / "empty").mkdir()
    refused = run("encode", trained["model"], tmp_path / "empty", "-o", tmp_path / "none.npy")
    assert refused.exit_code == 2
    assert ".png" in refused.stderr


def test_features_of_a_data_set_go_to_stdout(run: Run, trained: dict[str, Any], few_digits: str) -> None:
    encoded = run("encode", trained["model"], "--data", few_digits, "-o", "-", "--format", "npy")
    assert encoded.exit_code == 0, encoded.stderr
    assert np.load(io.BytesIO(encoded.stdout_bytes)).shape[0] > 0


def test_a_terminal_sees_the_filters_form(service: Service, trained: dict[str, Any]) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "pinwheel.cli", "--url", service.url, "job", "follow", trained["id"]]
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "90", "LINES": "40"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower, env=environment, cwd=ROOT)
    os.close(follower)
    seen = b""
    while True:
        try:
            some = os.read(leader, 65536)
        except OSError:  # the other side has closed
            break
        if not some:
            break
        seen += some
    assert child.stdout is not None
    assert child.stdout.read().decode() == f"{trained['model']}\n"
    assert child.wait(20) == 0
    os.close(leader)
    assert seen.count("▀".encode()) > 500
    assert b"unexplained_variance" in seen


def test_the_doctor_finds_nothing_wrong_here_and_says_what_is(run: Run, tmp_path: Path) -> None:
    found = {each["what"]: each for each in json.loads(run("doctor", "--json", "--data", tmp_path).stdout)}
    assert {found[name]["state"] for name in ("Python", "torch", "store", "data folder", "service")} == {"ok"}
    (tmp_path / "file").write_text("")
    wrong = run("doctor", "--data", tmp_path / "file")
    assert wrong.exit_code == 1
    assert "✗ data folder" in wrong.stdout
    alone = CliRunner().invoke(app, ["--url", "http://127.0.0.1:9", "doctor", "--data", str(tmp_path)])
    assert alone.exit_code == 0
    assert "! service" in alone.stdout


def test_the_blocks_of_the_page_run_as_they_stand(service: Service, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    script = "set -euo pipefail\n" + "\n".join(re.findall(r"^```bash\n(.*?)^```", page, re.M | re.S))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PINWHEEL_URL": service.url, "PATH": path}
    ran = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=220
    )
    assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr[-2000:]
    assert "strokes@1" in ran.stdout
    assert "ended with 3" in ran.stdout
    for name in ("filters.png", "features.npz", "all.parquet", "again.npz", "strokes.onnx", "digits.png"):
        assert (tmp_path / name).stat().st_size > 100
