"""Supervision of one training: a trainer process under a lease.

The trainer is a process of its own (spawned, never forked: CUDA does not survive a fork; killed cleanly; its memory
comes back). This thread reads what it reports, renews the lease, passes on a cancel or pause, and kills it when the
lease is lost.
"""

import contextlib
import json
import math
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import structlog

from pinwheel.checkpoints import usable_checkpoints
from pinwheel.progress import progress_at
from pinwheel.settings import Settings
from pinwheel.states import State
from pinwheel.store.artifacts import Artifacts, write_json
from pinwheel.store.connection import UNREACHABLE
from pinwheel.store.jobs import Claim, Event, JobStore, LeaseLost, Publication
from pinwheel.times import timestamp
from worker.presence import usable_cores

log = structlog.get_logger()

TICK_SECONDS = 0.25
# Fields of the record to write, and events to append.
Report: TypeAlias = tuple[dict[str, Any], list[Event]]
LAST_MESSAGES = {"finished", "stopped", "failed"}


class Trainer:
    """The trainer process and its pipes."""

    def __init__(self, plan: Path, log_path: Path, env: dict[str, str]) -> None:
        with log_path.open("ab") as log_file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker.trainer", str(plan)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                start_new_session=True,
                env=env,
            )
        self.messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="trainer-messages", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # A line that a kill cut in half is no message.
            with contextlib.suppress(json.JSONDecodeError):
                self.messages.put(json.loads(line))

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        # A trainer that has just ended needs no command.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{command}\n".encode())
            self.process.stdin.flush()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def ended(self) -> bool:
        """The process is gone and all that it said has been read."""
        if self.process.poll() is None:
            return False
        self._reader.join(timeout=10)
        return True

    def close(self) -> None:
        self.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class CheckpointLost(Exception):
    """The job was to go on from one, and there is none: to begin anew would be another training."""


