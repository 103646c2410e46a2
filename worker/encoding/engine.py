"""A loaded model that encodes, reconstructs and classifies images: numpy in, numpy out.

Preprocessing is part of the model. Images larger than the patches that a model was trained on are cut into patches:
their features are pooled (`worker.encoding.pooling`), probabilities averaged, reconstructions put together again.
Every result of an image is independent of the batch it came in (to rounding).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pinwheel.specs import Conv, Recurrent, StackSpec, TrainSpec, layers
from pinwheel.specs.jobs import Pool
from worker.data.lcn import Normalised
from worker.data.patches import Grid
from worker.data.preprocess import Given, Preprocessor
from worker.data.reader import VariedImages
from worker.encoding.pooling import Pooling
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
        self,
        images: NDArray[Any] | VariedImages,
        passes: int | None = None,
        layer: int | None = None,
        pool: Pool | None = None,
        stride: int | None = None,
    ) -> Floats:
        """Images (N, H, W, C), uint8 or float32 → (N, `columns`) of `layer`, from 0; the top one where None.

        `passes` 1..200 replaces the trained number of a recurrent encoder there. `stride` pixels are between patches,
        `pool` makes one of their features. Raises ValueError for what the model cannot take.
        """
        how = pool, self.num_features(layer), self._places(layer)
        return self._pooled(images, passes, layer, how, lambda x: self.model.features(x, layer, passes), stride)

    def columns(
        self, images: NDArray[Any] | VariedImages, layer: int | None, pool: Pool | None, stride: int | None
    ) -> int:
        """Numbers that `encode` gives for each of these images. Raises ValueError where they have several sizes and
        give different ones."""
        features = self.num_features(layer)
        if pool == "none":
            return features * self._grid(one_shape(images), stride).windows
        return features if pool is None else features // self._places(layer)

    def _places(self, layer: int | None) -> int:
        """Of a convolution, how many places its features have: they have the same meaning at each."""
        shape = self.model.layer(layer).feature_shape
        conv = isinstance(self.specs[-1 if layer is None else layer].model.connection, Conv)
        return shape[0] * shape[1] if conv and len(shape) == 3 else 1

    @torch.inference_mode()
    def reconstruct(
        self, images: NDArray[Any], passes: int | None = None, layer: int | None = None, topk: int | None = None
    ) -> tuple[Floats, Floats]:
        """Reconstructions (N, H, W, C) in the images' own scale (0..1 for uint8) and the unexplained variance (N,).

        That is ‖x − x̂‖² / ‖x − mean(x)‖² of each image; of an even one 0 if it comes back as it is, else 1. A model
        of locally normalised images is measured on those: their local means are not its own to explain. From the code
        of `layer`, the top one where None; `sparse.stack` says how its pools are taken back. Of the code of each input
        (each patch, where images are cut) only the `topk` largest numbers are used; all where None.
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
                found[some] = given.undo(self.model.reconstruct(given.x, layer, passes, topk))
            originals, reconstructions = grid.join(back), grid.join(found)
            unexplained[rows] = unexplained_variance(originals, reconstructions).cpu().numpy()
            rebuilt[rows] = whole.undo(reconstructions).cpu().numpy()
        return rebuilt, unexplained

    @torch.inference_mode()
    def classify(self, images: NDArray[Any] | VariedImages, passes: int | None = None) -> Floats:
        """Images (N, H, W, C) → probabilities (N, classes). Raises ValueError for a model without a classifier."""
        if self.classes is None:
            raise ValueError("this model has no classifier; it can encode and reconstruct")
        how = None, self.classes, 1
        return self._pooled(images, passes, None, how, lambda x: self.model.logits(x, passes).softmax(1))

    def num_features(self, layer: int | None = None) -> int:
        """Numbers that a layer answers, from 0; the top one where None. Raises ValueError where there is none such."""
        if layer is not None and not 0 <= layer < len(self.model):
            raise ValueError(f"layer is {layer}; this model has {len(self.model)}, 0 to {len(self.model) - 1}")
        return self.model.layer(layer).num_features

    def _pooled(
        self,
        images: NDArray[Any] | VariedImages,
        passes: int | None,
        layer: int | None,
        how: tuple[Pool | None, int, int],
        answer: Callable[[Tensor], Tensor],
        stride: int | None = None,
    ) -> Floats:
        """`answer` (patches, features) of inputs, pooled over the patches of each image: (N, columns). `how`: the pool,
        the features, and their places."""
        pool, features, places = how
        if pool == "none":
            one_shape(images)
        found = []
        for _, whole, grid in self._blocks(images, passes, layer, stride):
            pooling = Pooling(pool, len(whole.pixels), grid.windows, features, places, self.device)
            total = len(whole.pixels) * grid.windows
            for start in range(0, total, self.chunk):
                windows = grid.some(whole.pixels, start, min(total, start + self.chunk))
                pooling.add(start, answer(self.preprocessor.given(windows).x))
            found.append(pooling.result().cpu().numpy())
        return np.concatenate(found) if found else np.empty((0, self.columns(images, layer, pool, stride)), np.float32)

    def _given(self, windows: Tensor) -> Iterator[tuple[slice, Given]]:
        for start in range(0, len(windows), self.chunk):
            some = slice(start, start + self.chunk)
            yield some, self.preprocessor.given(windows[some])

    def _blocks(
        self, images: NDArray[Any] | VariedImages, passes: int | None, layer: int | None, stride: int | None = None
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
                yield (
                    slice(row, row + 1),
                    self.preprocessor.normalised(image, self.device),
                    self._grid(image.shape, stride),
                )
            return
        grid = self._grid(images.shape, stride)
        some = max(1, self.chunk // grid.windows)
        for start in range(0, len(images), some):
            rows = slice(start, start + some)
            yield rows, self.preprocessor.normalised(images[rows], self.device), grid

    def _grid(self, shape: tuple[int, ...], stride: int | None = None) -> Grid:
        """How images (N, H, W, C) of this shape are cut into inputs."""
        _, height, width, channels = shape
        window = self.input_shape[:2]
        patches = self.spec.preprocessing.patch_size is not None
        fits = (height >= window[0] and width >= window[1]) if patches else (height, width) == window
        if not fits or self.spec.preprocessing.input_shape((*window, channels)) != self.input_shape:
            larger = " and larger" if patches else ""
            raise ValueError(f"the images have the shape {shape[1:]}; the model takes {self.input_shape}{larger}")
        if stride is not None and not (patches and 1 <= stride <= window[0]):
            most = f"1 to {window[0]} is allowed" if patches else "this model takes whole images and has none"
            raise ValueError(f"stride is {stride}; {most}")
        return Grid((height, width), window, stride)


def one_shape(images: NDArray[Any] | VariedImages) -> tuple[int, ...]:
    """(N, H, W, C). Raises ValueError where the images have several sizes."""
    if not isinstance(images, VariedImages):
        return images.shape
    other = (images.shapes != images.shapes[:1]).any(1)
    if other.any():
        row = int(other.argmax())
        (height, width, _), (first_height, first_width, _) = images.shapes[row], images.shapes[0]
        raise ValueError(
            f"image {row} is {height} × {width} and image 0 {first_height} × {first_width}; with pool 'none' all have "
            "to have one size"
        )
    return (len(images), *(int(side) for side in images.shapes[0]))


def unexplained_variance(originals: Tensor, reconstructions: Tensor) -> Tensor:
    """‖x − x̂‖² / ‖x − mean(x)‖² of images (n, H, W, C), (n,); where x is even, whether x̂ differs from it."""
    x = originals.flatten(1)
    error = (x - reconstructions.flatten(1)).square().sum(1)
    deviation = (x - x.mean(1, keepdim=True)).square().sum(1)
    uneven = deviation > FLAT * x.square().sum(1)
    return torch.where(uneven, error / deviation, (error > 0).float())
