"""How a model is trained, and on what."""

import math
from typing import Literal

from pydantic import Field

from pinwheel.specs.base import Spec


class Training(Spec):
    epochs: int = Field(
        60, ge=1, le=1_000_000, description="Passes over the training data, the unsupervised ones included."
    )
    batch_size: int = Field(100, ge=1, le=1_000_000, description="Inputs per step.")
    seed: int = Field(0, ge=0, lt=2**63, description="Decides every random draw.")
    optimizer: Literal["adam", "sgd"] = Field(
        "adam", description="Adam, or plain stochastic gradients without momentum. Gradients are means over the batch."
    )
    learning_rate: float = Field(2e-3, gt=0, le=10, description="Base learning rate.")
    schedule: Literal["cosine", "constant", "inverse"] = Field(
        "cosine",
        description=(
            "How the rate falls: half a cosine to zero after the unsupervised phase; not at all; or from the start as "
            "1 / (1 + decay · steps)."
        ),
    )
    decay: float = Field(5e-6, ge=0, le=1, description="Of the schedule `inverse`, for each step.")
    unsupervised_fraction: float = Field(
        0.0, ge=0, le=1, description="Share of the steps, at the start, in which the classifier does not take part."
    )
    input_dropout: float = Field(
        0.0, ge=0, lt=1, description="Share of inputs set to zero in the supervised phase (the target stays whole)."
    )
    adversarial_norm: float = Field(
        0.0,
        ge=0,
        le=1000,
        description=(
            "In the supervised phase each input is moved by up to this (L2 norm, drawn evenly) to where its label is "
            "harder to tell, before the encoder sees it (the target stays as it is). Nothing is moved without a "
            "classifier, or where codes are found by a solver and have no gradient."
        ),
    )
    dictionary_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "Share of the steps, at the start, that learn the dictionary alone; the encoder then starts from it and "
            "learns with the dictionary fixed. 0: both together. Needs an encoder that predicts codes."
        ),
    )
    revive_after: int | None = Field(
        None,
        ge=1,
        le=10**12,
        description="Inputs after which a silent unit starts anew from a badly reconstructed input; null: never.",
    )
    previews: int = Field(40, ge=0, le=1000, description="Pictures of the filters kept over the whole training.")

    def total_steps(self, inputs: int) -> int:
        """Updates on this many inputs."""
        return self.epochs * math.ceil(inputs / self.batch_size)


class Resources(Spec):
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="`auto` takes a GPU where the worker has one.")
    devices: Literal[1] = Field(1, description="Number of devices.")
    precision: Literal["auto", "float32"] = Field("auto", description="Number format of the matrix products.")
