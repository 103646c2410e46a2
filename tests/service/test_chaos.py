"""A small run of benchmarks/chaos.py: parts of a whole service are killed at random."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "chaos.py"


def test_random_kills_lose_nothing() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "6", "--jobs", "3", "--seed", "3", "--most-minutes", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "nothing lost, nothing twice" in done.stdout
