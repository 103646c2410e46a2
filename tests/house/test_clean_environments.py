"""What each image installs is enough for what it does, in a virtual environment with nothing else.

Slow, and installs from the package index: PINWHEEL_SLOW_TESTS=1 python -m pytest tests/house/test_clean_environments.py
"""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.skipif(
        os.environ.get("PINWHEEL_SLOW_TESTS") != "1",
        reason="installs from the package index; PINWHEEL_SLOW_TESTS=1 runs it",
    ),
    pytest.mark.timeout(1500),
]


def installed(folder: Path, extra: str, *besides: str) -> Path:
    """The interpreter of a fresh environment with one extra, installed from a copy without git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *besides, f"{folder / 'source'}[{extra}]"], cwd=folder, check=True
    )
    subprocess.run([python, "-m", "pip", "check"], check=True)
    return python


def run(python: Path, *line: str) -> subprocess.CompletedProcess[str]:
    """Run the interpreter outside the repository and with the environment of a container."""
    environment = {"PATH": os.environ["PATH"], "PINWHEEL_DATA_DIR": str(python.parents[2] / "data")}
    return subprocess.run([python, *line], cwd=python.parents[2], env=environment, capture_output=True, text=True)


def present(python: Path, module: str) -> bool:
    found = run(python, "-c", f"import importlib.util; print(importlib.util.find_spec({module!r}) is not None)")
    return found.stdout.strip() == "True"


def test_the_server_image_needs_no_torch(tmp_path: Path) -> None:
    python = installed(tmp_path, "app")
    assert not present(python, "torch")
    for module in ("kombu.transport.redis", "app.main", "app.formats.convert", "pinwheel.client", "pinwheel.cli"):
        done = run(python, "-c", f"import {module}")
        assert done.returncode == 0, done.stderr


def test_the_worker_image_needs_no_fastapi_and_trains(tmp_path: Path) -> None:
    python = installed(tmp_path, "worker", f"torch=={version('torch').split('+')[0]}")
    assert not present(python, "fastapi")
    for module in (
        "kombu.transport.redis",
        "worker.tasks",
        "worker.encoding.loop",
        "worker.trainer",
        "worker.training.loop",
    ):
        done = run(python, "-c", f"import {module}")
        assert done.returncode == 0, done.stderr
    health = run(python, "-m", "worker.health")
    assert health.returncode == 1
    assert health.stderr.startswith("The store does not answer: ")
