"""What `pinwheel demo` shows and leaves behind. The demo itself takes a minute: CI runs it as a command."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from rich.console import Console
from scipy import sparse

from pinwheel import demo
from pinwheel.client import Client, Job
from pinwheel.recipes import RECIPES
from pinwheel.specs import TrainSpec, merge
from pinwheel.up import Service

ROOT = Path(__file__).parents[2]


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


def test_its_training_is_one_that_the_recipe_allows() -> None:
    default = RECIPES["drsae"].spec.model_dump(mode="json")
    spec = TrainSpec.model_validate(merge(default, demo.DEMO_TRAINING))
    assert spec.training.epochs < RECIPES["drsae"].spec.training.epochs


def test_it_leaves_filters_reconstructions_and_features(
    client: Client, trained: dict[str, Any], tmp_path: Path
) -> None:
    error = demo.write_results(client.model(trained["model"]), tmp_path)
    assert 0 < error < 0.95
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features.npz", "filters.png", "reconstruction.png"]
    features = sparse.load_npz(tmp_path / "features.npz")
    assert features.shape == (2000, 36)
    assert 0 < features.nnz < 2000 * 36
    assert Image.open(tmp_path / "filters.png").size == (6 * 57 + 1, 6 * 57 + 1)
    assert Image.open(tmp_path / "reconstruction.png").size == (16 * 58 + 2, 3 * 58 + 2)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(
    client: Client, trained: dict[str, Any], terminal: bool
) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=140)
    demo._watch(Job(client._connection, trained), console)
    text = written.getvalue()
    assert f"error {trained['metrics']['classification_error']:.3f}" in text
    assert f"unexplained variance {trained['metrics']['unexplained_variance']:.3f}" in text
    steps = trained["progress"]["total_steps"]
    assert (f"{steps}/{steps}" if terminal else f"step {steps} of {steps}") in text
    assert f"loss {trained['metrics']['loss']:.3f}" in text
    assert ("ETA" in text) is terminal
    assert ("\x1b" in text) is terminal


def test_an_interrupted_demo_stops_everything_and_gives_its_training_up(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pinwheel.cli", "demo", "--port", "0", "--data", str(tmp_path / "data")]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")], cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert any(line.startswith("Training job_") for line in process.stdout)
        parts = psutil.Process(process.pid).children(recursive=True)
        assert len(parts) >= 4
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert not psutil.wait_procs(parts, timeout=2)[1]
    with Service(tmp_path / "data", port=0) as service, Client(service.url) as client:
        assert [job.wait(20).status for job in client.jobs()] == ["cancelled"]
    assert not (tmp_path / "out").exists()
