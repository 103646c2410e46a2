"""`python -m worker.health` is what a container asks."""

import os
import platform
import subprocess
import sys

from pinwheel.store import workers
from pinwheel.store.connection import connect
from worker.health import trouble


def test_without_a_store_it_says_so_in_one_line() -> None:
    environment = os.environ | {"PINWHEEL_REDIS_URL": "unix:///nowhere/store.sock"}
    done = subprocess.run([sys.executable, "-m", "worker.health"], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("The store does not answer: ")
    assert done.stderr.count("\n") == 1


def test_it_knows_the_worker_of_this_host_from_others(store_url: str) -> None:
    client = connect(store_url)
    client.flushall()
    workers.announce(client, "train@elsewhere", {"name": "train@elsewhere", "host": "elsewhere"})
    assert "No worker on" in str(trouble(store_url, platform.node()))
    workers.announce(client, "train@here", {"name": "train@here", "host": platform.node()})
    assert trouble(store_url, platform.node()) is None
