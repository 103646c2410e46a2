"""Models in a file, encoded by torch and by onnxruntime: freshly drawn, of the small specs of the other tests."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from training_cases import WHOLE_IMAGES, spec_of, stripes

from pinwheel.exports.encoder import onnx_bytes
from pinwheel.exports.weights import Weights
from pinwheel.specs import Model, StackSpec, Supervised, TrainSpec, as_image, layers
from worker.data.preprocess import Preprocessor
from worker.data.reader import Dataset
from worker.encoding.engine import Engine
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.stack import Between, Stack
from worker.training.build import fresh_model
from worker.training.bundle import in_layer
from worker.training.publish import layer_weights, write_weights

Floats = NDArray[np.float32]


def published(
    folder: Path, spec: TrainSpec | StackSpec, dataset: Dataset | None = None, seed: int = 0
) -> tuple[Path, Engine]:
    """A model with drawn weights as its file and as it encodes. Parameters are shaken: none is at its first value."""
    dataset = stripes(60) if dataset is None else dataset
    generator = torch.Generator().manual_seed(seed)
    preprocessor = Preprocessor.fitted(spec.preprocessing, dataset)
    image, models, between, weights = preprocessor.input_shape, [], [], dict(preprocessor.tensors())
    for number, layer in enumerate(layers(spec)):
        examples = torch.rand(40, math.prod(image), generator=generator) - 0.3
        model = shaken(fresh_model(layer.model, examples, 2, seed, image), generator)
        tensors = layer_weights(model, layer.model)
        if number > 0:
            mean = 0.1 * torch.rand(image[2], generator=generator)
            between.append(Between(mean, torch.tensor(1.7)))
            tensors |= {"input_mean": mean, "input_scale": torch.tensor(1.7)}
        weights |= {in_layer(name, number): tensor.contiguous() for name, tensor in tensors.items()}
        models.append(model)
        image = as_image(model.feature_shape)
    if isinstance(spec.stages[-1], Supervised):
        weights["classifier"] = torch.rand(2, models[-1].num_features, generator=generator)
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder, weights, spec, preprocessor, 2 if models[-1].classifier is not None else None)
    return folder / "weights.safetensors", Engine(Stack(models, between), spec, preprocessor)


@torch.no_grad()
def shaken(model: Autoencoder, generator: torch.Generator) -> Autoencoder:
    for parameter in model.encoder.parameters():
        size = parameter.abs().mean() * 0.2 + 0.003
        parameter += size * torch.randn(parameter.shape, generator=generator)
    model.project()
    return model


def session(content: bytes) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def exported(path: Path, **given: Any) -> onnxruntime.InferenceSession:
    return session(onnx_bytes(Weights.load(path), **given))


def ran(runtime: onnxruntime.InferenceSession, images: NDArray[Any]) -> Floats:
    return np.asarray(runtime.run(["features"], {"images": images})[0])


def of_model(model: Model, **preprocessing: Any) -> TrainSpec:
    """A training of this model on whole images."""
    spec = spec_of("sparse-coding", WHOLE_IMAGES, {"preprocessing": preprocessing})
    return spec.model_copy(update={"model": model})


def difference(found: Floats, expected: Floats) -> float:
    """The largest one, as a share of the largest feature where that is above 1."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max(initial=0) / max(1.0, np.abs(expected).max(initial=0)))
