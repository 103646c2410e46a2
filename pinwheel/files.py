"""Names of the files of a model, which workers write and the API reads; and what its record tells of its layers."""

from collections.abc import Mapping
from typing import Any

FORMAT = "pinwheel/1"  # what the metadata of the files say
WEIGHTS = "weights.safetensors"
RECORD = "model.json"


def units_file(layer: int) -> str:
    """What is told of the units of a layer: pictures, usage, structure. The first layer is 0."""
    return "units.safetensors" if layer == 0 else f"units.{layer}.safetensors"


def patches_file(layer: int) -> str:
    """The inputs that drive the units of a layer most."""
    return "patches.safetensors" if layer == 0 else f"patches.{layer}.safetensors"


def layers_of(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What is told of each layer of a published model. Older records tell of their only one."""
    return list(record.get("layers") or [record])
