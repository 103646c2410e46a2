"""How a code is found from an input."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pinwheel.specs.base import Spec

Sign = Literal["nonnegative", "signed"]


class Solver(Spec):
    """Iterations towards the code of least energy, stopped on a measured gap."""

    method: Literal["fista", "coordinate-descent", "active-set"] = Field(
        "fista",
        description=(
            "Accelerated proximal gradient; one unit after the other; or accelerated among the units that are needed "
            "alone, for codes of images with few active units."
        ),
    )
    max_iterations: int = Field(100, ge=1, le=100_000, description="Upper bound of iterations (sweeps over the units).")
    tolerance: float = Field(
        1e-3, ge=0, lt=1, description="Stop where the energy is within this share of the least possible one."
    )


class Feedforward(Spec):
    """One pass: z = g · act(E x + b)."""

    kind: Literal["feedforward"] = "feedforward"
    activation: Literal["relu", "shrink", "tanh", "linear"] = Field(
        "relu",
        description="`relu` gives codes ≥ 0, `shrink` signed ones with zeros; `tanh` and `linear` have none.",
    )
    gain: bool = Field(True, description="Learn a factor g for each unit.")
    rate_multiplier: float = Field(1.0, gt=0, le=100, description="Learning rate of the encoder, relative to the base.")


class Recurrent(Spec):
    """The unrolled encoder of LISTA and DrSAE: z ← shrink(E x + z + S̃ z, b), started at zero."""

    kind: Literal["recurrent"] = "recurrent"
    passes: int = Field(11, ge=1, le=200, description="Unrolled passes T, the first from a code of zeros.")
    sign: Sign = Field("nonnegative", description="max(0, v − b), or sign(v) max(0, |v| − b).")
    start: Literal["drsae", "ista", "random"] = Field(
        "drsae",
        description=(
            "First matrices: `ista` are proximal gradient steps with step 1/L and thresholds λ/L; `drsae` steps of "
            "total_step / passes without a threshold; `random` is free of the dictionary."
        ),
    )
    total_step: float | None = Field(
        1.25,
        gt=0,
        le=100,
        description="Sum of the step sizes of all passes; bounds each encoder row. null: no bound.",
    )
    tied_without_labels: bool = Field(
        False,
        description=(
            "Where labels take no part, rows of the encoder keep the directions of the dictionary's columns: their "
            "lengths alone are learned."
        ),
    )
    target: Literal["energy", "exact-code"] = Field(
        "energy", description="Learn to lower the energy, or to predict the code that a solver finds (LISTA)."
    )
    solver: Solver = Field(Solver(), description="Finds the codes that are predicted, with target `exact-code`.")
    rate_multiplier: float = Field(
        0.25, gt=0, le=100, description="Learning rate of encoder and explaining-away matrices, relative to the base."
    )
    bias_rate_multiplier: float = Field(
        0.1, gt=0, le=100, description="Learning rate of the bias, relative to the base."
    )

    @model_validator(mode="before")
    @classmethod
    def _bound_of_the_start(cls, given: Any) -> Any:
        """Where nothing is said of it, only `drsae` has a total step."""
        if isinstance(given, dict) and "total_step" not in given and given.get("start", "drsae") != "drsae":
            return given | {"total_step": None}
        return given

    @model_validator(mode="after")
    def _has_its_step(self) -> Self:
        if self.start == "drsae" and self.total_step is None:
            raise ValueError("start 'drsae' needs a total_step, and it is null; 'ista' and 'random' need none")
        if self.start == "ista" and self.total_step is not None:
            raise ValueError(f"start 'ista' takes steps of 1/L; set total_step to null, it is {self.total_step}")
        return self


class Exact(Spec):
    """The code of least energy, by iterations: nothing is learned in the encoder."""

    kind: Literal["exact"] = "exact"
    sign: Sign = Field("signed", description="Whether codes may be negative.")
    solver: Solver = Solver()


class PredictRefine(Spec):
    """A feed-forward prediction, refined by a solver while training (PSD); encoding takes the prediction."""

    kind: Literal["predict-refine"] = "predict-refine"
    activation: Literal["relu", "shrink", "tanh"] = Field(
        "tanh", description="`relu` makes refined codes ≥ 0 as well; `shrink` and `tanh` are signed."
    )
    gain: bool = Field(True, description="Learn a factor g for each unit.")
    weight: float = Field(1.0, gt=0, le=1000, description="Weight α of 1/2 ‖z − prediction‖² while z is refined.")
    rate_multiplier: float = Field(1.0, gt=0, le=100, description="Learning rate of the encoder, relative to the base.")
    solver: Solver = Solver(max_iterations=30, tolerance=1e-2)


Encoder = Annotated[Feedforward | Recurrent | Exact | PredictRefine, Field(discriminator="kind")]
