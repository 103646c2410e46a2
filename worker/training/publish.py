"""What a training leaves behind: previews of the filters on the way, a model bundle at the end.

previews/{step:09d}.safetensors   decoder, encoder float16 (filters, H, W, C); usage float32 (filters,)
stages/{token}-{stage}/           the bundle after a stage that is not the last
bundles/{token}/                  weights.safetensors, units.safetensors (units.{i}.safetensors of layer i), model.json,
                            and patches.safetensors in the same way, where what drives units most was found

Both carry, where there is one, the structure of the units: `parent`, `inhibition`, and the map in the metadata. Units
that were cut are in neither bundle file: a published model is as small as it became.
"""

import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinwheel import __version__
from pinwheel.files import FORMAT, RECORD, WEIGHTS, patches_file, units_file
from pinwheel.specs import Model, Shape, StackSpec, TrainSpec, unit_map
from worker.data.files import put_folder, read_tensors, write_json, write_tensors
from worker.data.preprocess import Preprocessor
from worker.data.reader import Dataset
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.connections import Local
from worker.sparse.encoders import Exact, Feedforward, PredictRefine, Recurrent, RecurrentFields
from worker.sparse.encoders.predict_refine import Predictor
from worker.sparse.labelled import Labelled
from worker.sparse.sparsity import Inhibition, Noise
from worker.sparse.stack import Between, Stack
from worker.training.build import parents
from worker.training.bundle import Bundle, in_layer
from worker.training.evaluate import Evaluation
from worker.training.strongest import Patches

# Units of a learned inhibition up to which previews carry it.
MOST_DRAWN = 512


@dataclass(frozen=True)
class Under:
    """What a layer stands on: `stack`, what it sees of that `between`, and `examples` (n, inputs of the stack)."""

    stack: Stack
    between: Between
    examples: Tensor


@dataclass(frozen=True)
class Pictured:
    """A layer as it is shown: its spec, its number from the image up, the shape of its inputs, what it stands on."""

    spec: Model
    number: int
    shape: Shape
    preprocessor: Preprocessor
    under: Under | None = None


@dataclass(frozen=True)
class Findings:
    """What is told of a layer besides its weights."""

    evaluation: Evaluation
    step: int
    units: dict[str, Tensor] = field(default_factory=dict)  # into units.safetensors
    notes: dict[str, Any] = field(default_factory=dict)  # into model.json
    patches: Patches | None = None  # into patches.safetensors


def learned_encoder(model: Autoencoder) -> Predictor | None:
    """The encoder with a matrix of its own, where there is one."""
    encoder = model.encoder.predictor if isinstance(model.encoder, PredictRefine) else model.encoder
    return None if isinstance(encoder, Exact) else encoder  # type: ignore[return-value]


def filters(model: Autoencoder, pictured: Pictured) -> dict[str, Tensor]:
    """`decoder` and `encoder` (filters, H, W, C): what units write and what they look for as pictures, in pixels."""
    decoder = picture(model, model.connection.first_encoder(), "decoder", pictured)
    return {"decoder": decoder, **encoder_filters(model, pictured)}


def encoder_filters(model: Autoencoder, pictured: Pictured) -> dict[str, Tensor]:
    """`encoder` alone, where there is one with a matrix."""
    encoder = learned_encoder(model)
    return {} if encoder is None else {"encoder": picture(model, encoder.encoder.detach(), "encoder", pictured)}


def picture(model: Autoencoder, rows: Tensor, kind: str, pictured: Pictured) -> Tensor:
    """(filters, H, W, C) of rows of an encoder, in pixels"""
    connection, under = model.connection, pictured.under
    if under is None:
        found = connection.pictures(rows)
    else:
        found = under.stack.pictures(rows, connection, under.between, under.examples)
    return pictured.preprocessor.pictures(found, kind)


def structure(model: Autoencoder, spec: Model) -> dict[str, Tensor]:
    """`parent` (units,) and `inhibition` (units, units), where the units have them."""
    found = {}
    parent = parents(spec)
    if parent is not None:
        found["parent"] = parent
    if isinstance(model.sparsity, Inhibition):
        found["inhibition"] = model.sparsity.matrix
    return found


