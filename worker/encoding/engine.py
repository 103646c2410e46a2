"""A loaded model that encodes, reconstructs and classifies images: numpy in, numpy out.

Preprocessing is part of the model. Images larger than the patches that a model was trained on are cut into patches
side by side: features and probabilities are the means over the patches, reconstructions are put together again.
Every result of an image is independent of the batch it came in (to rounding).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pinwheel.specs import Recurrent, StackSpec, TrainSpec, layers
from worker.data.lcn import Normalised
from worker.data.patches import Grid
from worker.data.preprocess import Given, Preprocessor
from worker.data.reader import VariedImages
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.stack import Stack
from worker.training.bundle import Bundle

Floats: TypeAlias = NDArray[np.float32]

MOST_PASSES = 200
FLAT = 1e-6  # share of an image's energy below which its deviation is rounding
# Bounds the memory of one call, whatever the number of images.
CHUNK_BYTES = 32 * 2**20
LARGEST_CHUNK = 2048


class Engine:
    """`spec`, `input_shape` (H, W, C), `units` of a code of the top layer, `classes` (None without labels)."""

    def __init__(
        self,
        model: Stack | Autoencoder,
        spec: TrainSpec | StackSpec,
        preprocessor: Preprocessor,
        device: torch.device | str = "cpu",
    ) -> None:
        self.spec = spec
        self.device = torch.device(device)
        self.preprocessor = preprocessor.to(self.device)
        self.input_shape = preprocessor.input_shape
        self.model = (model if isinstance(model, Stack) else Stack([model])).to(self.device).eval()
        self.specs = layers(spec)
        top = self.model.layer()
        self.inputs, self.units = self.model.layer(0).connection.inputs, top.units
        self.classes = None if top.classifier is None else len(top.classifier.weights)
        row_bytes = 4 * (4 * self.inputs + 4 * self.model.longest)
        self.chunk = max(1, min(LARGEST_CHUNK, CHUNK_BYTES // row_bytes))
        held = [*self.model.parameters(), *self.model.buffers(), *preprocessor.tensors().values()]
        self.size_bytes = sum(tensor.nbytes for tensor in held)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> "Engine":
        """The model of a bundle. Raises FileNotFoundError where there is none, ValueError where it cannot be read."""
        bundle = Bundle.load(folder)
        return cls(bundle.stack, bundle.spec, bundle.preprocessor, device)

    @torch.inference_mode()
    def encode(
        self, images: NDArray[Any] | VariedImages, passes: int | None = None, layer: int | None = None
    ) -> Floats:
        """Images (N, H, W, C), uint8 or float32 → (N, features) of `layer`, from 0; the top one where None.

        `passes` 1..200 replaces the trained number of a recurrent encoder there.
        """
        return self._averaged(
            images, passes, layer, self.num_features(layer), lambda x: self.model.features(x, layer, passes)
        )

    @torch.inference_mode()
    def reconstruct(
        self, images: NDArray[Any], passes: int | None = None, layer: int | None = None
    ) -> tuple[Floats, Floats]:
        """Reconstructions (N, H, W, C) in the images' own scale (0..1 for uint8) and the unexplained variance (N,).

        That is ‖x − x̂‖² / ‖x − mean(x)‖² of each image; of an even one 0 if it comes back as it is, else 1. A model
        of locally normalised images is measured on those: their local means are not its own to explain. From the code
        of `layer`, the top one where None; `sparse.stack` says how its pools are taken back.
        """
        self.num_features(layer)
        rebuilt = np.empty((*images.shape[:3], self.input_shape[2]), np.float32)
        unexplained = np.empty(len(images), np.float32)
        for rows, whole, grid in self._blocks(images, passes, layer):
            windows = grid.cut(whole.pixels)
            # the originals go the same way, so that what is only rounding is equal in both
            back, found = torch.empty_like(windows), torch.empty_like(windows)
            for some, given in self._given(windows):
                back[some] = given.undo(given.x)
                found[some] = given.undo(self.model.reconstruct(given.x, layer, passes))
            originals, reconstructions = grid.join(back), grid.join(found)
            unexplained[rows] = unexplained_variance(originals, reconstructions).cpu().numpy()
            rebuilt[rows] = whole.undo(reconstructions).cpu().numpy()
        return rebuilt, unexplained

    @torch.inference_mode()
    def classify(self, images: NDArray[Any] | VariedImages, passes: int | None = None) -> Floats:
        """Images (N, H, W, C) → probabilities (N, classes). Raises ValueError for a model without a classifier."""
        if self.classes is None:
            raise ValueError("this model has no classifier; it can encode and reconstruct")
        return self._averaged(images, passes, None, self.classes, lambda x: self.model.logits(x, passes).softmax(1))

    def num_features(self, layer: int | None = None) -> int:
        """Numbers that a layer answers, from 0; the top one where None. Raises ValueError where there is none such."""
        if layer is not None and not 0 <= layer < len(self.model):
            raise ValueError(f"layer is {layer}; this model has {len(self.model)}, 0 to {len(self.model) - 1}")
        return self.model.layer(layer).num_features

    def _averaged(
        self,
        images: NDArray[Any] | VariedImages,
        passes: int | None,
        layer: int | None,
        columns: int,
        answer: Callable[[Tensor], Tensor],
    ) -> Floats:
        """`answer` (patches, columns) of inputs, averaged over the patches of each image: (N, columns)."""
        pooled = np.empty((len(images), columns), np.float32)
        for rows, whole, grid in self._blocks(images, passes, layer):
            windows = grid.cut(whole.pixels)
            image_of = torch.arange(len(windows), device=self.device) // grid.windows
            total = torch.zeros(len(whole.pixels), columns, dtype=torch.float64, device=self.device)
            for some, given in self._given(windows):
                total.index_add_(0, image_of[some], answer(given.x).double())
            pooled[rows] = (total / grid.windows).float().cpu().numpy()
        return pooled

    def _given(self, windows: Tensor) -> Iterator[tuple[slice, Given]]:
        for start in range(0, len(windows), self.chunk):
            some = slice(start, start + self.chunk)
            yield some, self.preprocessor.given(windows[some])

    def _blocks(
        self, images: NDArray[Any] | VariedImages, passes: int | None, layer: int | None
    ) -> Iterator[tuple[slice, Normalised, Grid]]:
        """A bounded number of normalised images at a time, on the device, with how they are cut into inputs.

        Raises ValueError for what the model cannot take.
        """
        encoder = self.specs[-1 if layer is None else layer].model.encoder
        if passes is not None and not isinstance(encoder, Recurrent):
            raise ValueError(f"the encoder {encoder.kind!r} has no passes; leave them out")
        if passes is not None and not 1 <= passes <= MOST_PASSES:
            raise ValueError(f"passes is {passes}; 1 to {MOST_PASSES} is allowed")
        if images.dtype not in (np.uint8, np.float32):
            raise ValueError(f"the images are {images.dtype}; uint8 and float32 are allowed")
        if isinstance(images, VariedImages):
            for row in range(len(images)):
                image = images[row][None]
                yield slice(row, row + 1), self.preprocessor.normalised(image, self.device), self._grid(image.shape)
            return
        grid = self._grid(images.shape)
        some = max(1, self.chunk // grid.windows)
        for start in range(0, len(images), some):
            rows = slice(start, start + some)
            yield rows, self.preprocessor.normalised(images[rows], self.device), grid

    def _grid(self, shape: tuple[int, ...]) -> Grid:
        """How images (N, H, W, C) of this shape are cut into inputs."""
        _, height, width, channels = shape
        window = self.input_shape[:2]
        patches = self.spec.preprocessing.patch_size is not None
        fits = (height >= window[0] and width >= window[1]) if patches else (height, width) == window
        if not fits or self.spec.preprocessing.input_shape((*window, channels)) != self.input_shape:
            larger = " and larger" if patches else ""
            raise ValueError(f"the images have the shape {shape[1:]}; the model takes {self.input_shape}{larger}")
        return Grid((height, width), window)


def unexplained_variance(originals: Tensor, reconstructions: Tensor) -> Tensor:
    """‖x − x̂‖² / ‖x − mean(x)‖² of images (n, H, W, C), (n,); where x is even, whether x̂ differs from it."""
    x = originals.flatten(1)
    error = (x - reconstructions.flatten(1)).square().sum(1)
    deviation = (x - x.mean(1, keepdim=True)).square().sum(1)
    uneven = deviation > FLAT * x.square().sum(1)
    return torch.where(uneven, error / deviation, (error > 0).float())
