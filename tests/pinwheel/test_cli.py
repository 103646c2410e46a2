"""The command line, as a user types it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pinwheel import __version__

ROOT = Path(__file__).parents[2]


def pinwheel(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PINWHEEL_")}
    command = [sys.executable, "-m", "pinwheel.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, timeout=60)


def test_version_prints_the_version() -> None:
    assert pinwheel("version").stdout == f"{__version__}\n"


def test_help_loads_neither_numpy_nor_a_server() -> None:
    code = (
        "import sys, pinwheel.cli; print([name for name in ('numpy', 'httpx2', 'redis', 'PIL') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["--host", "0.0.0.0"], {}, "--insecure"),  # noqa: S104
        (["--no-embedded"], {}, "PINWHEEL_REDIS_URL"),
        ([], {"PINWHEEL_PORT": "eighty"}, "PINWHEEL_PORT"),
        (["--workers", "0"], {}, "workers"),
    ],
)
def test_up_refuses_wrong_options_with_status_2(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], named: str
) -> None:
    ran = pinwheel("up", "--data", str(tmp_path / "data"), *arguments, **environment)
    assert ran.returncode == 2
    assert named in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "data").exists()


def test_up_refuses_a_taken_port_with_status_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = pinwheel("up", "--data", str(tmp_path), "--port", port)
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert f"Port {port} on 127.0.0.1 is taken" in ran.stderr


def test_up_refuses_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = pinwheel("up", "--data", str(tmp_path / "file"), "--port", "0")
    assert ran.returncode == 1
    assert str(tmp_path / "file") in ran.stderr
    assert "Traceback" not in ran.stderr
