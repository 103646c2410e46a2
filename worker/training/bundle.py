"""A model as files, read: what encodes, and what further stages of a stack learn on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from pinwheel.exports.weights import check, check_numbers, told
from pinwheel.files import RECORD, WEIGHTS, layers_of
from pinwheel.specs import Shape, StackSpec, Supervised, TrainSpec, as_image, layers
from worker.data.files import read_tensors
from worker.data.preprocess import Preprocessor
from worker.sparse.stack import Between, Stack
from worker.training.build import Tensors, model_from


@dataclass(frozen=True)
class Bundle:
    """`weights` are the tensors of the file, by their names there; `stack` is made of them, on the CPU."""

    folder: Path
    spec: TrainSpec | StackSpec
    weights: Tensors
    stack: Stack
    preprocessor: Preprocessor

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Raises FileNotFoundError where there is none, ValueError where it cannot be read."""
        return read_model(folder / WEIGHTS)

    @cached_property
    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.folder / RECORD).read_text())
        return record

    @property
    def told_of_layers(self) -> list[dict[str, Any]]:
        """What the record tells of each layer."""
        return [told_of_layer(each) for each in layers_of(self.record)]


def read_model(path: Path) -> Bundle:
    """What a file of weights says alone. Raises FileNotFoundError, or ValueError with what is wrong with it."""
    try:
        metadata, weights = read_tensors(path)
    except SafetensorError as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    spec, image = told(metadata, path.name)
    check(spec, image, {name: tuple(tensor.shape) for name, tensor in weights.items()}, path.name)
    for name, tensor in weights.items():
        finite = bool(torch.isfinite(tensor).all())
        check_numbers(name, str(tensor.dtype).removeprefix("torch."), finite, path.name)
    preprocessor = Preprocessor.load(spec.preprocessing, image, weights)
    return Bundle(path.parent, spec, weights, stack_from(spec, weights, image), preprocessor)


TOLD = ("units", "feature_shape", "map", "metrics", "step", "pruning", "invariance", "patches")


def told_of_layer(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record tells of its top layer, or an entry of `layers` of its own."""
    found = {name: record.get(name) for name in TOLD}
    return found | {"feature_shape": found["feature_shape"] or [record["units"]]}


def in_layer(name: str, layer: int) -> str:
    """The name of a tensor of a layer in the file of a model."""
    return name if name == "classifier" else f"layers.{layer}.{name}"


def tensors_of_layer(weights: Tensors, layer: int) -> Tensors:
    """The tensors of a layer by their names in it, and the classifier."""
    prefix = in_layer("", layer)
    found = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    return found | {name: tensor for name, tensor in weights.items() if name == "classifier"}


def stack_from(spec: TrainSpec | StackSpec, weights: Tensors, image: Shape) -> Stack:
    """The layers that these tensors make, for inputs of this shape. Raises KeyError where one is missing."""
    models, between, last = [], [], spec.stages[-1]
    for number, layer in enumerate(layers(spec)):
        tensors = tensors_of_layer(weights, number)
        model = layer.model
        if isinstance(last, Supervised) and number == len(spec.stages) - 2:
            model = model.model_copy(update={"classifier": last.classifier})
        models.append(model_from(model, tensors, image))
        if number > 0:
            between.append(Between(tensors["input_mean"], tensors["input_scale"]))
        image = as_image(models[-1].feature_shape)
    return Stack(models, between)
