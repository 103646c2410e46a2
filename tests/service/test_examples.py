"""The examples, the notebook and the page about Python, run as they stand against a real service."""

import ast
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import sparse

from pinwheel.client import Client
from pinwheel.up import Service

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(name: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The script's variables when it has ended."""
    monkeypatch.setattr(sys, "argv", [name, service.url])
    return runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_every_example_is_named_on_the_page_of_examples() -> None:
    page = (EXAMPLES / "README.md").read_text()
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")}
    assert set(re.findall(r"\]\(([\w.]+)\)", page)) == files
    assert len(files) == 5


def test_digits(service: Service, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run("digits.py", service, monkeypatch)
    assert found["error"] < 0.2
    assert 0.05 < found["features"].nnz / np.prod(found["features"].shape) < 0.5
    assert Image.open(here / "digits-filters.png").size == (20 * 57 + 1, 5 * 57 + 1)
    assert Image.open(here / "digits-reconstruction.png").width > 12 * 56


def test_photographs(service: Service, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run("photographs.py", service, monkeypatch)
    assert 3 < found["metrics"]["l0"] < 20
    assert len(found["steep"]) > 40
    assert Image.open(here / "edges.png").size == (16 * 49 + 1, 4 * 49 + 1)
    assert Image.open(here / "photographs.png").width > 300


def test_cells(service: Service, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run("cells.py", service, monkeypatch)
    assert found["scores"].mean() > 0.85
    assert found["dataset"]["labels"]["names"] == ["dying", "healthy"]
    assert sparse.load_npz(here / "cells-features.npz").shape == (200, 100)
    assert Image.open(here / "cells-filters.png").width > 900


def test_few_labels(
    service: Service, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("few_labels.py", service, monkeypatch)
    errors = [float(number) for number in re.findall(r"([\d.]+)% of 2000", capsys.readouterr().out)]
    assert errors[1] < 10 < errors[0]


def test_the_notebook(service: Service, here: Path) -> None:
    shown = run_notebook(EXAMPLES / "pinwheel.ipynb", {ADDRESS: service.url})
    assert [html.count("<img") for html in shown] == [0, 1, 1, 1]
    assert "notebook-digits@1" in shown[-1]


def run_notebook(path: Path, replaced: dict[str, str]) -> list[str]:
    """Run the cells in order, as a notebook does; gives the HTML of what they show."""
    names: dict[str, Any] = {}
    shown: list[str] = []
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        for old, new in replaced.items():
            source = source.replace(old, new)
        *before, last = ast.parse(source).body
        if not isinstance(last, ast.Expr):
            exec(source, names)  # noqa: S102
            continue
        exec(compile(ast.Module(before, []), path.name, "exec"), names)  # noqa: S102
        value = eval(compile(ast.Expression(last.value), path.name, "eval"), names)  # noqa: S307
        if hasattr(value, "_repr_html_"):
            shown.append(value._repr_html_())
    return shown


def test_the_page_about_python(service: Service, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    found: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        exec(block.replace(ADDRESS, service.url), found)  # noqa: S102
    printed = capsys.readouterr().out
    assert "40 2 ['lying', 'standing']" in printed
    assert "#/training/epoch" in printed
    assert found["pipeline"].score(found["rows"], found["y"]) == 1.0
    assert found["dense"].shape == (40, 16)
    assert float(printed.splitlines()[-1]) < 1e-4
    with Client(service.url) as client:
        assert client.model("stripes").record["job"] == found["job"].id
        named = client.model("lines")  # a name keeps the model, its training and its data
        assert named.id == found["encoder"].model_
        assert client.job(named.record["job"]).record["dataset"] == client.dataset("lines").id
