"""Sizes that a reader can hold in mind, nothing that runs what it reads, and no name of a machine."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("pinwheel", "app", "worker") for path in (ROOT / package).rglob("*.py"))
TREES = {path.relative_to(ROOT): ast.parse(path.read_text()) for path in SOURCES}
MOST_LINES_OF_A_FILE = 500
MOST_LINES_OF_A_FUNCTION = 80
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FOREIGN = re.compile(
    r"(?<![\w.])/(?:work|opt)/"  # folders of one machine
    r"|pypi\.(?:org|io)|pythonhosted\.|npmjs\.|deb\.debian\.|download\.pytorch\.|(?:docker|ghcr|quay)\.io"
)


def nodes(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of a kind with the place where it stands."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield f"{path}:{getattr(node, 'lineno', 0)}", node


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Every call with its place and the name that is called, as it is written."""
    for place, node in nodes(ast.Call):
        assert isinstance(node, ast.Call)
        yield place, ast.unparse(node.func), node


def given(call: ast.Call, name: str) -> str | None:
    """The source of a keyword argument."""
    return next((ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == name), None)


def test_there_is_source_to_look_at() -> None:
    assert {path.parts[0] for path in TREES} == {"pinwheel", "app", "worker"}


def test_no_file_is_longer_than_500_lines() -> None:
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path in TREES}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES_OF_A_FILE} == {}


@pytest.mark.parametrize("kind", [ast.FunctionDef, ast.AsyncFunctionDef])
def test_no_function_is_longer_than_80_lines(kind: type[ast.FunctionDef | ast.AsyncFunctionDef]) -> None:
    lengths = {
        f"{place} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for place, node in nodes(kind)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {place: length for place, length in lengths.items() if length > MOST_LINES_OF_A_FUNCTION} == {}


def test_nothing_unpickles() -> None:
    imported = [(place, alias.name) for place, node in nodes(ast.Import) for alias in node.names]  # type: ignore[attr-defined]
    imported += [(place, node.module or "") for place, node in nodes(ast.ImportFrom)]  # type: ignore[attr-defined]
    assert [(place, name) for place, name in imported if name.split(".")[0] in UNSAFE_MODULES] == []
    loads = [(place, call) for place, name, call in calls() if name in ("torch.load", "load_from_checkpoint")]
    assert [place for place, call in loads if given(call, "weights_only") != "True"] == []
    assert [place for place, _, call in calls() if given(call, "allow_pickle") not in (None, "False")] == []


def test_nothing_runs_text_as_code() -> None:
    assert [place for place, name, _ in calls() if name in ("eval", "exec", "compile", "os.system")] == []
    assert [place for place, _, call in calls() if given(call, "shell") not in (None, "False")] == []


def test_no_file_names_a_machine_or_a_package_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [name.decode() for name in listed.stdout.split(b"\0") if name]
    assert "pyproject.toml" in names
    found = []
    for name in names:
        try:
            text = (ROOT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError):  # a picture; a file that was deleted but not committed
            continue
        found += [f"{name}: {match[0]}" for match in FOREIGN.finditer(text)]
    assert found == []
