"""The training loop: plan in, messages out.

    one step:  draw a batch → energy → gradients → Adam → project into the constraints

The stages of a stack follow each other; each begins with what the one before has written. Messages are dictionaries
with a `type`; `train` returns the last one. Their steps count through all stages. Within a step the order is metrics,
preview, checkpoint, so that a training that goes on from a checkpoint has missed nothing before it.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pinwheel.specs import StackSpec, Supervised, TrainSpec, is_taken
from worker.training.bundle import Bundle
from worker.training.checkpoint import Place, checkpoint_path, drop_older, load_checkpoint, save_checkpoint, stage_of
from worker.training.evaluate import Evaluation
from worker.training.label_stage import LabelStage
from worker.training.layer_stage import LayerStage
from worker.training.pace import Pace
from worker.training.plan import Plan
from worker.training.prepare import Prepared, open_plan
from worker.training.schedule import metrics_interval, preview_steps
from worker.training.stage import Stage

Message = dict[str, Any]
Report = Callable[[Message], None]
# None: go on; "stop": end with a checkpoint; "stop publish": and with a bundle
Stop = Callable[[], str | None]

PROGRESS_SECONDS = 0.5


class LossNotFinite(ArithmeticError):
    """The loss of update `step` is NaN or infinite; `checkpoint` is the last file before it."""

    def __init__(self, step: int, checkpoint: str | None) -> None:
        kept = f"the last checkpoint is {checkpoint}" if checkpoint else "there is no checkpoint before it"
        super().__init__(f"the loss of step {step} is not a finite number; {kept}")
        self.step, self.checkpoint = step, checkpoint


def train(plan: Plan, report: Report, stop: Stop) -> Message:
    """Train to the end, or to where `stop` asks for it; returns the last message, `finished` or `stopped`.

    Raises ValueError for a plan that cannot work and LossNotFinite for one that did not.
    """
    return Loop(plan, report, stop).run()


class Loop:
    """`step` of `total` are those of the stage that is at work; `before` are all steps of the stages before it."""

    def __init__(self, plan: Plan, report: Report, stop: Stop) -> None:
        self.plan, self.report, self.stop = plan, report, stop
        base = None if plan.base is None else Bundle.load(plan.base)
        self.opened = open_plan(plan, base)
        self.stages = plan.spec.stages
        count = len(self.opened.train)
        self.steps = [0 if is_taken(stage) else stage.training.total_steps(count) for stage in self.stages]
        self.last_checkpoint: str | None = None
        self.pace = Pace()
        self.samples = 0
        self.losses: list[Tensor] = []
        self.checkpoint_due = time.monotonic() + plan.checkpoint_seconds
        self.progress_due = 0.0
        if plan.checkpoint is None:
            self._begin(sum(map(is_taken, self.stages)), base)
            return
        number, below = stage_of(plan.checkpoint)
        self._begin(number, base if below is None else Bundle.load(plan.checkpoint.parent.parent / below))
        stage = self.stage
        self.step = load_checkpoint(plan.checkpoint, stage.model, stage.optimizer, stage.carried, plan.spec)
        self.last_checkpoint = self._relative(plan.checkpoint)

    def _begin(self, number: int, below: Bundle | None) -> None:
        """The stage of this number from its start, on the layers `below`."""
        if isinstance(self.stages[number], Supervised):
            assert below is not None  # the spec's own check
            self.stage: Stage = LabelStage(self.opened, self._spec(number), number, below)
        else:
            self.stage = LayerStage(self.opened, self._spec(number), number, below)
        self.below = below
        self.step, self.before, self.total = 0, sum(self.steps[:number]), self.steps[number]
        self.interval = metrics_interval(self.total, self.parts.sampler.batch_size)
        self.previews = preview_steps(self.total, self.stage.training.previews)

    def _spec(self, number: int) -> TrainSpec | StackSpec:
        """Of the model that there is after this stage."""
        spec = self.plan.spec
        if isinstance(spec, TrainSpec):
            return spec
        return spec.model_copy(update={"stages": spec.stages[: number + 1]})

    @property
    def parts(self) -> Prepared:
        return self.stage.parts

    @property
    def at(self) -> int:
        """Steps of the whole training that are done."""
        return self.before + self.step

    def run(self) -> Message:
        total, device = sum(self.steps), str(self.parts.device)
        self.report({"type": "started", "step": self.at, "total_steps": total, "device": device})
        if self.at == 0 and 0 in self.previews:
            self._preview(self._evaluate(self.parts.part))
        while True:
            while self.step < self.total:
                wish = self.stop()
                if wish is not None:
                    return self._stopped(publish=wish == "stop publish")
                self._update()
                if self.step < self.total:
                    self._after_update()
            number, finished = self.stage.number, self._finished()
            if number == len(self.stages) - 1:
                return finished
            del self.stage  # the features that it kept are as large as those of the next
            self._begin(number + 1, Bundle.load(self.plan.out / finished["bundle"]))

    def _update(self) -> None:
        """One update; `self.step` counts it."""
        stage, parts = self.stage, self.parts
        stage.turn(self.step)
        x, labels = parts.train.take(parts.sampler.indices(self.step))
        loss = stage.update(x, labels, self.step, parts.schedule.rate(self.step))
        self.step += 1
        self.samples += len(x)
        self.losses.append(loss)

    def _after_update(self) -> None:
        now = time.monotonic()
        at_metrics, at_preview = self.step % self.interval == 0, self.step in self.previews
        if at_metrics or at_preview:
            self._check_losses()
            evaluation = self._evaluate(self.parts.part)
            if at_metrics:
                self._metrics(evaluation)
            if at_preview:
                self._preview(evaluation)
        if self._checkpoint_is_due(now, at_metrics):
            self._checkpoint()
        if now >= self.progress_due:
            self._progress(now)

    def _checkpoint_is_due(self, now: float, at_metrics: bool) -> bool:
        if self.plan.checkpoint_seconds == 0:
            return at_metrics
        return now >= self.checkpoint_due

    def _check_losses(self) -> None:
        """Raise where a loss since the last check is not finite: one read-back for many steps."""
        if not self.losses:
            return
        finite = torch.isfinite(torch.stack(self.losses)).tolist()
        first = self.at - len(finite) + 1
        self.losses.clear()
        if not all(finite):
            raise LossNotFinite(first + finite.index(False), self.last_checkpoint)

    def _evaluate(self, indices: Tensor, *, published: bool = False) -> Evaluation:
        """Raises LossNotFinite before such a number is reported or a model that gives it is kept."""
        evaluation = self.stage.evaluate(indices, self.step, published=published)
        if not all(map(math.isfinite, evaluation.values.values())):
            raise LossNotFinite(self.at, self.last_checkpoint)
        return evaluation

    def _metrics(self, evaluation: Evaluation) -> None:
        self.pace.mark(self.samples)
        values = {**evaluation.values, "samples_per_second": self.pace.samples_per_second()}
        if len(self.stages) > 1:
            values["stage"] = self.stage.number
        self.report({"type": "metrics", "step": self.at, "epoch": self._epoch(), "values": values})

    def _preview(self, evaluation: Evaluation) -> None:
        path = self.stage.preview(self.plan.out, self.at, evaluation)
        if path is not None:
            self.report({"type": "preview", "step": self.at, "file": self._relative(path)})

    def _checkpoint(self) -> str:
        self._check_losses()
        stage = self.stage
        if not all(torch.isfinite(parameter).all() for parameter in stage.model.parameters()):
            raise LossNotFinite(self.at, self.last_checkpoint)
        path = checkpoint_path(self.plan.out, self.plan.token, self.at)
        below = None if self.below is None or self.below.folder == self.plan.base else self._relative(self.below.folder)
        place = Place(self.step, stage.number, below)
        save_checkpoint(path, stage.model, stage.optimizer, stage.carried, self.plan.spec, place)
        self.last_checkpoint = self._relative(path)
        self.report({"type": "checkpoint", "step": self.at, "file": self.last_checkpoint})
        drop_older(path)
        self.checkpoint_due = time.monotonic() + self.plan.checkpoint_seconds
        return self.last_checkpoint

    def _progress(self, now: float) -> None:
        self._check_losses()
        self.pace.mark(self.samples)
        rate, total = self.pace.samples_per_second(), sum(self.steps)
        left = (total - self.at) * self.parts.sampler.batch_size
        self.report(
            {
                "type": "progress",
                "step": self.at,
                "total_steps": total,
                "epoch": self._epoch(),
                "fraction": self.at / total,
                "samples_per_second": rate,
                "eta_seconds": left / rate if rate > 0 else None,
            }
        )
        self.progress_due = now + PROGRESS_SECONDS

    def _epoch(self) -> float:
        """Passes over the data, those of the stages before included."""
        number = self.stage.number
        before = sum(stage.training.epochs for stage in self.stages[:number] if not is_taken(stage))
        return before + self.step / self.parts.sampler.steps_per_epoch

    def _relative(self, path: Path) -> str:
        """To the folder of the job; what is elsewhere is found from everywhere."""
        return str(path.relative_to(self.plan.out)) if path.is_relative_to(self.plan.out) else str(path.resolve())

    def _bundle(self, evaluation: Evaluation) -> str:
        """Of all layers up to here."""
        token, number = self.plan.token, self.stage.number
        last = number == len(self.stages) - 1
        folder = self.plan.out / ("bundles" if last else "stages") / (f"{token}" if last else f"{token}-{number}")
        self.stage.write(folder, evaluation, self.at)
        return self._relative(folder)

    def _stopped(self, *, publish: bool) -> Message:
        file = self._checkpoint()
        bundle = None
        if publish:
            self.stage.cut_short(self.step)
            bundle = self._bundle(self._evaluate(self.parts.whole, published=True))
        return {"type": "stopped", "step": self.at, "file": file, "bundle": bundle}

    def _finished(self) -> Message:
        """The end of a stage."""
        self._check_losses()
        self.stage.turn(self.step)
        evaluation = self._evaluate(self.parts.whole)
        self._metrics(evaluation)
        if self.step in self.previews:
            self._preview(evaluation)
        self._progress(time.monotonic())
        last = self.stage.number == len(self.stages) - 1
        file = self._checkpoint() if self.plan.keep_checkpoint and last else None
        bundle = self._bundle(evaluation)
        return {
            "type": "finished",
            "step": self.at,
            "epoch": self._epoch(),
            "metrics": evaluation.values,
            "file": file,
            "bundle": bundle,
        }
