"""A stage that adds a layer: dictionary, encoder and what sparsity learns, on what the layers below answer."""

from dataclasses import astuple
from pathlib import Path

from torch import Tensor

from pinwheel import specs
from pinwheel.specs import StackSpec, TrainSpec
from worker.data.random import generator_for, permutation
from worker.sparse.autoencoder import Autoencoder, Energy, Phase
from worker.sparse.connections import Dense
from worker.sparse.encoders import Feedforward, Recurrent
from worker.sparse.sparsity import L1, Pools
from worker.sparse.stack import Between
from worker.training.build import fresh_model, restart_encoder
from worker.training.bundle import Bundle
from worker.training.captured import Captured
from worker.training.checkpoint import Carried
from worker.training.drawn import NOTHING, Drawn, draw
from worker.training.evaluate import Evaluation, evaluate
from worker.training.features import between_of
from worker.training.findings import found
from worker.training.prepare import Opened, optimizer_of, prepared
from worker.training.pruning import prune, prune_step
from worker.training.publish import Findings, Pictured, Under, write_layer, write_preview
from worker.training.revive import Revival
from worker.training.stage import Loss, Stage
from worker.training.strongest import patches_of

PICTURED_INPUTS = 500  # examples that a filter of a higher layer is shown by
MOST_EXAMPLES = 256  # images that first filters with fields of their own are drawn from