def write_preview(out: Path, step: int, model: Autoencoder, pictured: Pictured, usage: Tensor) -> Path:
    path = out / "previews" / f"{step:09d}.safetensors"
    pictures = {name: picture.half() for name, picture in filters(model, pictured).items()}
    shown = structure(model, pictured.spec)
    if isinstance(model.sparsity, Inhibition) and (model.sparsity.rate == 0 or model.units > MOST_DRAWN):
        del shown["inhibition"]  # the same at every step, or too large to be looked at again and again
    metadata = {"step": str(step), "layer": str(pictured.number), **map_entry(pictured)}
    write_tensors(path, {**pictures, "usage": usage, **shown}, metadata)
    return path


def map_entry(pictured: Pictured) -> dict[str, str]:
    found = unit_map(pictured.spec, pictured.shape)
    return {} if found is None else {"map": json.dumps(found)}


def layer_weights(model: Autoencoder, spec: Model) -> dict[str, Tensor]:
    """The tensors of a layer by their names in it (names and shapes: `build`), all units included."""
    weights: dict[str, Tensor] = {"dictionary": model.connection.dictionary, **encoder_weights(model)}
    if isinstance(model.connection, Local):
        weights["positions"] = model.connection.positions
    if isinstance(model.sparsity, Noise):
        weights |= {"spread": model.sparsity.spread, "spread_bias": model.sparsity.bias}
    weights |= structure(model, spec)
    if model.classifier is not None:
        weights["classifier"] = model.classifier.weights
    return {name: weight.detach() for name, weight in weights.items()}


def encoder_weights(model: Autoencoder) -> dict[str, Tensor]:
    encoder = learned_encoder(model)
    if encoder is None:
        return {}
    weights: dict[str, Tensor] = {"encoder": encoder.encoder, "bias": encoder.bias}
    if isinstance(encoder, Feedforward) and encoder.gain is not None:
        weights["gain"] = encoder.gain
    if isinstance(encoder, Recurrent):
        weights["explaining_away"] = encoder.matrix()
    if isinstance(encoder, RecurrentFields):
        weights["explaining_away"] = encoder.explaining_away
    return {name: weight.detach() for name, weight in weights.items()}


