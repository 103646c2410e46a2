"""What a training leaves behind: previews of the filters on the way, a model bundle at the end.

previews/{step:09d}.safetensors   decoder, encoder float16 (filters, H, W, C); usage float32 (filters,)
bundles/{token}/                  weights.safetensors, units.safetensors, model.json

Both carry, where there is one, the structure of the units: `parent`, `inhibition`, and the map in the metadata. Units
that were cut are in neither bundle file: a published model is as small as it became.
"""

import json
import platform
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinwheel import __version__
from pinwheel.specs import Shape, TrainSpec, unit_map
from worker.data.files import put_folder, write_json, write_tensors
from worker.data.preprocess import Preprocessor
from worker.data.reader import Dataset
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.connections import Local
from worker.sparse.encoders import Exact, Feedforward, PredictRefine, Recurrent, RecurrentFields
from worker.sparse.encoders.predict_refine import Predictor
from worker.sparse.sparsity import Inhibition, Noise
from worker.training.build import parents
from worker.training.evaluate import Evaluation

FORMAT = "pinwheel/1"
# Units of a learned inhibition up to which previews carry it.
MOST_DRAWN = 512


@dataclass(frozen=True)
class Findings:
    """What is told of a model besides its weights."""

    evaluation: Evaluation
    step: int
    coactivation: Tensor | None = None  # (units, units) share of the inputs with both active
    notes: dict[str, Any] = field(default_factory=dict)  # into model.json


def learned_encoder(model: Autoencoder) -> Predictor | None:
    """The encoder with a matrix of its own, where there is one."""
    encoder = model.encoder.predictor if isinstance(model.encoder, PredictRefine) else model.encoder
    return None if isinstance(encoder, Exact) else encoder  # type: ignore[return-value]


def filters(model: Autoencoder, preprocessor: Preprocessor) -> dict[str, Tensor]:
    """`decoder` and `encoder` (filters, H, W, C): what units write and what they look for as pictures, in pixels."""
    connection, encoder = model.connection, learned_encoder(model)
    shown = {"decoder": connection.first_encoder()}
    if encoder is not None:
        shown["encoder"] = encoder.encoder.detach()
    return {name: preprocessor.pictures(connection.pictures(rows), name) for name, rows in shown.items()}


def structure(model: Autoencoder, spec: TrainSpec) -> dict[str, Tensor]:
    """`parent` (units,) and `inhibition` (units, units), where the units have them."""
    found = {}
    parent = parents(spec.model)
    if parent is not None:
        found["parent"] = parent
    if isinstance(model.sparsity, Inhibition):
        found["inhibition"] = model.sparsity.matrix
    return found


def write_preview(
    out: Path, step: int, model: Autoencoder, spec: TrainSpec, preprocessor: Preprocessor, usage: Tensor
) -> Path:
    path = out / "previews" / f"{step:09d}.safetensors"
    pictures = {name: picture.half() for name, picture in filters(model, preprocessor).items()}
    shown = structure(model, spec)
    if isinstance(model.sparsity, Inhibition) and (model.sparsity.rate == 0 or model.units > MOST_DRAWN):
        del shown["inhibition"]  # the same at every step, or too large to be looked at again and again
    tensors = {**pictures, "usage": usage, **shown}
    write_tensors(path, tensors, {"step": str(step), **map_entry(spec, preprocessor.input_shape)})
    return path


def map_entry(spec: TrainSpec, image: Shape) -> dict[str, str]:
    found = unit_map(spec.model, image)
    return {} if found is None else {"map": json.dumps(found)}


