"""What the README says, run as it stands, against a real service."""

import io
import re
import subprocess
from pathlib import Path

import httpx2
import pytest
import scipy.sparse
from asking import wait_for
from PIL import Image

from pinwheel.up import Service

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder that looks like a clone for what the README's commands read."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    return tmp_path


def test_the_shell_blocks_submit_fetch_and_encode(service: Service, http: httpx2.Client, workplace: Path) -> None:
    script = "set -euo pipefail\n" + "\n".join(blocks("bash")).replace("http://127.0.0.1:8000", service.url)
    done = subprocess.run(["bash", "-c", script], cwd=workplace, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "event: done" in done.stdout
    assert '"object": "features"' in done.stdout
    model = http.get("/v1/models/digits").json()
    assert wait_for(http, model["job"])["status"] == "succeeded"
    for name in ("filters-now.png", "filters.png"):
        assert Image.open(workplace / name).width > 100
    features = scipy.sparse.load_npz(io.BytesIO((workplace / "features.npz").read_bytes()))
    assert features.shape == (1, 100)
    assert features.nnz > 0


def test_the_python_block_trains_and_encodes(
    service: Service, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    found: dict[str, object] = {}
    for block in blocks("python"):
        exec(block.replace("http://127.0.0.1:8000", service.url), found)  # noqa: S102
    features = found["features"]
    assert isinstance(features, scipy.sparse.sparray | scipy.sparse.spmatrix)
    assert features.shape == (1, 64)


def test_the_two_commands_are_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z]+)", README):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_links_of_the_readme_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        if not link.startswith("http"):
            assert (ROOT / link).exists(), link
