"""The energy of a model and its named terms.

    E(x, z) = 1/2 ‖x − decode(z)‖²  +  sparsity(z)  [ + classifier(z, label) ],   z = encode(x)

Every term is the mean over the batch, weights included: the terms sum to the loss.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worker.sparse.bounds import Rates
from worker.sparse.classifier import Softmax
from worker.sparse.connections import Dense
from worker.sparse.encoders import Recurrent
from worker.sparse.sparsity import L1


@dataclass(frozen=True)
class Energy:
    """Scalars `terms`, and what they were computed from."""

    terms: dict[str, Tensor]
    code: Tensor  # (batch, units)
    reconstruction: Tensor  # (batch, inputs)
    logits: Tensor | None  # (batch, classes)

    @property
    def loss(self) -> Tensor:
        return torch.stack(list(self.terms.values())).sum()


class Autoencoder(nn.Module):
    def __init__(self, connection: Dense, encoder: Recurrent, sparsity: L1, classifier: Softmax | None = None) -> None:
        super().__init__()
        self.connection = connection
        self.encoder = encoder
        self.sparsity = sparsity
        self.classifier = classifier

    def energy(
        self, x: Tensor, labels: Tensor | None = None, *, seen: Tensor | None = None, visible: Tensor | None = None
    ) -> Energy:
        """The energy of inputs `x` (batch, inputs), with the classification term where `labels` (batch,) are given.

        `seen` (batch, inputs) is what the encoder gets in place of `x`; `visible` (batch, units) multiplies the code
        on its way to the classifier. Both are how dropout comes in; neither changes what is reconstructed.
        """
        code = self.encoder.encode(x if seen is None else seen)
        reconstruction = self.connection.decode(code)
        terms = {
            "reconstruction": 0.5 * (x - reconstruction).square().sum() / len(x),
            "sparsity": self.sparsity.penalty(code),
        }
        if self.classifier is None or labels is None:
            return Energy(terms, code, reconstruction, None)
        logits = self.classifier.logits(code if visible is None else code * visible)
        terms["classification"] = self.classifier.penalty(logits, labels)
        return Energy(terms, code, reconstruction, logits)

    def rates(self) -> Rates:
        """Every parameter with its learning rate relative to the base."""
        rates = self.connection.rates() + self.encoder.rates()
        return rates if self.classifier is None else rates + self.classifier.rates()

    def project(self) -> None:
        """Bring every parameter back into its constraints; called after each update."""
        self.connection.project()
        self.encoder.project()
        if self.classifier is not None:
            self.classifier.project()