class Supervisor:
    """Runs one claimed job to its end, or to where another worker takes it."""

    def __init__(
        self, store: JobStore, artifacts: Artifacts, settings: Settings, claim: Claim, leaving: threading.Event
    ) -> None:
        self.store = store
        self.artifacts = artifacts
        self.settings = settings
        self.claim = claim
        self.leaving = leaving
        self.folder = artifacts.job(claim.job["id"])
        self.last: dict[str, Any] | None = None
        self._report = 0
        # What is being sent under the number `_report` and must be sent again unchanged until the store has it,
        # and what has come since.
        self._sending: Report | None = None
        self._pending: Report = ({}, [])
        self._told: str | None = None
        self._kill_at: float | None = None
        self._started = time.monotonic()
        self._out_of_time = False

    def run(self) -> None:
        """Train until the trainer's last word, then write what came of it."""
        try:
            trainer = Trainer(self._write_plan(), self.folder / "trainer.log", self._environment())
        except CheckpointLost as error:
            self.last = {"type": "failed", "code": "checkpoint_lost", "detail": str(error)}
            return self._conclude(0)
        try:
            self._watch(trainer)
        except LeaseLost:
            log.warning("lease lost, trainer killed", job=self.claim.job["id"], token=self.claim.token)
            return None
        finally:
            trainer.close()
        return self._conclude(trainer.process.returncode)

    def _environment(self) -> dict[str, str]:
        threads = str(self.settings.threads or usable_cores())
        return {"OMP_NUM_THREADS": threads, **os.environ}

    def _write_plan(self) -> Path:
        job = self.claim.job
        self.folder.mkdir(parents=True, exist_ok=True)
        pointed = job.get("checkpoint")
        usable = usable_checkpoints(self.folder, pointed)
        if not usable and "resume_from" in job:
            raise CheckpointLost(f"no checkpoint of {job['resume_from']} or of this job can be used any more")
        if pointed is not None and self.folder / pointed not in usable[:1]:
            log.warning("checkpoint missing or damaged", checkpoint=pointed, instead=usable[0].name if usable else None)
        self._sweep(usable)
        checkpoint = usable[0] if usable else None
        validation = job.get("validation") or {}
        plan = {
            "spec": job["spec"],
            "dataset": str(self.artifacts.dataset(job["dataset"])),
            "validation": str(self.artifacts.dataset(validation["dataset"])) if validation.get("dataset") else None,
            "split": validation.get("split"),
            "base": self._base(job["spec"]),
            "keep_checkpoint": job.get("keep_checkpoint", False),
            "out": str(self.folder),
            "checkpoint": str(checkpoint) if checkpoint else None,
            "token": self.claim.token,
            "threads": self.settings.threads,
            "checkpoint_seconds": self.settings.checkpoint_seconds,
        }
        path = self.folder / "plan.json"
        write_json(path, plan)
        return path

    def _base(self, spec: dict[str, Any]) -> str | None:
        """The folder of the model that a stack is put on."""
        taken_from = [stage.get("taken_from") for stage in spec.get("stages", ())]
        if not taken_from or taken_from[0] is None:
            return None
        name, version = taken_from[0].split("@")
        return str(self.artifacts.model(name, int(version)))

    def _sweep(self, kept: list[Path]) -> None:
        """Delete what attempts that died left: all but the `kept` checkpoints and the stages below them."""
        for path in (self.folder / "checkpoints").glob("*"):
            if path not in kept:
                path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "bundles", ignore_errors=True)
        if not kept:
            shutil.rmtree(self.folder / "stages", ignore_errors=True)

    def _watch(self, trainer: Trainer) -> None:
        heard = time.monotonic()
        next_beat = 0.0
        while True:
            ended = trainer.ended()
            urgent = self._collect(trainer)
            now = time.monotonic()
            if urgent or ended or now >= next_beat:
                try:
                    state = self._beat()
                    heard = now
                    self._obey(trainer, state, now)
                except UNREACHABLE as error:
                    log.warning("store unreachable", job=self.claim.job["id"], error=str(error))
                    if time.monotonic() - heard > self.settings.lease_seconds:
                        raise LeaseLost(self.claim.job["id"]) from error
                    time.sleep(TICK_SECONDS)
                    continue
                next_beat = now + min(0.5, self.settings.lease_seconds / 4)
            if ended and not self._unsent():
                return
            if self._kill_at is not None and now > self._kill_at:
                trainer.kill()
            time.sleep(TICK_SECONDS / 5)

    def _obey(self, trainer: Trainer, state: State, now: float) -> None:
        stop = state is not State.RUNNING or self.leaving.is_set()
        if not stop and not self._told and self._trained_seconds() >= self.claim.job.get("max_seconds", math.inf):
            self._out_of_time = stop = True
        if not stop:
            return
        cancelled = state is State.CANCELLING and self.claim.job.get("publish_on_cancel", False)
        publish = cancelled or self._out_of_time
        command = "stop publish" if publish else "stop"
        if command == self._told or self._told == "stop publish":
            return
        trainer.tell(command)
        self._told = command
        self._kill_at = now + self.settings.grace_seconds

    def _trained_seconds(self) -> float:
        """Of all attempts, but for the last moments of those that died."""
        before: float = self.claim.job.get("trained_seconds", 0.0)
        return before + time.monotonic() - self._started

    def _collect(self, trainer: Trainer) -> bool:
        """Move what the trainer said into the pending report; true when it cannot wait."""
        fields, events = self._pending
        urgent = False
        with contextlib.suppress(queue.Empty):
            while True:
                message = trainer.messages.get_nowait()
                urgent = self._take(message, fields, events) or urgent
        return urgent

    def _take(self, message: dict[str, Any], fields: dict[str, Any], events: list[Event]) -> bool:
        kind = message.pop("type")
        if kind in LAST_MESSAGES:
            self.last = {"type": kind, **message}
            return True
        if kind == "progress":
            fields["progress"] = progress(message)
        elif kind == "metrics":
            values = message["values"]
            fields["metrics"] = values
            events.append(
                Event("metrics", {"step": message["step"], "epoch": message["epoch"], **values}, message["step"])
            )
        elif kind == "checkpoint":
            fields["checkpoint"] = message["file"]
            events.append(Event("checkpoint", {"step": message["step"]}, message["step"]))
            if self._told == "stop publish":
                self._kill_at = None  # it has stopped; what follows takes as long as at any other end
            return True
        elif kind == "preview":
            events.append(Event("preview", {"step": message["step"]}, message["step"]))
        elif kind == "log":
            events.append(Event("log", {"level": message["level"], "message": message["message"]}))
        return False

    def _beat(self) -> State:
        if self._sending is None and any(self._pending):
            self._sending, self._pending = self._pending, ({}, [])
            self._sending[0]["trained_seconds"] = self._trained_seconds()
            self._report += 1
        fields, events = self._sending or ({}, [])
        state = self.store.beat(self.claim, self._report, fields, events)
        self._sending = None
        return state

    def _unsent(self) -> bool:
        return self._sending is not None or any(self._pending)

    def _conclude(self, returncode: int | None) -> None:
        """Write the end. The store may be away for a moment; the lease says how long to wait for it."""
        deadline = time.monotonic() + self.settings.lease_seconds
        while True:
            try:
                return self._write_end(returncode)
            except LeaseLost:
                return None
            except UNREACHABLE:
                if time.monotonic() > deadline:
                    raise
                time.sleep(TICK_SECONDS)

    def _write_end(self, returncode: int | None) -> None:
        last = self.last
        if last is None and self._out_of_time:
            detail = f"it did not stop within {self.settings.grace_seconds:g} s when its max_seconds were over"
            self._fail({"code": "max_seconds", "detail": detail})
        elif last is None and self._told:
            # It did not stop in time and was killed: that was asked for, and the last checkpoint is there.
            self.store.end(self.claim, "release", reason=self._why_stopped())
        elif last is None:
            reason = f"the trainer ended without a word, exit status {returncode}"
            log.warning(reason, job=self.claim.job["id"])
            self.store.end(self.claim, "lose", reason="trainer_lost")
        elif last["type"] == "failed" and last["code"] == "data_folder_full":
            self.store.end(self.claim, "lose", reason=last["code"])
        elif last["type"] == "failed":
            self._fail({name: last.get(name) for name in ("code", "detail", "hint", "step")})
        elif last["type"] == "stopped" and self._out_of_time:
            self.store.end(self.claim, "succeed", reason="max_seconds", model=self._placed(last["bundle"]))
            self._clear(last["file"])
        elif last["type"] == "stopped":
            model = self._placed(last["bundle"]) if last.get("bundle") else None
            self.store.end(self.claim, "release", reason=self._why_stopped(), model=model)
        else:
            done = {
                "progress": progress_at(last["step"], last["step"], last["epoch"]),
                "metrics": last["metrics"],
            }
            self.store.end(self.claim, "succeed", done, model=self._placed(last["bundle"]))
            self._clear(last["file"])

    def _fail(self, error: dict[str, Any]) -> None:
        self.store.end(self.claim, "fail", {"error": error}, reason=str(error["code"]))

    def _clear(self, checkpoint: str | None) -> None:
        """Nothing goes on from a job that has succeeded, unless its last `checkpoint` is to be kept for that."""
        kept = [self.folder / checkpoint] if checkpoint is not None else []
        self._sweep(kept if self.claim.job.get("keep_checkpoint", False) else [])

    def _why_stopped(self) -> str | None:
        return "worker_stopped" if self.leaving.is_set() else None

    def _placed(self, bundle: str) -> Publication:
        """The bundle at its place among the models, not visible yet."""
        job = self.claim.job
        name = job["publish_as"]
        version = self.store.reserve_version(self.claim, name)
        target = self.artifacts.model(name, version)
        if (self.folder / bundle).exists():
            record = self._model_record(json.loads((self.folder / bundle / "model.json").read_text()), name, version)
            write_json(self.folder / bundle / "model.json", record)
            self.artifacts.adopt(self.folder / bundle, target)
        record = json.loads((target / "model.json").read_text())
        self.store.beat(self.claim, self._report)
        return Publication(name, version, record)

    def _model_record(self, bundle: dict[str, Any], name: str, version: int) -> dict[str, Any]:
        job = self.claim.job
        return bundle | {
            "name": name,
            "version": version,
            "job": job["id"],
            "recipe": job.get("recipe"),
            "dataset": job["dataset"],
            "created_at": timestamp(),
        }


def progress(message: dict[str, Any]) -> dict[str, Any]:
    """The trainer's word on how far it is, as the API shows it: `eta` is a time of day."""
    shown = {name: message[name] for name in ("step", "total_steps", "epoch", "fraction", "samples_per_second")}
    seconds = message.get("eta_seconds")
    return shown | {"eta": None if seconds is None else timestamp(datetime.now(UTC) + timedelta(seconds=seconds))}
