"""How far a job is, in the one shape that its record has."""

from typing import Any


def progress_at(step: int, total_steps: int, epoch: float) -> dict[str, Any]:
    """Progress of which no speed is known: a job that waits, has ended, or encodes (a step is an image there)."""
    return {
        "step": step,
        "total_steps": total_steps,
        "epoch": float(epoch),
        "fraction": step / total_steps,
        "samples_per_second": None,
        "eta": None,
    }
