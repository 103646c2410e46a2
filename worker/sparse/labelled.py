"""What a stack learns from labels alone: its classifier, and with it, where asked for, the encoders of all layers.

    E(x, label) = weight · −log softmax(C f / ‖f‖₂)[label]        f the features of the top layer

No decoder takes part: after training it is not needed to encode (LeCun's lecture 9.1).
"""

from dataclasses import dataclass

from torch import Tensor, nn

from worker.sparse.adversarial import moved
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.bounds import Rates
from worker.sparse.classifier import Softmax
from worker.sparse.stack import Stack


@dataclass(frozen=True)
class Labels:
    """The energy of a batch."""

    terms: dict[str, Tensor]
    logits: Tensor  # (batch, classes)

    @property
    def loss(self) -> Tensor:
        return self.terms["classification"]


class Labelled(nn.Module):
    """`stack` has learned without labels; None where what comes in are its features. `classifier` is on top of it."""

    def __init__(self, classifier: Softmax, stack: Stack | None = None) -> None:
        super().__init__()
        self.stack = stack
        self.classifier = classifier

    def energy(self, x: Tensor, labels: Tensor, visible: Tensor | None = None) -> Labels:
        """Of inputs `x` (batch, inputs). `visible` (batch, features) multiplies the features: dropout."""
        features = x if self.stack is None else self.stack.features(x)
        logits = self.classifier.logits(features if visible is None else features * visible)
        return Labels({"classification": self.classifier.penalty(logits, labels)}, logits)

    def adversarial(self, x: Tensor, labels: Tensor, distances: Tensor, visible: Tensor | None = None) -> Tensor:
        """Inputs (batch, inputs), each moved by its distance (batch, 1) to where its label is harder to tell."""
        return moved(x, distances, self, lambda at: self.energy(at, labels, visible).loss)

    def rates(self) -> Rates:
        """Every parameter that learns, with its learning rate relative to the base."""
        return [rate for model in self.models for rate in model.encoder.rates()] + self.classifier.rates()

    def project(self) -> None:
        for model in self.models:
            model.encoder.project()
        self.classifier.project()

    @property
    def models(self) -> list[Autoencoder]:
        """The layers that learn."""
        return [] if self.stack is None else self.stack.models
