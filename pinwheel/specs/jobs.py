"""What a client asks for, and what it becomes once every default is filled in."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from pinwheel.specs.base import Spec, misplaced
from pinwheel.specs.train import MOST_STAGES

MODEL_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
ModelName = Annotated[str, StringConstraints(pattern=MODEL_NAME)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Pool = Literal["none", "mean", "max", "l2"]
POOL_TEXT = (
    "How the features of an image's patches, and of the places of a convolution, become one of each unit: mean, max or "
    "L2 norm; `none` keeps them all. Without: patches are averaged, places stay."
)
STRIDE_TEXT = "Pixels from one patch to the next in images larger than the model's patches; side by side without."


MOST_METADATA_BYTES = 65_536
MOST_METADATA_DEPTH = 20


def _depth(value: Any) -> int:
    """Levels of lists and objects, without recursion: what is measured may nest very deep."""
    depth, level = 0, [value]
    while level:
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        depth += 1
    return depth - 1


def _small(metadata: dict[str, Any]) -> dict[str, Any]:
    depth = _depth(metadata)
    if depth > MOST_METADATA_DEPTH:
        raise ValueError(f"metadata nests {depth} levels; at most {MOST_METADATA_DEPTH} are kept")
    size = len(json.dumps(metadata))
    if size > MOST_METADATA_BYTES:
        raise ValueError(f"metadata is {size} bytes as JSON; at most {MOST_METADATA_BYTES} are kept")
    return metadata


Metadata = Annotated[dict[str, Any], AfterValidator(_small)]


class ValidationSet(Spec):
    """Data the metrics are computed on: another data set, or a share split off the training data."""

    dataset: Label | None = Field(None, description="Id or name of a data set.")
    split: float | None = Field(None, gt=0, lt=1, description="Share of the training data that is held out.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.dataset is None) == (self.split is None):
            raise ValueError(f"give either a data set or a split, not {self.dataset!r} and {self.split!r}")
        return self


class EncodeOutput(Spec):
    format: Literal["json", "npy", "npz", "arrow", "parquet", "safetensors"] = Field(
        "npz", description="Format that `result` answers when none is asked for."
    )
    sparse: bool = Field(True, description="Keep the features as a sparse matrix.")
    topk: int | None = Field(None, ge=1, description="Keep only the k largest features of each image.")
    threshold: float | None = Field(None, ge=0, description="Drop features up to this.")
    dtype: Literal["float32", "float16"] = Field("float32", description="Number format of the features.")


class TrainJob(Spec):
    """Body of `POST /v1/jobs` for a training. What is given is laid over the recipe's defaults."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"type": "string"}}} for name in ("dataset", "resume_from")
            ]
        }
    )

    type: Literal["train"]
    recipe: Label | None = None
    dataset: Label | None = Field(None, description="Id or name of a data set; that of the job for `resume_from`.")
    validation: ValidationSet | None = None
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    stages: list[dict[str, Any]] = Field(
        default_factory=list,
        max_length=MOST_STAGES,
        description="Of a stack, from the image up: a layer each (`model`, `training`), the last one may be of labels "
        "alone (`classifier`, `learn`, `training`). `training` beside them is for all of them.",
    )
    on_top_of: Label | None = Field(None, description="A model, `name@version`, whose layers the stages stand on.")
    resume_from: Label | None = Field(
        None,
        description="A training that was paused, has failed or was cancelled, or succeeded with `keep_checkpoint`: go "
        "on from its last checkpoint, or from that of a step as `job_…@1200`, with its spec, data and name. How it "
        "learns may be given anew: `training` but for draws and phases, weights of terms, solvers, `resources`.",
    )
    keep_checkpoint: bool = Field(False, description="Keep the last checkpoint when it succeeds, for `resume_from`.")
    resources: dict[str, Any] = Field(default_factory=dict)
    publish_as: ModelName | None = None
    publish_on_cancel: bool = Field(False, description="Publish what there is when the job is cancelled.")
    max_seconds: float | None = Field(
        None,
        gt=0,
        description="Seconds that it may train, all attempts together and without pauses. Then it ends as one that is "
        "done, with `status_reason` `max_seconds`, and publishes what it has.",
    )
    max_attempts: int = Field(3, ge=1, le=100)
    name: Label | None = None
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_data(self) -> Self:
        if self.resume_from is None:
            if self.dataset is None:
                raise misplaced("dataset", "this field is required", code="missing")
            return self
        for name in ("recipe", "dataset", "validation", "preprocessing", "on_top_of"):
            if getattr(self, name):
                raise misplaced(name, f"that of {self.resume_from} is taken, from which it goes on; leave it out")
        return self


class EncodeJob(Spec):
    """Body of `POST /v1/jobs` for encoding a whole data set."""

    type: Literal["encode"]
    model: Label
    dataset: Label
    layer: int | None = Field(None, ge=0, description="Layer of a stack, from 0; the top one without.")
    passes: int | None = Field(
        None, ge=1, le=200, description="Passes of a recurrent encoder; the model's own without."
    )
    pool: Pool | None = Field(None, description=POOL_TEXT)
    stride: int | None = Field(None, ge=1, description=STRIDE_TEXT)
    output: EncodeOutput = EncodeOutput()
    max_attempts: int = Field(3, ge=1, le=100)
    name: Label | None = None
    metadata: Metadata = Field(default_factory=dict)


JobRequest = Annotated[TrainJob | EncodeJob, Field(discriminator="type")]
