"""What a training leaves behind: previews of the filters on the way, a model bundle at the end.

previews/{step:09d}.safetensors   decoder, encoder float16 (units, H, W, C); usage float32 (units,)
bundles/{token}/                  weights.safetensors, units.safetensors, model.json
"""

import json
import platform
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinwheel import __version__
from pinwheel.specs import TrainSpec
from worker.data.files import put_folder, write_json, write_tensors
from worker.data.reader import Dataset
from worker.sparse.autoencoder import Autoencoder
from worker.training.evaluate import Evaluation

FORMAT = "pinwheel/1"


def filters(model: Autoencoder, shape: tuple[int, int, int]) -> dict[str, Tensor]:
    """`decoder` and `encoder` (units, H, W, C): dictionary columns and encoder rows as pictures."""
    decoder = model.connection.dictionary.detach().t().reshape(-1, *shape)
    return {"decoder": decoder, "encoder": model.encoder.encoder.detach().reshape(-1, *shape)}


def write_preview(out: Path, step: int, model: Autoencoder, shape: tuple[int, int, int], usage: Tensor) -> Path:
    path = out / "previews" / f"{step:09d}.safetensors"
    pictures = {name: picture.half() for name, picture in filters(model, shape).items()}
    write_tensors(path, {**pictures, "usage": usage}, {"step": str(step)})
    return path


def published_weights(model: Autoencoder) -> dict[str, Tensor]:
    """The tensors of weights.safetensors; `layers.0.explaining_away` is the full matrix, identity included."""
    weights = {
        "layers.0.dictionary": model.connection.dictionary,
        "layers.0.encoder": model.encoder.encoder,
        "layers.0.explaining_away": model.encoder.matrix(),
        "layers.0.bias": model.encoder.bias,
    }
    if model.classifier is not None:
        weights["classifier"] = model.classifier.weights
    return {name: weight.detach() for name, weight in weights.items()}


def write_bundle(
    folder: Path, model: Autoencoder, spec: TrainSpec, dataset: Dataset, evaluation: Evaluation, step: int
) -> None:
    """Write the bundle that explains itself, whole or not at all."""
    beside = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    classes = None if model.classifier is None else len(model.classifier.weights)
    metadata = {"format": FORMAT, "spec": spec.model_dump_json(), "input_shape": json.dumps(dataset.shape)}
    if classes is not None:
        metadata["classes"] = str(classes)
    write_tensors(beside / "weights.safetensors", published_weights(model), metadata)
    norm = torch.linalg.vector_norm(model.connection.dictionary.detach(), dim=0)
    units = {**filters(model, dataset.shape), "usage": evaluation.usage, "norm": norm}
    write_tensors(beside / "units.safetensors", units, {"format": FORMAT, "step": str(step)})
    write_json(beside / "model.json", description(spec, dataset, classes, len(norm), evaluation, step))
    put_folder(beside, folder)


def description(
    spec: TrainSpec, dataset: Dataset, classes: int | None, units: int, evaluation: Evaluation, step: int
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "spec": spec.model_dump(mode="json"),
        "input_shape": list(dataset.shape),
        "units": units,
        "classes": classes,
        "class_names": dataset.class_names if classes is not None else None,
        "metrics": evaluation.values,
        "step": step,
        "libraries": {
            "pinwheel": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
