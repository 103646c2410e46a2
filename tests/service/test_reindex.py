"""A store that is lost is filled again from the data folder, and nobody sees a difference."""

import gzip
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from asking import FAST, SMALL, npz, wait_for

from pinwheel.up import Service

Digits = tuple[np.ndarray, np.ndarray]
KINDS = ("jobs", "models", "datasets")


def asking(service: Service) -> httpx2.Client:
    return httpx2.Client(base_url=service.url, timeout=60, trust_env=False)


def everything(service: Service) -> dict[str, Any]:
    """All that can be read of jobs, models and data sets, but for when it was asked."""
    with asking(service) as http:
        found: dict[str, Any] = {kind: http.get(f"/v1/{kind}?limit=100").json()["data"] for kind in KINDS}
        for job in found["jobs"]:
            found[f"metrics of {job['id']}"] = http.get(f"/v1/jobs/{job['id']}/metrics").json()
            found[f"events of {job['id']}"] = http.get(f"/v1/jobs/{job['id']}/events?format=json&limit=1000").json()
        return found


def reindexed(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pinwheel.cli", "reindex", "--data", str(folder), "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def body(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "train", "recipe": "drsae", "dataset": "few", **SMALL, "publish_as": name} | more


def test_what_was_kept_is_there_again(tmp_path: Path, digits: Digits) -> None:
    folder = tmp_path / "data"
    with Service(folder, port=0, environment=FAST) as service:
        with asking(service) as http:
            http.post("/v1/datasets?name=few", content=npz(images=digits[0][:200], labels=digits[1][:200]))
            for _ in range(2):
                wait_for(http, http.post("/v1/jobs", json=body("kept")).json()["id"])
            encoded = {"type": "encode", "model": "kept@1", "dataset": "few"}
            wait_for(http, http.post("/v1/jobs", json=encoded).json()["id"])
            gone = http.post("/v1/jobs", json=body("gone", training=SMALL["training"] | {"epochs": 3000})).json()["id"]
            http.post(f"/v1/jobs/{gone}/cancel")
            wait_for(http, gone)
            forgotten = http.post("/v1/jobs", json=body("kept")).json()["id"]
            wait_for(http, forgotten)
            assert http.delete(f"/v1/jobs/{forgotten}").status_code == 204
            assert http.delete("/v1/models/kept@3").status_code == 204
        before = everything(service)
        assert [len(before[kind]) for kind in KINDS] == [4, 1, 1]
        jobs = [folder / "jobs" / job["id"] / "job.json.gz" for job in before["jobs"]]
        for _ in range(200):
            if all(path.exists() for path in jobs):
                break
            time.sleep(0.05)
        assert all(path.exists() for path in jobs)
    shutil.rmtree(folder / "store")
    told = reindexed(folder)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == {"datasets": 1, "models": 2, "jobs": 4, "known": 0, "unreadable": []}
    with service:
        assert everything(service) == before
        again = reindexed(folder)  # beside the service at work
        assert json.loads(again.stdout) == {"datasets": 0, "models": 0, "jobs": 0, "known": 7, "unreadable": []}
        with asking(service) as http:
            job = wait_for(http, http.post("/v1/jobs", json=body("kept")).json()["id"])
            assert job["model"] == "kept@3"
            same = http.post("/v1/datasets?name=few", content=npz(images=digits[0][:200], labels=digits[1][:200]))
            assert same.status_code == 200
            features = http.post("/v1/models/kept@2/encode?format=npy", content=npz(images=digits[0][:3]))
            assert features.status_code == 200

    shutil.rmtree(folder / "store")
    damaged = sorted((folder / "jobs").glob("*/job.json.gz"))
    damaged[0].write_bytes(damaged[0].read_bytes()[:100])
    renamed = json.loads(gzip.decompress(damaged[1].read_bytes()))
    renamed["fields"]["id"] = "job_another"
    damaged[1].write_bytes(gzip.compress(json.dumps(renamed).encode()))
    (folder / "models" / "kept" / "2" / "model.json").write_text("{}")
    (folder / "datasets" / "ds_empty").mkdir()
    torn = reindexed(folder)
    assert torn.returncode == 1
    found = json.loads(torn.stdout)
    assert len(found["unreadable"]) == 4
    assert found["datasets"] == 1
    assert found["models"] == 2


def test_a_folder_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    told = reindexed(tmp_path / "nowhere")
    assert told.returncode == 2
    assert "nowhere" in told.stderr
