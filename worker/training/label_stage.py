"""The stage of labels alone: a classifier on the features of all layers and, where asked for, the layers with it."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pinwheel.specs import StackSpec, Supervised, TrainSpec, as_image, layers
from worker.data.random import generator_for
from worker.sparse.classifier import draw_weights
from worker.sparse.labelled import Labelled, Labels
from worker.sparse.stack import CODES_AT_ONCE, Stack
from worker.training.build import classifier_from, need_classes
from worker.training.bundle import Bundle
from worker.training.checkpoint import Carried
from worker.training.described import described
from worker.training.drawn import draw
from worker.training.evaluate import Evaluation, evaluate_labels
from worker.training.features import FeatureInputs
from worker.training.layer_stage import PICTURED_INPUTS
from worker.training.part_units import part_units
from worker.training.prepare import Opened, optimizer_of, prepared
from worker.training.publish import Findings, Pictured, Under, encoder_filters, write_labelled
from worker.training.stage import Loss, Stage
from worker.training.strongest import Patches, patches_of


class LabelStage(Stage):
    """On the layers of `below`."""

    model: Labelled

    def __init__(self, opened: Opened, spec: TrainSpec | StackSpec, number: int, below: Bundle) -> None:
        stage = spec.stages[number]
        assert isinstance(stage, Supervised)
        self.spec, self.stage, self.number, self.training = spec, stage, number, stage.training
        self.below, self.opened = below, opened
        stack = below.stack.to(opened.device)
        self.features = stack.layer().num_features
        generator = generator_for(self.training.seed, "classifier")
        weights = draw_weights(need_classes(opened.dataset.classes), self.features, generator)
        classifier = classifier_from(stage.classifier, weights)
        learns = stage.learn == "all"
        self.model = Labelled(classifier, stack if learns else None).to(opened.device)
        seen = opened if learns else opened.through(stack, None)
        self.parts = prepared(seen, self.training, stack.layer().units)
        self.optimizer = optimizer_of(self.training, self.model.rates())
        self.carried = Carried()

    def turn(self, step: int) -> None:
        """Nothing does."""

    def energy(self, x: Tensor, labels: Tensor | None, step: int) -> Labels:
        assert labels is not None  # there are classes
        drawn = draw(x, step, self.training, self.stage.classifier, self.features)
        seen = x if drawn.seen is None else drawn.seen
        if drawn.distances is not None:
            seen = self.model.adversarial(seen, labels, drawn.distances, drawn.visible)
        return self.model.energy(seen, labels, drawn.visible)

    def learned(self, x: Tensor, energy: Loss, step: int, factor: float) -> None:
        self.model.project()

    def evaluate(self, indices: Tensor, step: int, *, published: bool = False) -> Evaluation:
        return evaluate_labels(self.model, self.parts.evaluated, indices)

    def preview(self, out: Path, step: int, evaluation: Evaluation) -> None:
        """The filters are those that the stages before it have shown."""

    def cut_short(self, step: int) -> None:
        """Everything learns from the first step on."""

    @torch.inference_mode()
    def write(self, folder: Path, evaluation: Evaluation, step: int) -> None:
        findings = Findings(evaluation, step)
        below, dataset = self.below, self.parts.dataset
        write_labelled(folder, self.model, self.spec, dataset, below, self._changed(), findings, self._patches())

    def _patches(self) -> list[Patches | None] | None:
        """Of each layer what drives its units most now; None where the layers have not changed."""
        if self.model.stack is None:
            return None
        stack, inputs, found = self.below.stack, self.opened.evaluated, []
        for number, model in enumerate(stack.models):
            encode = partial(stack.encode, layer=number)
            below = None if number == 0 else stack.up_to(number)
            found.append(patches_of(encode, model.connection, inputs, self.parts.whole, below))
        return found

    def _changed(self) -> list[dict[str, Tensor]]:
        """Of each layer what is told of its units now."""
        stack, examples = self.below.stack, self.opened.evaluated.take(self.parts.whole[:PICTURED_INPUTS])[0]
        found, shape = [], self.opened.train.shape
        for number, layer in enumerate(layers(self.spec)):
            under = None
            if number > 0:
                under = Under(stack.up_to(number), stack.under(number), examples)
            pictured = Pictured(layer.model, number, shape, self.opened.preprocessor, under)
            moved = {} if self.model.stack is None else looks_and_usage(stack, pictured, examples)
            found.append(moved | self._part_units(stack, pictured))
            shape = as_image(stack.layer(number).feature_shape)
        return found

    def _part_units(self, stack: Stack, pictured: Pictured) -> dict[str, Tensor]:
        """What explains the units of a layer, where it is recurrent; the classifier is on the top one."""
        model, inputs = stack.layer(pictured.number), self.opened.evaluated
        if model.recurrent is None:
            return {}
        classifier = self.model.classifier.weights if pictured.number == len(stack) - 1 else None
        if pictured.under is not None:
            inputs = FeatureInputs(inputs, pictured.under.stack, pictured.under.between)
        nothing: dict[str, Tensor] = {}
        return described(
            "part units", lambda: part_units(model, inputs, self.parts.whole, pictured, classifier), instead=nothing
        )


def looks_and_usage(stack: Stack, pictured: Pictured, examples: Tensor) -> dict[str, Tensor]:
    """What the units of a layer look for, and the share of `examples` (n, inputs of the stack) that use each."""
    model = stack.layer(pictured.number)
    counts = torch.zeros(model.units, dtype=torch.float64, device=examples.device)
    for x in torch.split(examples, max(1, CODES_AT_ONCE // stack.longest)):
        counts += model.sparsity.active(stack.encode(x, pictured.number)).sum(0)
    usage = (model.connection.gathered(counts / len(examples)) / model.connection.uses).float()
    return {**encoder_filters(model, pictured), "usage": usage}
