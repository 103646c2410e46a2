"""The Dockerfile keeps what docs/deployment.md says: two images, small steps, no root, no torch in the server."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from house.dockerfile import ROOT, command, common, embedded, flags, instructions, values

IMAGES = ("app", "worker")


def test_both_images_stand_on_one_base() -> None:
    stages = {found.stage: found.value for found in instructions() if found.name == "FROM"}
    assert {stages[image] for image in IMAGES} == {f"base AS {image}" for image in IMAGES}


def test_every_foreign_image_is_pinned_to_a_version() -> None:
    stages = {found.stage for found in instructions()}
    for found in instructions():
        base = found.value.split(" AS ")[0]
        if found.name == "FROM" and base not in stages:
            name, _, tag = base.partition(":")
            assert name == "python"
            assert tag.startswith("${PYTHON}-")
    assert values("", "ARG") == ["PYTHON=3.11"]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_numbered_user_and_not_as_root(image: str) -> None:
    assert values(image, "USER") == ["10001:10001"]
    names = [found.name for found in instructions() if found.stage == image]
    assert "RUN" not in names[names.index("USER") :]
    assert any("--uid 10001" in run and "--owner=pinwheel" in run and "/data" in run for run in values("base", "RUN"))


@pytest.mark.parametrize("image", IMAGES)
def test_an_edit_of_the_source_does_not_install_the_requirements_again(image: str) -> None:
    runs = values(image, "RUN")
    assert all("--requirement" in run for run in runs[:-1])
    assert "--no-deps" in runs[-1]
    assert "from=wheel" in runs[-1]
    assert all(copied.startswith("--from=requirements") for copied in values(image, "COPY"))


def test_the_requirements_are_those_of_the_project_and_the_server_has_no_torch(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (run,) = values("requirements", "RUN")
    subprocess.run(["sh", "-c", run.replace("python", f'"{sys.executable}"', 1)], cwd=tmp_path, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for image in IMAGES:
        lines = (tmp_path / f"{image}.txt").read_text().splitlines()
        besides = project["optional-dependencies"]["onnx"] if image == "app" else []  # the server writes ONNX
    assert lines == project["dependencies"] + project["optional-dependencies"][image] + besides
    assert "torch" not in (tmp_path / "app.txt").read_text()
    (torch,) = (tmp_path / "torch.txt").read_text().splitlines()
    assert torch.startswith("torch>=")
    assert all("torch" not in found.value.lower() for found in instructions() if found.stage == "app")


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_says_whether_it_is_healthy(image: str) -> None:
    (check,) = values(image, "HEALTHCHECK")
    probe = json.loads(check.split("CMD ", 1)[1])
    assert probe[0] == "python"
    if probe[1] == "-c":
        compile(probe[2], "HEALTHCHECK", "exec")
    else:
        assert probe[1:] == ["-m", "worker.health"]


def test_the_server_image_starts_as_pinwheel_up_does() -> None:
    assert common(flags(command("app"))) == common(embedded("api"))
    assert flags(command("app"))["--host"] == "0.0.0.0"  # noqa: S104


def test_the_worker_image_starts_as_pinwheel_up_does() -> None:
    assert common(flags(command("worker"))) == common(embedded("train-1"))
    assert flags(command("worker"))["-Q"] == "train"


def test_the_build_context_holds_what_is_copied_and_little_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {source for line in values("wheel", "COPY") for source in line.split()[:-1]}
    assert allowed == copied
    assert all((ROOT / name).exists() for name in copied)


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
