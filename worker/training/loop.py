"""The training loop: plan in, messages out.

    one step:  draw a batch → energy → gradients → Adam → project into the constraints

Messages are dictionaries with a `type`; `train` returns the last one. Within a step the order is metrics, preview,
checkpoint, so that a training that goes on from a checkpoint has missed nothing before it.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pinwheel.specs import Noise, Softmax
from worker.data.random import generator_for, keep_mask
from worker.sparse.autoencoder import Energy, Phase
from worker.training.build import restart_encoder
from worker.training.checkpoint import Carried, checkpoint_path, drop_older, load_checkpoint, save_checkpoint
from worker.training.evaluate import Evaluation, evaluate
from worker.training.findings import found
from worker.training.pace import Pace
from worker.training.plan import Plan
from worker.training.prepare import prepare
from worker.training.pruning import prune, prune_step
from worker.training.publish import write_bundle, write_preview
from worker.training.revive import Revival
from worker.training.schedule import metrics_interval, preview_steps

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
        self.step = step


def train(plan: Plan, report: Report, stop: Stop) -> Message:
    """Train to the end, or to where `stop` asks for it; returns the last message, `finished` or `stopped`.

    Raises ValueError for a plan that cannot work and LossNotFinite for one that did not.
    """
    return Loop(plan, report, stop).run()


class Loop:
    def __init__(self, plan: Plan, report: Report, stop: Stop) -> None:
        self.plan, self.spec, self.report, self.stop = plan, plan.spec, report, stop
        self.parts = prepare(plan)
        self.step = 0
        self.last_checkpoint: str | None = None
        self.total = self.parts.schedule.total_steps
        self.outputs = math.prod(self.parts.model.feature_shape)
        self.revival = self._revival()
        self.prune_at = prune_step(self.spec, self.total)
        self.carried = Carried({} if self.revival is None else {"ages": self.revival.ages})
        if plan.checkpoint is not None:
            self.step = load_checkpoint(
                plan.checkpoint, self.parts.model, self.parts.optimizer, self.carried, self.spec
            )
            self.last_checkpoint = self._relative(plan.checkpoint)
        self.interval = metrics_interval(self.total, self.parts.sampler.batch_size)
        self.previews = preview_steps(self.total, self.spec.training.previews)
        self.pace = Pace()
        self.samples = 0
        self.losses: list[Tensor] = []
        self.checkpoint_due = time.monotonic() + plan.checkpoint_seconds
        self.progress_due = 0.0

    def run(self) -> Message:
        self.report({"type": "started", "step": self.step, "total_steps": self.total, "device": str(self.parts.device)})
        if self.step == 0 and 0 in self.previews:
            self._preview(self._evaluate(self.parts.part))
        while self.step < self.total:
            wish = self.stop()
            if wish is not None:
                return self._stopped(publish=wish == "stop publish")
            self._update()
            if self.step < self.total:
                self._after_update()
        return self._finished()

    def _revival(self) -> Revival | None:
        after = self.spec.training.revive_after
        if after is None:
            return None
        return Revival(after, self.parts.model, self.spec.training.seed, self.total)

    def _update(self) -> None:
        """One update; `self.step` counts it."""
        model, optimizer = self.parts.model, self.parts.optimizer
        phase = self.parts.schedule.phase(self.step)
        self._turn()
        factor = self.parts.schedule.rate(self.step)
        for group in optimizer.param_groups:
            group["lr"] = self.spec.training.learning_rate * factor * group["multiplier"]
        x, labels = self.parts.train.take(self.parts.sampler.indices(self.step))
        energy = self._energy(x, labels, phase)
        loss = energy.loss
        model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if phase != "encoder":
            model.learn(energy, factor)
        model.project(phase)
        if self.revival is not None and phase != "encoder":
            self.revival.note(energy)
            self.revival.cure(optimizer, x, energy, self.step)
        self.step += 1
        self.samples += len(energy.code)
        self.losses.append(loss.detach())

    def _turn(self) -> None:
        """What happens once, between two updates: the encoder begins from a finished dictionary; branches are cut."""
        if 0 < self.step == self.parts.schedule.dictionary_steps:
            restart_encoder(self.parts.model, self.spec.model, self.spec.training.seed)
        if self.step == self.prune_at:
            parts = self.parts
            phase = parts.schedule.phase(self.step)
            self.carried.notes["pruning"] = prune(
                parts.model, self.spec, parts.train, parts.evaluated, parts.whole, phase
            )

    def _energy(self, x: Tensor, labels: Tensor | None, phase: Phase) -> Energy:
        """The energy of a batch (batch, inputs), with what is hidden from its parts in this step."""
        noise = None
        if isinstance(self.spec.model.sparsity, Noise):
            noise = generator_for(self.spec.training.seed, "noise", self.step, x.device)
        if not self.parts.schedule.supervised(self.step):
            return self.parts.model.energy(x, noise=noise, phase=phase)
        generator = generator_for(self.spec.training.seed, "dropout", self.step, x.device)
        seen, visible = None, None
        if self.spec.training.input_dropout > 0:
            dropped = self.spec.training.input_dropout
            seen = x * keep_mask((len(x), x.shape[1]), dropped, generator) / (1 - dropped)
        classifier = self.spec.model.classifier
        if isinstance(classifier, Softmax) and classifier.dropout > 0:
            # not scaled up: the classifier divides by the norm of what it sees
            visible = keep_mask((len(x), self.outputs), classifier.dropout, generator)
        return self.parts.model.energy(x, labels, seen=seen, visible=visible, noise=noise, phase=phase)

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
        first = self.step - len(finite) + 1
        self.losses.clear()
        if not all(finite):
            raise LossNotFinite(first + finite.index(False), self.last_checkpoint)

    def _evaluate(self, indices: Tensor, *, published: bool = False) -> Evaluation:
        """Raises LossNotFinite before such a number is reported or a model that gives it is kept."""
        phase = self.parts.schedule.phase(self.step)
        if published and phase == "dictionary":
            phase = "encoder"
        evaluation = evaluate(self.parts.model, self.parts.evaluated, indices, phase)
        if not all(map(math.isfinite, evaluation.values.values())):
            raise LossNotFinite(self.step, self.last_checkpoint)
        return evaluation

    def _metrics(self, evaluation: Evaluation) -> None:
        self.pace.mark(self.samples)
        values = {**evaluation.values, "samples_per_second": self.pace.samples_per_second()}
        self.report({"type": "metrics", "step": self.step, "epoch": self._epoch(), "values": values})

    def _preview(self, evaluation: Evaluation) -> None:
        parts = self.parts
        path = write_preview(self.plan.out, self.step, parts.model, self.spec, parts.preprocessor, evaluation.usage)
        self.report({"type": "preview", "step": self.step, "file": self._relative(path)})

    def _checkpoint(self) -> str:
        self._check_losses()
        if not all(torch.isfinite(parameter).all() for parameter in self.parts.model.parameters()):
            raise LossNotFinite(self.step, self.last_checkpoint)
        path = checkpoint_path(self.plan.out, self.plan.token, self.step)
        save_checkpoint(path, self.parts.model, self.parts.optimizer, self.carried, self.spec, self.step)
        self.last_checkpoint = self._relative(path)
        self.report({"type": "checkpoint", "step": self.step, "file": self.last_checkpoint})
        drop_older(path)
        self.checkpoint_due = time.monotonic() + self.plan.checkpoint_seconds
        return self.last_checkpoint

    def _progress(self, now: float) -> None:
        self._check_losses()
        self.pace.mark(self.samples)
        rate = self.pace.samples_per_second()
        left = (self.total - self.step) * self.parts.sampler.batch_size
        self.report(
            {
                "type": "progress",
                "step": self.step,
                "total_steps": self.total,
                "epoch": self._epoch(),
                "fraction": self.step / self.total,
                "samples_per_second": rate,
                "eta_seconds": left / rate if rate > 0 else None,
            }
        )
        self.progress_due = now + PROGRESS_SECONDS

    def _epoch(self) -> float:
        return self.step / self.parts.sampler.steps_per_epoch

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.plan.out)) if path.is_relative_to(self.plan.out) else str(path)

    def _bundle(self, evaluation: Evaluation) -> str:
        folder = self.plan.out / "bundles" / str(self.plan.token)
        findings = found(self.parts, self.spec, evaluation, self.step, self.carried.notes)
        write_bundle(folder, self.parts.model, self.spec, self.parts.dataset, self.parts.preprocessor, findings)
        return self._relative(folder)

    def _stopped(self, *, publish: bool) -> Message:
        file = self._checkpoint()
        bundle = None
        if publish:
            if self.step < self.parts.schedule.dictionary_steps:
                # the encoder has not begun: what is published starts from the dictionary as it is
                restart_encoder(self.parts.model, self.spec.model, self.spec.training.seed)
            bundle = self._bundle(self._evaluate(self.parts.whole, published=True))
        return {"type": "stopped", "step": self.step, "file": file, "bundle": bundle}

    def _finished(self) -> Message:
        self._check_losses()
        self._turn()
        evaluation = self._evaluate(self.parts.whole)
        self._metrics(evaluation)
        if self.step in self.previews:
            self._preview(evaluation)
        self._progress(time.monotonic())
        bundle = self._bundle(evaluation)
        return {"type": "finished", "step": self.step, "metrics": evaluation.values, "bundle": bundle}
