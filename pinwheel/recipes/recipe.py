"""A recipe is data: a full training spec with a name, its paper and what it costs."""

from pydantic import BaseModel, ConfigDict

from pinwheel.specs import TrainSpec


class Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    summary: str
    paper: str
    cost: str
    needs_labels: bool
    spec: TrainSpec
