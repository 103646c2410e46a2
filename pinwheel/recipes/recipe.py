"""A recipe is data: a full training spec with a name, its paper and what it costs."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from pinwheel.specs import AnySpec, Preprocessing

# What recipes for photographs have in common: whitened patches.
PHOTO_PATCHES = Preprocessing(patch_size=12, scale="standard", whiten="zca", zca_epsilon=0.3)
# ... or plain ones, in which a coarse feature outweighs a fine one: for systems that order their units by size.
PLAIN_PATCHES = Preprocessing(patch_size=12, scale="standard")


class Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    summary: str
    paper: str
    cost: str
    needs_labels: bool
    dataset: Literal["digits", "photos", "photos-small"]  # the built-in data that its defaults are made for
    spec: AnySpec