class LayerStage(Stage):
    """`below` are the layers that are there, None under the first one."""

    model: Autoencoder

    def __init__(self, opened: Opened, spec: TrainSpec | StackSpec, number: int, below: Bundle | None) -> None:
        layer = spec.stages[number]
        assert isinstance(layer, specs.Layer)
        self.spec, self.layer, self.number, self.training = spec, layer, number, layer.training
        self.below, self.opened = below, opened
        self.between: Between | None = None
        seen = opened
        if below is not None:
            stack = below.stack.to(opened.device)
            order = permutation(len(opened.train), self.training.seed, "between").to(opened.device)
            self.between = between_of(opened.train, stack, order)
            seen = opened.through(stack, self.between)
        self.model = self._drawn(seen).to(opened.device)
        self.parts = prepared(seen, self.training, self.model.units)
        self.optimizer = optimizer_of(self.training, self.model.rates())
        total = self.parts.schedule.total_steps
        self.prune_at = prune_step(layer.model.sparsity, total)
        self.revival = None
        if self.training.revive_after is not None:
            self.revival = Revival(self.training.revive_after, self.model, self.training.seed, total)
        self.captured: dict[bool, Captured] = {}
        if self._can_be_captured():  # one for each phase: with labels, and without
            self.captured = {supervised: Captured(self._learn) for supervised in (False, True)}
        self.carried = Carried({} if self.revival is None else {"ages": self.revival.ages})

    def _drawn(self, seen: Opened) -> Autoencoder:
        connection, seed, train = self.layer.model.connection, self.training.seed, seen.train
        wanted = MOST_EXAMPLES if isinstance(connection, specs.Local) else connection.units
        examples, _ = train.take(permutation(len(train), seed, "examples")[:wanted].to(train.device))
        return fresh_model(self.layer.model, examples.cpu(), seen.dataset.classes, seed, train.shape)

    def _phase(self, step: int) -> Phase:
        return self.parts.schedule.phase(step)

    def _labelled(self, step: int) -> bool:
        """Whether labels take part in the update after `step` finished ones."""
        return self.model.classifier is not None and self.parts.schedule.supervised(step)

    def turn(self, step: int) -> None:
        """The encoder begins from a finished dictionary; branches are cut."""
        if 0 < step == self.parts.schedule.dictionary_steps:
            restart_encoder(self.model, self.layer.model, self.training.seed)
        if step == self.prune_at:
            parts, phase = self.parts, self._phase(step)
            self.carried.notes["pruning"] = prune(
                self.model, self.layer, parts.train, parts.evaluated, parts.whole, phase
            )

    def energy(self, x: Tensor, labels: Tensor | None, step: int) -> Energy:
        phase, noise = self._phase(step), None
        if isinstance(self.layer.model.sparsity, specs.Noise):
            noise = generator_for(self.training.seed, "noise", step, x.device)
        if not self.parts.schedule.supervised(step):
            return self.model.energy(x, noise=noise, phase=phase)
        drawn = draw(x, step, self.training, self.layer.model.classifier, self.model.num_features)
        seen = self._seen_by_encoder(x, labels, drawn)
        return self.model.energy(x, labels, seen=seen, visible=drawn.visible, noise=noise, phase=phase)

    def _seen_by_encoder(self, x: Tensor, labels: Tensor | None, drawn: Drawn) -> Tensor | None:
        if drawn.distances is None:
            return drawn.seen
        assert labels is not None  # there is a classifier
        return self.model.adversarial(x if drawn.seen is None else drawn.seen, labels, drawn.distances, drawn.visible)

    def update(self, x: Tensor, labels: Tensor | None, step: int, factor: float) -> Tensor:
        if not self.captured or len(x) < self.parts.sampler.batch_size:
            return super().update(x, labels, step, factor)
        self.set_rates(factor)
        supervised = self.parts.schedule.supervised(step)
        drawn = NOTHING
        if supervised:
            drawn = draw(x, step, self.training, self.layer.model.classifier, self.model.num_features)
        loss = self.captured[supervised](x, labels if supervised else None, *astuple(drawn))
        self.model.connection.forget()
        return loss.clone()

    def _learn(self, x: Tensor, labels: Tensor | None, *tensors: Tensor | None) -> Tensor:
        """`update` in a form that can be captured; `tensors` are those of what was drawn."""
        drawn = Drawn(*tensors)
        seen = self._seen_by_encoder(x, labels, drawn)
        loss = self.model.energy(x, labels, seen=seen, visible=drawn.visible).loss
        self.model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.model.project(labelled=self.model.classifier is not None and labels is not None)
        return loss.detach()

    def _can_be_captured(self) -> bool:
        """Whether an update on a GPU reads nothing back, and draws and changes nothing but what `_learn` does."""
        model, connection = self.model, self.model.connection
        return (
            self.opened.device.type == "cuda"
            and isinstance(model.encoder, Recurrent | Feedforward)
            and isinstance(model.sparsity, L1 | Pools)
            and isinstance(connection, Dense)
            and connection.hessian is None
            and self.revival is None
            and self.training.optimizer == "adam"
        )

    def learned(self, x: Tensor, energy: Loss, step: int, factor: float) -> None:
        assert isinstance(energy, Energy)
        phase = self._phase(step)
        if phase != "encoder":
            self.model.learn(energy, factor)
        self.model.project(phase, labelled=self._labelled(step))
        if self.revival is not None and phase != "encoder":
            self.revival.note(energy)
            self.revival.cure(self.optimizer, x, energy, step)

    def evaluate(self, indices: Tensor, step: int, *, published: bool = False) -> Evaluation:
        phase = self._phase(step)
        if published and phase == "dictionary":
            phase = "encoder"
        return evaluate(self.model, self.parts.evaluated, indices, phase)

    def preview(self, out: Path, step: int, evaluation: Evaluation) -> Path:
        return write_preview(out, step, self.model, self._pictured(), evaluation.usage)

    def _pictured(self) -> Pictured:
        shape, preprocessor = self.parts.train.shape, self.opened.preprocessor
        under = None
        if self.below is not None and self.between is not None:
            examples, _ = self.opened.evaluated.take(self.parts.whole[:PICTURED_INPUTS])
            under = Under(self.below.stack, self.between, examples)
        return Pictured(self.layer.model, self.number, shape, preprocessor, under)

    def cut_short(self, step: int) -> None:
        if step < self.parts.schedule.dictionary_steps:
            restart_encoder(self.model, self.layer.model, self.training.seed)

    def write(self, folder: Path, evaluation: Evaluation, step: int) -> None:
        notes = dict(self.carried.notes)
        if "pruning" in notes:
            notes["pruning"] = notes["pruning"] | {"energy_after": evaluation.values["loss"]}
        pictured = self._pictured()
        units, told = found(self.model, self.parts, self._seen, notes, pictured)
        below, inputs = None if self.below is None else self.below.stack, self.parts.evaluated
        patches = patches_of(self.model.encode, self.model.connection, inputs, self.parts.whole, below)
        findings = Findings(evaluation, step, units, told, patches)
        write_layer(folder, self.model, self.spec, pictured, self.parts.dataset, self.below, findings)

    def _seen(self, x: Tensor) -> Tensor:
        """(n, inputs) of the image → (n, inputs) of this layer"""
        if self.below is None or self.between is None:
            return x
        return self.between.up(self.below.stack.features(x))