def published_weights(model: Autoencoder, spec: TrainSpec) -> dict[str, Tensor]:
    """The tensors of weights.safetensors (names and shapes: `build`), all units included."""
    weights: dict[str, Tensor] = {"layers.0.dictionary": model.connection.dictionary}
    encoder = learned_encoder(model)
    if encoder is not None:
        weights |= {"layers.0.encoder": encoder.encoder, "layers.0.bias": encoder.bias}
    if isinstance(encoder, Feedforward) and encoder.gain is not None:
        weights["layers.0.gain"] = encoder.gain
    if isinstance(encoder, Recurrent):
        weights["layers.0.explaining_away"] = encoder.matrix()
    if isinstance(encoder, RecurrentFields):
        weights["layers.0.explaining_away"] = encoder.explaining_away
    if isinstance(model.connection, Local):
        weights["layers.0.positions"] = model.connection.positions
    if isinstance(model.sparsity, Noise):
        weights |= {"layers.0.spread": model.sparsity.spread, "layers.0.spread_bias": model.sparsity.bias}
    weights |= {f"layers.0.{name}": tensor for name, tensor in structure(model, spec).items()}
    if model.classifier is not None:
        weights["classifier"] = model.classifier.weights
    return {name: weight.detach() for name, weight in weights.items()}


# dimensions that count the units, of every tensor that is written
UNIT_DIMENSIONS = {
    "layers.0.dictionary": (1,),
    "layers.0.explaining_away": (0, 1),
    "layers.0.inhibition": (0, 1),
    "inhibition": (0, 1),
    "coactivation": (0, 1),
    "classifier": (1,),
}


def without_cut(tensors: dict[str, Tensor], kept: Tensor | None) -> dict[str, Tensor]:
    """The same tensors of the units that are `kept` (units,) alone, numbered anew."""
    if kept is None or bool(kept.all()):
        return tensors
    indices = kept.nonzero().reshape(-1)
    left = {}
    for name, tensor in tensors.items():
        for dimension in UNIT_DIMENSIONS.get(name, (0,)):
            tensor = tensor.index_select(dimension, indices.to(tensor.device))
        left[name] = tensor
    numbers = torch.full((len(kept) + 1,), -1)  # the last entry stands for −1, the parent of roots
    numbers[indices.cpu()] = torch.arange(len(indices))
    for name in {"parent", "layers.0.parent"} & left.keys():
        left[name] = numbers[left[name]]
    return left


def write_bundle(
    folder: Path, model: Autoencoder, spec: TrainSpec, dataset: Dataset, preprocessor: Preprocessor, findings: Findings
) -> None:
    """Write the bundle that explains itself, whole or not at all."""
    beside = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    classes = None if model.classifier is None else len(model.classifier.weights)
    shape = preprocessor.input_shape
    metadata = {"format": FORMAT, "spec": spec.model_dump_json(), "input_shape": json.dumps(shape)}
    if classes is not None:
        metadata["classes"] = str(classes)
    weights = without_cut(published_weights(model, spec), model.kept)
    write_tensors(beside / "weights.safetensors", {**weights, **preprocessor.tensors()}, metadata)
    norm = model.connection.norms()
    told = {**filters(model, preprocessor), **structure(model, spec), "usage": findings.evaluation.usage, "norm": norm}
    if findings.coactivation is not None:
        told["coactivation"] = findings.coactivation
    units = without_cut(told, model.kept)
    step = str(findings.step)
    write_tensors(beside / "units.safetensors", units, {"format": FORMAT, "step": step, **map_entry(spec, shape)})
    features = model.feature_shape if model.kept is None else (len(units["norm"]),)
    told_of = description(spec, shape, dataset, classes, len(units["norm"]), features, findings)
    write_json(beside / "model.json", told_of)
    put_folder(beside, folder)


def description(
    spec: TrainSpec,
    shape: Shape,
    dataset: Dataset,
    classes: int | None,
    units: int,
    features: tuple[int, ...],
    findings: Findings,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "spec": spec.model_dump(mode="json"),
        "input_shape": list(shape),
        "units": units,
        "feature_shape": list(features),
        "classes": classes,
        "class_names": dataset.class_names if classes is not None else None,
        "map": unit_map(spec.model, shape),
        "metrics": findings.evaluation.values,
        "step": findings.step,
        **findings.notes,
        "libraries": {
            "pinwheel": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
