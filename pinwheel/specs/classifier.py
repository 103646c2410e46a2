"""What labels are used for."""

from typing import Annotated, Literal

from pydantic import Field

from pinwheel.specs.base import Spec


class NoClassifier(Spec):
    """No labels are used."""

    kind: Literal["none"] = "none"


class Softmax(Spec):
    """weight · −log softmax(C z / ‖z‖₂)[label], without bias."""

    kind: Literal["softmax"] = "softmax"
    weight: float = Field(0.2, ge=0, le=1000, description="Weight of the classification term.")
    max_norm: float = Field(20.0, gt=0, le=10000, description="Upper bound of the L2 norm of each class's weights.")
    rate_multiplier: float = Field(
        1.0, gt=0, le=100, description="Learning rate of the classifier, relative to the base."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of units hidden from the classifier while it learns.")


Classifier = Annotated[NoClassifier | Softmax, Field(discriminator="kind")]
