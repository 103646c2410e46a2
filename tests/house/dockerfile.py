"""The Dockerfile as instructions, and command lines as flags."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pinwheel.up import Service

ROOT = Path(__file__).parents[2]
# Where they differ on purpose: names and queues of workers, the address inside a container, how much is logged.
OWN = ("-n", "-Q", "--host", "--port", "--log-level", "--loglevel")


@dataclass(frozen=True)
class Instruction:
    """One instruction; `stage` is empty before the first FROM."""

    stage: str
    name: str
    value: str


def instructions(path: Path = ROOT / "Dockerfile") -> list[Instruction]:
    found = []
    stage = ""
    for line in _joined(path.read_text().splitlines()):
        name, _, value = line.partition(" ")
        if name == "FROM":
            stage = value.split(" AS ")[1]
        found.append(Instruction(stage, name, value.strip()))
    return found


def _joined(lines: list[str]) -> Iterator[str]:
    """Lines without comments; what ends in a backslash goes on in the next one."""
    whole = ""
    for line in lines:
        if line.lstrip().startswith("#") or not line.strip():
            continue
        whole += line.rstrip().removesuffix("\\")
        if not line.rstrip().endswith("\\"):
            yield whole
            whole = ""


def values(stage: str, name: str) -> list[str]:
    """What the instructions `name` of `stage` say, in order."""
    return [found.value for found in instructions() if (found.stage, found.name) == (stage, name)]


def command(stage: str) -> list[str]:
    """The stage's CMD."""
    (value,) = values(stage, "CMD")
    found: list[str] = json.loads(value)
    return found


def flags(line: list[str]) -> dict[str, str]:
    """A command line from `-m` on as {word: value}; the value of a switch, and of what is no flag, is ""."""
    found: dict[str, str] = {}
    rest = line[line.index("-m") :]
    while rest:
        word = rest.pop(0)
        takes_value = word.startswith("-") and bool(rest) and not rest[0].startswith("-")
        found[word] = rest.pop(0) if takes_value else ""
    return found


def embedded(part: str) -> dict[str, str]:
    """The flags that `pinwheel up` starts a part with."""
    return flags(dict(Service(Path("unused"), port=8000)._commands())[part])


def common(found: dict[str, str]) -> dict[str, str]:
    return {flag: "" if flag in OWN else value for flag, value in found.items()}
