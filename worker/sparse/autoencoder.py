"""The energy of a model and its named terms.

    E(x, z) = 1/2 ‖x − decode(z)‖²  +  sparsity(z)  [ + weight/2 ‖z − F(x)‖² ]  [ + classifier(z, label) ]

Every term is the mean over the batch, weights included: the terms sum to the loss. z is what the encoder answers, or,
for an encoder that learns from a solver's codes, the solver's; the classifier then sees the prediction F(x).
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from worker.sparse.adversarial import moved
from worker.sparse.bounds import PerUnit, Rates
from worker.sparse.classifier import Softmax
from worker.sparse.connections import Connection
from worker.sparse.encoders import Encoder, Inferred, PredictRefine, Recurrent
from worker.sparse.sparsity import Penalty, PoolNorm, Tree

Phase: TypeAlias = Literal["joint", "dictionary", "encoder"]


@dataclass(frozen=True)
class Energy:
    """Scalars `terms`, and what they were computed from."""

    terms: dict[str, Tensor]
    code: Tensor  # (batch, units), what `encode` answers
    decoded: Tensor  # (batch, units), the code that the terms are about; the same one where nothing is predicted
    reconstruction: Tensor  # (batch, inputs), of `decoded`
    logits: Tensor | None  # (batch, classes)

    @property
    def loss(self) -> Tensor:
        return torch.stack(list(self.terms.values())).sum()


class Autoencoder(nn.Module):
    """With `pooling`, what it answers are the L2 pools of the code, `features`; the energy is about the code."""

    def __init__(
        self,
        connection: Connection,
        encoder: Encoder,
        sparsity: Penalty,
        classifier: Softmax | None = None,
        *,
        pooling: bool = False,
    ) -> None:
        super().__init__()
        if pooling and not isinstance(sparsity, PoolNorm):
            raise ValueError(f"pooling needs pools, and the sparsity is {type(sparsity).__name__}")
        self.connection = connection
        self.encoder = encoder
        self.sparsity = sparsity
        self.classifier = classifier
        self.pooling = pooling

    @property
    def units(self) -> int:
        """Length of a code."""
        return self.connection.units

    @property
    def filters(self) -> int:
        """What is learned: units that share a filter count once."""
        return self.connection.filters

    @property
    def feature_shape(self) -> tuple[int, ...]:
        if self.pooling:
            assert isinstance(self.sparsity, PoolNorm)
            return self.sparsity.pooled_shape
        return self.connection.code_shape

    @property
    def num_features(self) -> int:
        return math.prod(self.feature_shape)

    @property
    def kept(self) -> Tensor | None:
        """(units,) bool: the units that have not been cut, where units can be."""
        return self.sparsity.kept if isinstance(self.sparsity, Tree) else None

    @property
    def recurrent(self) -> Recurrent | None:
        """The encoder, or what predicts its codes, where its units explain each other away directly."""
        encoder = self.encoder.predictor if isinstance(self.encoder, PredictRefine) else self.encoder
        return encoder if isinstance(encoder, Recurrent) else None

    def progress(self, x: Tensor) -> Tensor:
        """(batch, inputs) → codes after each pass, (passes, batch, units). Raises ValueError where there are none."""
        if self.recurrent is None:
            raise ValueError(f"the encoder {type(self.encoder).__name__} has no passes between its units")
        return self._cut(self.recurrent.progress(x))

    def encode(self, x: Tensor, passes: int | None = None) -> Tensor:
        """(batch, inputs) → codes (batch, units). `passes` replaces the number that a recurrent encoder has."""
        return self._cut(self.encoder.encode(x, self.connection, self.sparsity, passes))

    def features(self, code: Tensor) -> Tensor:
        """(batch, units) → (batch, features): the code itself, or its pools."""
        if not self.pooling:
            return code
        assert isinstance(self.sparsity, PoolNorm)
        return self.sparsity.pooled(code)

    def energy(
        self,
        x: Tensor,
        labels: Tensor | None = None,
        *,
        seen: Tensor | None = None,
        visible: Tensor | None = None,
        noise: torch.Generator | None = None,
        phase: Phase = "joint",
    ) -> Energy:
        """The energy of inputs `x` (batch, inputs), with the classification term where `labels` (batch,) are given.

        `seen` (batch, inputs) is what the encoder gets in place of `x`; `visible` (batch, features) multiplies them
        on its way to the classifier. Both are how dropout comes in; neither changes what is reconstructed. `noise`
        draws the noise of noisy codes. In the phase `dictionary` nothing is predicted, in `encoder` D is fixed.
        """
        inferred = self._infer(x, x if seen is None else seen, phase)
        decoded = self.sparsity.disturbed(inferred.code, x, noise)
        reconstruction = self._decode(decoded, phase)
        terms = {
            "reconstruction": self.connection.errors(x, reconstruction).sum() / len(x),
            "sparsity": self.sparsity.penalty(inferred.code, x),
        }
        if isinstance(self.encoder, PredictRefine) and inferred.prediction is not None:
            terms["prediction"] = self.encoder.penalty(inferred)
        answer, logits = inferred.answer, None
        if self.classifier is not None and labels is not None:
            features = self.features(answer)
            logits = self.classifier.logits(features if visible is None else features * visible)
            terms["classification"] = self.classifier.penalty(logits, labels)
        return Energy(terms, answer, decoded, reconstruction, logits)

    def adversarial(self, x: Tensor, labels: Tensor, distances: Tensor, visible: Tensor | None = None) -> Tensor:
        """Inputs (batch, inputs), each moved by its distance (batch, 1) to where its label is harder to tell."""
        classifier = self.classifier
        assert classifier is not None  # the spec's own check

        def classification(at: Tensor) -> Tensor:
            features = self.features(self.encode(at))
            return classifier.penalty(classifier.logits(features if visible is None else features * visible), labels)

        return moved(x, distances, self, classification)

    def energies(self, x: Tensor, code: Tensor) -> Tensor:
        """Reconstruction and sparsity of given codes, (batch,)"""
        return self.connection.errors(x, self.connection.decode(code)) + self.sparsity.energies(code, x)

    def _infer(self, x: Tensor, seen: Tensor, phase: Phase) -> Inferred:
        if phase == "dictionary" and isinstance(self.encoder, PredictRefine):
            return Inferred(self._cut(self.encoder.exact(x, self.connection, self.sparsity)))
        found = self.encoder.infer(x, seen, self.connection, self.sparsity)
        prediction = None if found.prediction is None else self._cut(found.prediction)
        return Inferred(self._cut(found.code), prediction)

    def _decode(self, code: Tensor, phase: Phase) -> Tensor:
        if phase == "encoder":
            return self.connection.decode(code, self.connection.dictionary.detach())
        return self.connection.decode(code)

    def _cut(self, code: Tensor) -> Tensor:
        return code if self.kept is None else code * self.kept

    def active(self, energy: Energy) -> Tensor:
        """(batch, units) bool: the units that the dictionary learns from. A tanh that predicts codes is never zero; the
        codes that it predicts are."""
        predicts = isinstance(self.encoder, PredictRefine)
        return self.sparsity.active((energy.decoded if predicts else energy.code).detach())

    def learn(self, energy: Energy, factor: float = 1.0) -> None:
        """What is learned from a batch by other means than the optimiser, after its step; `factor` on every rate."""
        self.connection.step(energy.decoded.detach(), factor)
        self.sparsity.learn(energy.decoded.detach(), factor)

    def rates(self) -> Rates:
        """Every parameter that the optimiser updates, with its learning rate relative to the base."""
        rates = self.connection.rates() + self.encoder.rates() + self.sparsity.rates()
        return rates if self.classifier is None else rates + self.classifier.rates()

    def per_unit(self) -> PerUnit:
        """Every parameter that has a dimension for the filters, with that dimension."""
        found = self.connection.per_unit() + self.encoder.per_unit() + self.sparsity.per_unit()
        by_unit = self.classifier is not None and self.units == self.filters and not self.pooling
        return [*found, *self.classifier.per_unit()] if self.classifier is not None and by_unit else found

    def project(self, phase: Phase = "joint", *, labelled: bool = True) -> None:
        """Bring every parameter that the phase changes back into its constraints; called after each update.

        `labelled`: whether labels took part in it.
        """
        if phase != "encoder":
            self.connection.project()
        if not labelled:
            self.encoder.tie(self.connection)
        self.encoder.project()
        if self.classifier is not None:
            self.classifier.project()

    @torch.no_grad()
    def revive(self, filters: Tensor, examples: Tensor) -> None:
        """Let silent `filters` (k,) begin anew from the directions of `examples` (k, inputs)."""
        self.connection.revive(filters, examples)
        self.encoder.revive(filters, self.connection)
        if self.classifier is not None and not self.pooling:
            silent = torch.zeros(self.filters, device=filters.device).index_fill_(0, filters, 1)
            self.classifier.weights[:, self.connection.spread(silent) > 0] = 0
