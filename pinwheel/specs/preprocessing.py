"""What is done to an image before a model sees it. Saved with the model and applied by every encode."""

from typing import Literal

from pydantic import Field

from pinwheel.specs.base import Spec


class Preprocessing(Spec):
    scale: Literal["none", "unit-norm", "standard"] = Field(
        "unit-norm",
        description="`unit-norm` divides each input by its L2 norm; `standard` gives it mean 0 and deviation 1.",
    )
