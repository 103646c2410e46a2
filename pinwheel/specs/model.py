"""A model is four parts: connection, encoder, sparsity, classifier.

E(x, z) = 1/2 ‖x − decode(z)‖²  +  sparsity(z)  [ + classifier(z, label) ]
"""

from typing import Annotated, Literal

from pydantic import Field

from pinwheel.specs.base import Spec


class Dense(Spec):
    """Every unit sees every input."""

    kind: Literal["dense"] = "dense"
    units: int = Field(400, ge=1, le=65536, description="Number of units of the code.")
    max_norm: float = Field(1.0, gt=0, le=1000, description="Upper bound of the L2 norm of each dictionary column.")


class Recurrent(Spec):
    """The unrolled encoder of DrSAE: z ← max(0, E x + z + S̃ z − b), started at zero."""

    kind: Literal["recurrent"] = "recurrent"
    passes: int = Field(11, ge=1, le=200, description="Unrolled passes T, the first from a code of zeros.")
    total_step: float = Field(
        1.25, gt=0, le=100, description="Sum of the step sizes over all passes; bounds each encoder row."
    )
    rate_multiplier: float = Field(
        0.25, gt=0, le=100, description="Learning rate of encoder and explaining-away matrices, relative to the base."
    )
    bias_rate_multiplier: float = Field(
        0.1, gt=0, le=100, description="Learning rate of the bias, relative to the base."
    )


class L1(Spec):
    """weight · ‖z‖₁"""

    kind: Literal["l1"] = "l1"
    weight: float = Field(0.018, ge=0, le=1000, description="Sparsity weight λ.")


class NoClassifier(Spec):
    """No labels are used."""

    kind: Literal["none"] = "none"


class Softmax(Spec):
    """weight · −log softmax(C z / ‖z‖₂)[label], without bias."""

    kind: Literal["softmax"] = "softmax"
    weight: float = Field(0.2, ge=0, le=1000, description="Weight of the classification term.")
    max_norm: float = Field(20.0, gt=0, le=10000, description="Upper bound of the L2 norm of each class's weights.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of units hidden from the classifier while it learns.")


Connection = Dense
Encoder = Recurrent
Sparsity = L1
Classifier = Annotated[NoClassifier | Softmax, Field(discriminator="kind")]


class Model(Spec):
    """The four parts together."""

    connection: Connection
    encoder: Encoder
    sparsity: Sparsity
    classifier: Classifier = NoClassifier()
