"""The OpenAPI document against a running service: schemathesis with every check, with links from answer to request,
and once more on data, jobs and models that are there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from asking import FAST, SMALL, npz, succeeded

from pinwheel.up import Service

Digits = tuple[np.ndarray, np.ndarray]
CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = int(os.environ.get("PINWHEEL_SCHEMA_EXAMPLES", "5"))  # of each operation; more for a longer hunt


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own, of which anything may be deleted."""
    with Service(tmp_path_factory.mktemp("asked"), port=0, environment=FAST) as service:
        yield service


@pytest.fixture(scope="module")
def there(asked: Service, digits: Digits) -> dict[str, Any]:
    """Names for the parameters of paths, of things that there are."""
    with httpx2.Client(base_url=asked.url, timeout=60, trust_env=False) as http:
        body = npz(images=digits[0][:200], labels=digits[1][:200])
        dataset = http.post("/v1/datasets?name=few", content=body).json()["id"]
        trained = succeeded(http, {"recipe": "drsae", "dataset": dataset, **SMALL, "publish_as": "digits"})
    return {"dataset_id": dataset, "job_id": trained["id"], "model": "digits", "version": "1", "unit": 3, "row": 5}


def schemathesis(service: Service, config: Path, *options: str) -> None:
    """Fails with what it says of an answer that is not as the document promises."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "--no-color", "run"]
    more = ["--checks", "all", "--max-examples", str(EXAMPLES), "--workers", "1", "--seed", "1", *options]
    done = subprocess.run([*command, f"{service.url}/openapi.json", *more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    assert "failed" not in done.stdout.splitlines()[-1]
    with httpx2.Client(base_url=service.url, timeout=60, trust_env=False) as http:
        assert http.get("/readyz").json()["status"] == "ready"
    log = (service.logs / "api.log").read_text()
    assert "request failed" not in log
    assert "Traceback" not in log


def test_what_is_there_is_answered_as_the_document_says(asked: Service, there: dict[str, Any], tmp_path: Path) -> None:
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in there.items()]
    config = tmp_path / "schemathesis.toml"
    config.write_text("\n".join(["[parameters]", *lines, "", CONFIG.read_text()]))
    schemathesis(
        asked, config, "--phases", "coverage,fuzzing", "--exclude-method", "DELETE", "--exclude-path-regex", "cancel"
    )


def test_answers_and_what_follows_from_them_are_as_the_document_says(asked: Service, there: dict[str, Any]) -> None:
    schemathesis(asked, CONFIG, "--phases", "examples,coverage,fuzzing,stateful")
