"""`resume_from`: a new training that goes on from a checkpoint of another, with changed settings."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from safetensors import safe_open

from app.fitting import refused
from app.pointers import Pointers
from app.services import Services
from pinwheel.checkpoints import order, usable_checkpoints
from pinwheel.errors import JobStateConflict, NotFound
from pinwheel.progress import progress_at
from pinwheel.specs import TrainJob
from pinwheel.specs.resumption import changed
from pinwheel.states import State

Fields: TypeAlias = dict[str, Any]

POINTER = "#/resume_from"
RESTING = (State.PAUSED, State.FAILED, State.CANCELLED, State.SUCCEEDED)


@dataclass(frozen=True)
class Resumption:
    """`checkpoint` of `job`: after `at` steps in all, in the stage `stage`. It stands on the layers in the folder
    `below`, relative to that of the job, where its stage is not the first one that is trained."""

    job: Fields
    folder: Path
    checkpoint: Path
    at: int
    stage: int
    below: str | None

    @property
    def spec(self) -> Fields:
        """That of the job, over which what was given is laid, without the layers that were there before it."""
        spec: Fields = self.job["spec"]
        return spec if "stages" not in spec else spec | {"stages": spec["stages"][self._taken :]}

    @property
    def finished(self) -> int:
        """Stages that it trained to their end."""
        return self.stage - self._taken

    @property
    def _taken(self) -> int:
        return sum(stage.get("taken_from") is not None for stage in self.job["spec"].get("stages", ()))

    @property
    def pointed(self) -> str:
        """The checkpoint in the folder of the new job: of an attempt before the first."""
        return f"checkpoints/0-{self.at:09d}.safetensors"

    def request(self, given: TrainJob) -> TrainJob:
        """What was given, with what it takes from the job."""
        taken: Fields = {name: self.job.get(name) for name in ("recipe", "dataset", "publish_as")}
        validation = self.job.get("validation")
        whole = given.model_dump(exclude_unset=True) | {"validation": validation} | taken
        if given.publish_as is not None:
            whole["publish_as"] = given.publish_as
        if self._taken:
            whole["on_top_of"] = self.job["spec"]["stages"][0]["taken_from"]
        del whole["resume_from"]
        return TrainJob.model_validate(whole)

    def check(self, spec: Fields, pointers: Pointers) -> None:
        """Refuse a full spec, as JSON, that cannot go on from here."""
        for pointer, before, after in changed(self.job["spec"], spec, self.stage):
            detail = f"it is {before!r} in {self.job['id']}, from which this goes on, and cannot become {after!r}"
            raise refused(pointers.given(pointer), "not_allowed", detail)

    def check_steps(self, steps: int) -> None:
        """Refuse a training that is over before it begins."""
        if self.at >= steps:
            detail = f"it goes on after step {self.at} and the whole training has {steps}; give more epochs"
            raise refused(POINTER, "too_large", detail)

    def fields(self, steps: int) -> Fields:
        """Of the record of the new job, which has so many `steps`."""
        progress = progress_at(self.at, steps, self.job["progress"]["epoch"])
        return {"resume_from": f"{self.job['id']}@{self.at}", "checkpoint": self.pointed, "progress": progress}

    def put(self, folder: Path) -> None:
        """The checkpoint, and what it stands on, in the folder of the new job."""
        _place(self.checkpoint, folder / self.pointed)
        if self.below is not None:
            for path in (self.folder / self.below).rglob("*"):
                if path.is_file():
                    _place(path, folder / path.relative_to(self.folder))


def _place(path: Path, target: Path) -> None:
    """The same file under a second name where the file system has that, else a copy: neither is ever written to."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def found(resume_from: str, services: Services) -> Resumption:
    """Raises NotFound, JobStateConflict where the job is at work, and InvalidConfig where it has no checkpoint."""
    match = re.fullmatch(r"([^@]*)(?:@(\d{1,12}))?", resume_from)
    if match is None:
        raise refused(POINTER, "pattern", f"should be the id of a job, or job_…@step, not {resume_from!r}")
    job_id, at = match[1], match[2]
    try:
        job = services.jobs.get(job_id)
    except NotFound as error:
        raise NotFound(
            error.detail, errors=[{"pointer": POINTER, "code": "not_found", "detail": error.detail}]
        ) from None
    if job["type"] != "train":
        raise refused(POINTER, "not_allowed", f"{job_id} encodes a data set; a training has checkpoints")
    if job["state"] not in RESTING:
        detail = f"{job_id} is {job['state']}; it is gone on from a job that is {', '.join(RESTING)}."
        raise JobStateConflict(detail, current=job["state"], allowed=[state.value for state in RESTING])
    folder = services.artifacts.job(job_id)
    usable = {order(path)[1]: path for path in reversed(usable_checkpoints(folder, job.get("checkpoint")))}
    if not usable:
        kept = (
            ""
            if job["state"] != State.SUCCEEDED
            else "; trainings with `keep_checkpoint` keep theirs when they succeed"
        )
        raise refused(POINTER, "not_allowed", f"{job_id} has no checkpoint that can be used{kept}")
    step = int(at) if at else max(usable)
    if step not in usable:
        raise refused(POINTER, "not_allowed", f"{job_id} has checkpoints of steps {sorted(usable)}, not of {step}")
    with safe_open(usable[step], framework="numpy") as file:
        place = file.metadata()
    return Resumption(job, folder, usable[step], step, int(place["stage"]), place.get("below"))