# dimensions that count the units, of every tensor that is written
UNIT_DIMENSIONS = {
    "dictionary": (1,),
    "explaining_away": (0, 1),
    "inhibition": (0, 1),
    "coactivation": (0, 1),
    "overlap": (0, 1),
    "classifier": (1,),
    "example_codes": (2,),
    **dict.fromkeys(("example_inputs", "example_labels", "example_passes", "class_means"), ()),
    **dict.fromkeys(("optimal_units", "optimal_decoders"), ()),
}
# tensors of units by their numbers
NUMBERED = ("parent", "optimal_units")


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
    return left | {name: numbers[left[name]] for name in NUMBERED if name in left}


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that gets its name once all is there."""
    beside = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    yield beside
    put_folder(beside, folder)


def write_layer(
    folder: Path,
    model: Autoencoder,
    spec: TrainSpec | StackSpec,
    pictured: Pictured,
    dataset: Dataset,
    below: Bundle | None,
    findings: Findings,
) -> None:
    """Write the bundle of a layer and of all `below` it, whole or not at all."""
    number, preprocessor, under = pictured.number, pictured.preprocessor, pictured.under
    layer = without_cut(layer_weights(model, pictured.spec), model.kept)
    if under is not None:
        layer |= {"input_mean": under.between.mean, "input_scale": under.between.scale}
    weights = {in_layer(name, number): tensor for name, tensor in layer.items()}
    usage, norm = findings.evaluation.usage, model.connection.norms()
    told = {**filters(model, pictured), **structure(model, pictured.spec), "usage": usage, "norm": norm}
    units = without_cut(told | findings.units, model.kept)
    entry = {
        "units": len(units["norm"]),
        "feature_shape": list(model.feature_shape if model.kept is None else (len(units["norm"]),)),
        "map": unit_map(pictured.spec, pictured.shape),
        "metrics": findings.evaluation.values,
        "step": findings.step,
        "patches": None if findings.patches is None else findings.patches.note,
        **findings.notes,
    }
    with whole_folder(folder) as beside:
        if below is not None:
            weights = without_classifier(below.weights) | weights
            copy_units(below, beside)
            copy_patches(below, beside)
        classes = None if model.classifier is None else len(model.classifier.weights)
        write_weights(beside, weights | preprocessor.tensors(), spec, preprocessor, classes)
        metadata = {
            "format": FORMAT,
            "step": str(findings.step),
            "layer": str(number),
            **map_entry(pictured),
        }
        write_tensors(beside / units_file(number), units, metadata)
        write_patches(beside, number, findings.patches, model.kept)
        entries = [*([] if below is None else below.told_of_layers), entry]
        write_json(beside / RECORD, record(spec, preprocessor, dataset, classes, entries, findings))


def write_labelled(
    folder: Path,
    model: Labelled,
    spec: TrainSpec | StackSpec,
    dataset: Dataset,
    below: Bundle,
    changed: list[dict[str, Tensor]],
    findings: Findings,
    patches: list[Patches | None] | None = None,
) -> None:
    """Write the bundle of the layers of `below` with a classifier on them, whole or not at all. `changed` is what is
    told of the units of each layer besides what `below` tells; `patches`, of each layer, replace those of `below`."""
    weights = without_classifier(below.weights) | {"classifier": model.classifier.weights.detach()}
    for number, layer in enumerate(model.models):
        weights |= {in_layer(name, number): tensor for name, tensor in encoder_weights(layer).items()}
    entries = below.told_of_layers
    with whole_folder(folder) as beside:
        copy_units(below, beside)
        if patches is None:
            copy_patches(below, beside)
        for number, found in enumerate(patches or []):
            write_patches(beside, number, found, below.stack.layer(number).kept)
            entries[number]["patches"] = None if found is None else found.note
        for number, tensors in enumerate(changed):
            update_tensors(beside / units_file(number), tensors)
        write_weights(beside, weights, spec, below.preprocessor, len(model.classifier.weights))
        told = record(spec, below.preprocessor, dataset, len(model.classifier.weights), entries, findings)
        write_json(beside / RECORD, told)


def without_classifier(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if name != "classifier"}


def copy_units(below: Bundle, folder: Path) -> None:
    for number in range(len(below.stack)):
        shutil.copy(below.folder / units_file(number), folder / units_file(number))


def copy_patches(below: Bundle, folder: Path) -> None:
    """What was found for the layers of `below`; older models, and some others, have nothing."""
    for number in range(len(below.stack)):
        path = below.folder / patches_file(number)
        if path.exists():
            shutil.copy(path, folder / path.name)


def write_patches(folder: Path, number: int, patches: Patches | None, kept: Tensor | None) -> None:
    """Of a layer, whose units that are not `kept` (units,) are cut."""
    if patches is None:
        return
    metadata = {"format": FORMAT, "layer": str(number), **patches.metadata}
    write_tensors(folder / patches_file(number), without_cut(patches.tensors, kept), metadata)


def update_tensors(path: Path, changed: dict[str, Tensor]) -> None:
    """Replace some tensors of a file."""
    metadata, tensors = read_tensors(path)
    write_tensors(path, tensors | changed, metadata)


def write_weights(
    folder: Path,
    weights: dict[str, Tensor],
    spec: TrainSpec | StackSpec,
    preprocessor: Preprocessor,
    classes: int | None,
) -> None:
    metadata = {
        "format": FORMAT,
        "spec": spec.model_dump_json(),
        "input_shape": json.dumps(preprocessor.input_shape),
    }
    if classes is not None:
        metadata["classes"] = str(classes)
    write_tensors(folder / WEIGHTS, weights, metadata)


def record(
    spec: TrainSpec | StackSpec,
    preprocessor: Preprocessor,
    dataset: Dataset,
    classes: int | None,
    entries: list[dict[str, Any]],
    findings: Findings,
) -> dict[str, Any]:
    """What is told of a model: of its top layer by itself, of every layer in `layers`."""
    return {
        "format": FORMAT,
        "spec": spec.model_dump(mode="json"),
        "input_shape": list(preprocessor.input_shape),
        **entries[-1],
        "classes": classes,
        "class_names": dataset.class_names if classes is not None else None,
        "metrics": findings.evaluation.values,
        "step": findings.step,
        "layers": entries,
        "libraries": {
            "pinwheel": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
