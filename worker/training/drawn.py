"""What is drawn for one step of learning from labels: what is hidden, and how far inputs are moved."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pinwheel import specs
from worker.data.random import generator_for, keep_mask


@dataclass(frozen=True)
class Drawn:
    """None where nothing is hidden, or moved."""

    seen: Tensor | None = None  # (batch, inputs) what the encoder gets in place of its inputs
    visible: Tensor | None = None  # (batch, features) 0 for what the classifier does not see, 1 for the others
    distances: Tensor | None = None  # (batch, 1) by which inputs are moved


NOTHING = Drawn()


def draw(x: Tensor, step: int, training: specs.Training, classifier: specs.Classifier, features: int) -> Drawn:
    """For inputs `x` (batch, inputs) and this many features, on the device of `x`."""
    generator = generator_for(training.seed, "dropout", step, x.device)
    seen = dropped(x, training.input_dropout, generator)
    visible = hidden(classifier, len(x), features, generator)
    if not isinstance(classifier, specs.Softmax) or training.adversarial_norm == 0:
        return Drawn(seen, visible)
    share = torch.rand(len(x), 1, generator=generator, device=x.device)
    return Drawn(seen, visible, training.adversarial_norm * share)


def dropped(x: Tensor, share: float, generator: torch.Generator) -> Tensor | None:
    """`x` (batch, inputs) with a `share` of its numbers set to zero; None where nothing is."""
    return None if share == 0 else x * keep_mask((len(x), x.shape[1]), share, generator) / (1 - share)


def hidden(classifier: specs.Classifier, batch: int, features: int, generator: torch.Generator) -> Tensor | None:
    """(batch, features) 0 for what a classifier does not see in this step; None where it sees all. Not scaled up: the
    classifier divides by the norm of what it sees."""
    if not isinstance(classifier, specs.Softmax) or classifier.dropout == 0:
        return None
    return keep_mask((batch, features), classifier.dropout, generator)
