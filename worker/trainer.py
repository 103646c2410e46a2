"""The trainer process: `python -m worker.trainer PLAN.json`.

stdout carries messages, one JSON object a line; the last is `finished`, `stopped` or `failed`. stdin carries commands:
`stop`, `stop publish`; its end means that the supervisor died, and this process dies with it at once. Whatever else
writes to file descriptor 1 comes out on stderr, so that no stray print can break the protocol.
"""

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from pinwheel.errors import is_full

COMMANDS = {"stop", "stop publish"}
ORPHANED = 3

# A training takes what is left: servers and encode workers on the same cores answer people who wait.
NICE = 10
NO_MEMORY = "can't allocate memory"  # torch says so of a CPU in a plain RuntimeError


class Commands:
    """The last command read from stdin."""

    def __init__(self) -> None:
        self.last: str | None = None
        threading.Thread(target=self._watch, name="commands", daemon=True).start()

    def _watch(self) -> None:
        # descriptor 0 itself: a buffered reader would hold a line back, and its lock, at exit
        with os.fdopen(os.dup(0), "rb", buffering=0) as stdin:
            for line in stdin:
                command = line.decode(errors="replace").strip()
                if command in COMMANDS:
                    self.last = command
        os._exit(ORPHANED)


class Messages:
    """The protocol's own copy of stdout; descriptor 1 becomes stderr."""

    def __init__(self) -> None:
        self.stream = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)

    def report(self, message: dict[str, Any]) -> None:
        self.stream.write(json.dumps(message, allow_nan=False) + "\n")


def failure(error: Exception, step: int) -> dict[str, Any]:
    """The last message of a training that did not work."""
    code, hint = "trainer_error", "see the worker's log"
    if isinstance(error, ValueError):
        code, hint = "invalid_config", "change the job as the message says"
    elif isinstance(error, ArithmeticError):
        code, hint = "loss_not_finite", "lower training.learning_rate or model.encoder.total_step"
        if getattr(error, "checkpoint", None):
            hint += "; resume_from goes on from the last checkpoint with a lower rate"
        step = getattr(error, "step", step)
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or NO_MEMORY in str(error):
        code, hint = "out_of_memory", "lower training.batch_size, model.connection.units or model.encoder.passes"
    elif is_full(error):
        code, hint = "data_folder_full", "free space in the data folder"
    return {"type": "failed", "step": step, "code": code, "detail": str(error) or type(error).__name__, "hint": hint}


def main() -> int:
    messages, commands = Messages(), Commands()
    # Ctrl-C in a terminal reaches the whole process group; the supervisor decides what it means for a training
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)
    step = 0

    def report(message: dict[str, Any]) -> None:
        nonlocal step
        step = message["step"]
        messages.report(message)

    try:
        # imported here: a torch that does not load is a failure to report
        from worker.training.loop import train
        from worker.training.plan import Plan

        plan = Plan.model_validate_json(Path(sys.argv[1]).read_text())
        last = train(plan, report, lambda: commands.last)
    except Exception as error:  # the edge that reports it
        traceback.print_exc()
        last = failure(error, step)
    messages.report(last)
    return 0


if __name__ == "__main__":
    sys.exit(main())
