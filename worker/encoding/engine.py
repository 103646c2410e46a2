"""A loaded model that encodes, reconstructs and classifies images: numpy in, numpy out.

Preprocessing is part of the model. Every result of an image is independent of the batch it came in (to rounding).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pinwheel.specs import TrainSpec
from worker.data.preprocess import Scaled, as_inputs, scaled
from worker.sparse.autoencoder import Autoencoder
from worker.training.build import loaded_model
from worker.training.publish import FORMAT

Floats = NDArray[np.float32]

MOST_PASSES = 200
FLAT = 1e-6  # share of an image's energy below which its deviation is rounding
# Bounds the memory of one call, whatever the number of images.
CHUNK_BYTES = 32 * 2**20
LARGEST_CHUNK = 2048


class Engine:
    """`spec`, `input_shape` (H, W, C), `units`, `classes` (None without a classifier)."""

    def __init__(
        self, model: Autoencoder, spec: TrainSpec, input_shape: tuple[int, int, int], device: torch.device | str = "cpu"
    ) -> None:
        self.spec = spec
        self.input_shape = input_shape
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.inputs, self.units = model.connection.dictionary.shape
        self.classes = None if model.classifier is None else len(model.classifier.weights)
        row_bytes = 4 * (4 * self.inputs + 4 * self.units)
        self.chunk = max(1, min(LARGEST_CHUNK, CHUNK_BYTES // row_bytes))

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> "Engine":
        """The model of a bundle. Raises FileNotFoundError where there is none, ValueError where it cannot be read."""
        path = folder / "weights.safetensors"
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 — not a mapping
        except SafetensorError as error:
            raise ValueError(f"{path.name} cannot be read: {error}") from error
        if metadata.get("format") != FORMAT:
            raise ValueError(f"{path.name} has the format {metadata.get('format')!r}; {FORMAT!r} is allowed")
        spec = TrainSpec.model_validate_json(metadata["spec"])
        height, width, channels = json.loads(metadata["input_shape"])
        return cls(loaded_model(spec.model, weights), spec, (height, width, channels), device)

    @torch.inference_mode()
    def encode(self, images: NDArray[Any], passes: int | None = None) -> Floats:
        """Images (N, H, W, C), uint8 or float32 → features (N, units). `passes` 1..200 replaces the trained number."""
        features = np.empty((len(images), self.units), np.float32)
        for rows, given in self._chunks(images, passes):
            features[rows] = self.model.encoder.encode(given.x, passes).cpu().numpy()
        return features

    @torch.inference_mode()
    def reconstruct(self, images: NDArray[Any], passes: int | None = None) -> tuple[Floats, Floats]:
        """Reconstructions (N, H, W, C) in the images' own scale (0..1 for uint8) and the unexplained variance (N,).

        That is ‖x − x̂‖² / ‖x − mean(x)‖² of each image; of an even one 0 if it comes back as it is, else 1.
        """
        rebuilt = np.empty((len(images), self.inputs), np.float32)
        unexplained = np.empty(len(images), np.float32)
        for rows, given in self._chunks(images, passes):
            reconstruction = self.model.connection.decode(self.model.encoder.encode(given.x, passes))
            images_back, found = given.undo(given.x), given.undo(reconstruction)
            error = (images_back - found).square().sum(1)
            deviation = (images_back - images_back.mean(1, keepdim=True)).square().sum(1)
            uneven = deviation > FLAT * images_back.square().sum(1)
            unexplained[rows] = torch.where(uneven, error / deviation, (error > 0).float()).cpu().numpy()
            rebuilt[rows] = found.cpu().numpy()
        return rebuilt.reshape(len(images), *self.input_shape), unexplained

    @torch.inference_mode()
    def classify(self, images: NDArray[Any], passes: int | None = None) -> Floats:
        """Images (N, H, W, C) → probabilities (N, classes). Raises ValueError for a model without a classifier."""
        classifier = self.model.classifier
        if classifier is None:
            raise ValueError("this model has no classifier; it can encode and reconstruct")
        probabilities = np.empty((len(images), len(classifier.weights)), np.float32)
        for rows, given in self._chunks(images, passes):
            code = self.model.encoder.encode(given.x, passes)
            probabilities[rows] = classifier.logits(code).softmax(1).cpu().numpy()
        return probabilities

    def _chunks(self, images: NDArray[Any], passes: int | None) -> Iterator[tuple[slice, Scaled]]:
        """Scaled inputs on the device, a bounded number at a time. Raises ValueError for what the model cannot take."""
        if passes is not None and not 1 <= passes <= MOST_PASSES:
            raise ValueError(f"passes is {passes}; 1 to {MOST_PASSES} is allowed")
        if images.dtype not in (np.uint8, np.float32):
            raise ValueError(f"the images are {images.dtype}; uint8 and float32 are allowed")
        if images.shape[1:] != self.input_shape:
            raise ValueError(f"the images have the shape {images.shape[1:]}; the model takes {self.input_shape}")
        for start in range(0, len(images), self.chunk):
            rows = slice(start, start + self.chunk)
            inputs = as_inputs(images[rows])
            if not torch.isfinite(inputs).all():
                raise ValueError("the images have pixels that are not finite numbers; NaN and infinity are not allowed")
            yield rows, scaled(inputs.to(self.device), self.spec.preprocessing.scale)
