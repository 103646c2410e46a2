"""What the trainer is told to do: the file that the supervisor writes for its child."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pinwheel.specs import AnySpec


class Plan(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: AnySpec
    dataset: Path = Field(description="Folder of the training data.")
    validation: Path | None = Field(None, description="Folder of the validation data.")
    split: float | None = Field(None, gt=0, lt=1, description="Share of the training data that is held out.")
    base: Path | None = Field(None, description="Bundle of the model whose layers are the first stages.")
    out: Path = Field(description="Job folder: checkpoints, previews, stages and bundle are written below it.")
    checkpoint: Path | None = Field(None, description="Checkpoint to go on from.")
    keep_checkpoint: bool = Field(False, description="Write a checkpoint at the end as well.")
    token: int = Field(1, ge=0, description="Fencing number of the attempt; part of the names of what it writes.")
    threads: int = Field(0, ge=0, description="CPU threads; 0 takes every core that the process may use.")
    checkpoint_seconds: float = Field(
        30.0, ge=0, allow_inf_nan=False, description="Least time between two checkpoints; 0 is one with every metrics."
    )
