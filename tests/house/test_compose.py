"""docker-compose.yml keeps what docs/deployment.md says."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from house.dockerfile import ROOT, common, embedded, flags, values
from house.settings_page import variable

from pinwheel.settings import Settings
from pinwheel.up.valkey import CONFIG

FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"app": "app", "train": "worker", "encode": "worker", "train-gpu": "worker"}


def seconds(duration: str) -> float:
    found = re.fullmatch(r"(\d+)s", duration)
    assert found, duration
    return float(found[1])


def test_the_services_are_a_store_a_server_and_workers_built_from_the_dockerfile() -> None:
    assert set(SERVICES) == {"store", *OURS}
    assert {name: SERVICES[name]["build"]["target"] for name in OURS} == OURS


def test_only_the_gpu_worker_is_optional_and_it_reserves_one_gpu() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "train-gpu": ["gpu"]
    }
    (device,) = SERVICES["train-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])


def test_everybody_waits_for_a_healthy_store() -> None:
    assert all(SERVICES[name]["depends_on"] == {"store": {"condition": "service_healthy"}} for name in OURS)


def test_every_service_says_whether_it_is_healthy() -> None:
    assert "healthcheck" in SERVICES["store"]
    for name, target in OURS.items():
        assert SERVICES[name].get("healthcheck") is None
        assert values(target, "HEALTHCHECK")


def test_every_service_starts_again_and_may_do_little() -> None:
    for service in SERVICES.values():
        assert service["restart"] == "unless-stopped"
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service.get("user", "10001") != "root"


def test_data_and_store_are_kept_in_named_volumes() -> None:
    assert set(COMPOSE["volumes"]) == {"artifacts", "store"}
    assert SERVICES["store"]["volumes"] == ["store:/data"]
    for name in OURS:
        assert SERVICES[name]["volumes"] == ["artifacts:/data"]
        assert SERVICES[name]["environment"]["PINWHEEL_DATA_DIR"] == "/data"


def test_only_the_server_is_reachable_and_only_from_this_machine() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"app": ["127.0.0.1:${PINWHEEL_PORT:-8000}:8000"]}


def test_every_setting_reaches_every_process() -> None:
    for name in OURS:
        assert set(SERVICES[name]["environment"]) == {variable(field) for field in Settings.model_fields}


def test_a_stop_leaves_a_training_the_time_to_write_where_it_stopped() -> None:
    grace = Settings.model_fields["grace_seconds"].default
    for name in ("train", "encode", "train-gpu"):
        assert seconds(SERVICES[name]["stop_grace_period"]) >= grace + 5


def test_the_store_keeps_data_as_the_embedded_one_does() -> None:
    given = flags(["-m", *SERVICES["store"]["command"]])
    written = dict(line.split(" ", 1) for line in CONFIG.splitlines() if not line.startswith("#"))
    for name in ("appendonly", "appendfsync", "save", "maxmemory-policy"):
        assert given[f"--{name}"] == written[name].strip('"')


def test_images_are_pinned_to_a_version() -> None:
    images = {name: service["image"] for name, service in SERVICES.items() if "image" in service}
    assert set(images) == {"store"}
    assert re.fullmatch(r"valkey/valkey:\d+\.\d+-alpine", images["store"])


def test_workers_start_as_pinwheel_up_starts_them() -> None:
    assert common(flags(SERVICES["encode"]["command"])) == common(embedded("encode-1"))
    assert flags(SERVICES["encode"]["command"])["-Q"] == "encode"
    # the image's own command, which tests/house/test_images.py compares
    assert all("command" not in SERVICES[name] for name in ("app", "train", "train-gpu"))


def test_the_compose_specification_accepts_the_file() -> None:
    module = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*module, str(FILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_compose_lint_finds_nothing() -> None:
    module = [sys.executable, "-m", "compose_lint", "check", "--fail-on", "low", "--no-env", "--no-merge-overrides"]
    config = ["--strict-config", "--config", str(Path(__file__).with_name("compose-lint.yml"))]
    done = subprocess.run([*module, *config, str(FILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_docker_compose_reads_the_file() -> None:
    try:
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True)
    except FileNotFoundError:
        pytest.skip("docker is not installed here")
    if plugin.returncode:
        pytest.skip("docker has no compose plugin here")
    line = ["docker", "compose", "--file", str(FILE), "--profile", "gpu", "config", "--quiet"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
