"""Which checkpoint an attempt goes on from. No torch: the supervisor asks."""

import itertools
from pathlib import Path

from pinwheel.seal import intact

KEPT = 2


def usable_checkpoints(folder: Path, pointed: str | None) -> list[Path]:
    """At most `KEPT` undamaged checkpoints of a job's `folder`, the one to go on from first.

    That is the one the job points to; or, where that is gone (its attempt wrote newer ones and died before it could say
    so) or damaged, the newest of the same or of earlier attempts. No pointer, no checkpoint: a file that nothing points
    to may be half of a story. Any of them leads to the same end, see `checkpoint`.
    """
    if pointed is None:
        return []
    first = folder / pointed
    others = (path for path in first.parent.glob("*-*.safetensors") if path != first)
    newest = sorted((path for path in others if order(path)[0] <= order(first)[0]), key=order, reverse=True)
    return list(itertools.islice((path for path in (first, *newest) if intact(path)), KEPT))


def order(path: Path) -> tuple[int, int]:
    """(token of the attempt, step) from the name of a checkpoint"""
    token, step = path.stem.split("-")
    return int(token), int(step)
