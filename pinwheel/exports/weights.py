"""The tensors of a published model with its spec, read from one file and checked against each other.

Every number that encodes is there: a file that passes gives the features of the model. What does not is refused with
what is wrong.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from pinwheel.exports.shapes import wrong_shape
from pinwheel.files import FORMAT
from pinwheel.specs import ANY_SPEC, Shape, StackSpec, TrainSpec


@dataclass(frozen=True)
class Weights:
    """`tensors` by their names in the file, `image` (height, width, channels) of one input of the first layer."""

    spec: TrainSpec | StackSpec
    image: Shape
    tensors: dict[str, np.ndarray]

    @classmethod
    def load(cls, path: Path) -> "Weights":
        """Raises FileNotFoundError where there is no file, ValueError for one that is no whole model."""
        try:
            with safe_open(path, "np") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path.name} cannot be read: {error}") from error
        spec, image = told(metadata, path.name)
        check(spec, image, {name: tensor.shape for name, tensor in tensors.items()}, path.name)
        for name, tensor in tensors.items():
            check_numbers(name, str(tensor.dtype), bool(np.isfinite(tensor).all()), path.name)
        return cls(spec, image, tensors)

    def of_layer(self, number: int) -> dict[str, np.ndarray]:
        prefix = f"layers.{number}."
        return {name.removeprefix(prefix): each for name, each in self.tensors.items() if name.startswith(prefix)}


def told(metadata: Mapping[str, str], name: str) -> tuple[TrainSpec | StackSpec, Shape]:
    """Spec and image of a file's metadata. Raises ValueError where they are not those of a model."""
    if metadata.get("format") != FORMAT:
        found = metadata.get("format")
        raise ValueError(f"{name} has the format {found!r}; {FORMAT!r} is allowed: it is no model of Pinwheel")
    for key in ("spec", "input_shape"):
        if key not in metadata:
            raise ValueError(f"{name} has no {key!r} in its metadata; a model of Pinwheel has")
    try:
        spec = ANY_SPEC.validate_json(metadata["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join(str(each) for each in first["loc"])
        raise ValueError(f"{name} has a spec that is not valid: {place}: {first['msg']}") from error
    return spec, _image(metadata["input_shape"], name)


def check_numbers(tensor: str, dtype: str, finite: bool, name: str) -> None:
    """Raises ValueError for a tensor of other numbers than are published."""
    allowed = "int64" if tensor.endswith((".parent", ".positions")) else "float32"
    if dtype != allowed:
        raise ValueError(f"{name}: {tensor} is {dtype}; {allowed} is allowed")
    if not finite:
        raise ValueError(f"{name}: {tensor} has values that are not finite numbers")


def _image(text: str, name: str) -> Shape:
    try:
        sides = json.loads(text)
    except json.JSONDecodeError:
        sides = None
    whole = isinstance(sides, list) and len(sides) == 3 and all(type(side) is int and side > 0 for side in sides)
    if not whole:
        raise ValueError(f"{name} has the input_shape {text[:100]!r}; three whole numbers above 0 are allowed")
    height, width, channels = sides
    return height, width, channels


def check(spec: TrainSpec | StackSpec, image: Shape, shapes: Mapping[str, tuple[int, ...]], name: str) -> None:
    """Raises ValueError where tensors are missing, or not of the shapes that the spec gives them."""
    wrong = wrong_shape(spec, image, shapes)
    if wrong is not None:
        raise ValueError(f"{name}: {wrong}")
