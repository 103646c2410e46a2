"""Who loads what, in processes of their own: import contracts read the source, this looks at what really happens."""

import json
import subprocess
import sys

LOADED = """
import importlib, json, pkgutil, sys
{before}
before = set(sys.modules)
for name in {packages!r}:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print(json.dumps(sorted({{name.split(".")[0] for name in set(sys.modules) - before}})))
"""


def loaded(*packages: str, before: str = "") -> set[str]:
    """Names at the top level that a process loads for all of `packages`, besides what the statement `before` loads."""
    code = LOADED.format(packages=packages, before=before)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return set(names)


def test_the_language_loads_no_torch_no_fastapi_and_no_celery() -> None:
    names = loaded("pinwheel")
    assert "pinwheel" in names
    assert not names & {"torch", "fastapi", "starlette", "celery", "kombu", "app", "worker"}


def test_the_server_loads_no_torch_and_no_worker() -> None:
    names = loaded("app")
    assert {"app", "fastapi"} <= names
    assert not names & {"torch", "worker"}


def test_the_mathematics_loads_torch_and_the_standard_library_only() -> None:
    names = loaded("worker.sparse", before="import torch")
    assert names - sys.stdlib_module_names == {"worker"}


def test_the_trainer_loads_no_queue_no_store_and_no_http() -> None:
    names = loaded("worker.trainer", "worker.training", "worker.data")
    assert {"worker", "torch"} <= names
    assert not names & {"celery", "kombu", "redis", "fastapi", "starlette", "app"}


def test_a_health_check_loads_no_torch() -> None:
    names = loaded("worker.health")
    assert "redis" in names
    assert not names & {"torch", "celery"}
