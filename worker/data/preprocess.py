"""From images to the inputs of a model, and back.

    color → lcn (of the whole image) → patches → scale → zca

    none       x
    unit-norm  x / ‖x‖₂                an input of zeros stays zero
    standard   (x − mean x) / std x    a constant input becomes zero

Each input is scaled by itself; only ZCA is fitted to the training data, and its tensors are published with the model.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pinwheel.specs import Preprocessing
from worker.data import zca
from worker.data.images import CHUNK_PIXELS, normalised, pixels_of
from worker.data.lcn import Normalised
from worker.data.patches import drawn_patches
from worker.data.reader import Dataset, Images
from worker.data.zca import Zca

Scale: TypeAlias = Literal["none", "unit-norm", "standard"]
Shape: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Scaled:
    """`x` (n, inputs) = (original − shift) / factor, with `shift` and `factor` (n, 1); where a factor is 0, x is 0."""

    x: Tensor
    shift: Tensor
    factor: Tensor

    def undo(self, x: Tensor) -> Tensor:
        """Bring `x` (n, inputs), a reconstruction for example, back to the scale of the originals."""
        return x * self.factor + self.shift


def as_inputs(images: Images) -> Tensor:
    """(n, H, W, C) → (n, H·W·C) float32; uint8 becomes value / 255."""
    inputs = torch.tensor(images).reshape(len(images), -1)
    return inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs


def scaled(inputs: Tensor, scale: Scale) -> Scaled:
    """Scale each row of `inputs` (n, inputs)."""
    shift, factor = inputs.new_zeros(len(inputs), 1), inputs.new_ones(len(inputs), 1)
    if scale == "unit-norm":
        factor = torch.linalg.vector_norm(inputs, dim=1, keepdim=True)
    if scale == "standard":
        shift = inputs.mean(1, keepdim=True)
        # a constant row differs from its mean by rounding alone
        spread = (inputs - shift).square().mean(1, keepdim=True).sqrt()
        factor = torch.where(spread > 1e-6 * shift.abs(), spread, 0)
    x = (inputs - shift) / torch.where(factor > 0, factor, 1)
    return Scaled(torch.where(factor > 0, x, 0), shift, factor)


@dataclass(frozen=True)
class Given:
    """Inputs as the model sees them: `x` (n, inputs), scaled and whitened."""

    x: Tensor
    scaled: Scaled
    zca: Zca | None

    def undo(self, x: Tensor) -> Tensor:
        """Bring `x` (n, inputs), a reconstruction for example, back to what the inputs were cut from."""
        return self.scaled.undo(x if self.zca is None else self.zca.undo(x))


@dataclass(frozen=True)
class Preprocessor:
    """`input_shape` (H, W, C) is that of one input as the model sees it; `zca` is there exactly where the spec asks."""

    spec: Preprocessing
    input_shape: Shape
    zca: Zca | None = None

    def __post_init__(self) -> None:
        if (self.spec.whiten == "zca") != (self.zca is not None):
            raise ValueError(f"whiten is {self.spec.whiten!r} and the fitted whitening is {self.zca}")

    @classmethod
    def fitted(cls, spec: Preprocessing, dataset: Dataset, rows: Tensor | None = None, seed: int = 0) -> "Preprocessor":
        """What is needed to preprocess, from the training images (at `rows`) and the patches drawn from them."""
        rows = torch.arange(len(dataset)) if rows is None else rows
        shape = input_shape(spec, dataset)
        if spec.whiten != "zca":
            return cls(spec, shape)
        size = shape[0] * shape[1] * shape[2]
        return cls(spec, shape, zca.fitted(_scaled_batches(spec, dataset, rows, seed), size, spec.zca_epsilon))

    @classmethod
    def load(cls, spec: Preprocessing, input_shape: Shape, weights: dict[str, Tensor]) -> "Preprocessor":
        """From what `tensors` gave. Raises ValueError where `weights` lack it."""
        if spec.whiten != "zca":
            return cls(spec, input_shape)
        try:
            return cls(spec, input_shape, Zca(weights["preprocessing.mean"], weights["preprocessing.whitening"]))
        except KeyError as error:
            raise ValueError(f"the weights lack {error.args[0]}, which whiten 'zca' needs") from None

    def tensors(self) -> dict[str, Tensor]:
        """What was fitted, by the names in a model's weights; empty where nothing is."""
        if self.zca is None:
            return {}
        return {"preprocessing.mean": self.zca.mean, "preprocessing.whitening": self.zca.whitening}

    def to(self, device: torch.device | str) -> "Preprocessor":
        return Preprocessor(self.spec, self.input_shape, None if self.zca is None else self.zca.to(device))

    def normalised(self, images: Images, device: torch.device | str = "cpu") -> Normalised:
        """Whole images (n, H, W, C): in color and locally normalised."""
        return normalised(pixels_of(images).to(device), self.spec)

    def given(self, pixels: Tensor) -> Given:
        """Scale and whiten `pixels` (n, inputs), cut from normalised images."""
        rescaled = scaled(pixels, self.spec.scale)
        return Given(rescaled.x if self.zca is None else self.zca.apply(rescaled.x), rescaled, self.zca)

    def inputs(self, images: Images) -> Given:
        """Images (n, H, W, C) that are one input each. Raises ValueError where they are not."""
        pixels = self.normalised(images).pixels
        if pixels.shape[1:] != self.input_shape:
            raise ValueError(f"the images have the shape {images.shape[1:]}; the model takes {self.input_shape}")
        return self.given(pixels.flatten(1))

    def pictures(self, units: Tensor, kind: str) -> Tensor:
        """`units` (units, H, W, C), what they write (`decoder`) or look for (`encoder`) in whitened inputs, in pixels.

        Columns of the dictionary are taken back through the whitening; rows of an encoder act on whitened inputs, and
        what they look for in the pixels is their product with it. Local normalisation differs from image to image:
        after it, both are shown as they are.
        """
        if self.zca is None:
            return units
        matrix = self.zca.dewhitening if kind == "decoder" else self.zca.whitening
        return (units.flatten(1) @ matrix.to(units.device)).view_as(units)


def input_shape(spec: Preprocessing, dataset: Dataset) -> Shape:
    """(H, W, C) of one input. Raises ValueError where the images do not give inputs of one size."""
    if spec.patch_size is None:
        return spec.input_shape(dataset.shape)
    return spec.input_shape((spec.patch_size, spec.patch_size, dataset.channels))


def _scaled_batches(spec: Preprocessing, dataset: Dataset, rows: Tensor, seed: int) -> Iterator[Tensor]:
    """The training inputs, (n, inputs), scaled and not yet whitened."""
    if spec.patch_size is None:
        for _, images in dataset.blocks(rows.numpy(), CHUNK_PIXELS):
            yield scaled(normalised(pixels_of(images), spec).pixels.flatten(1), spec.scale).x
        return
    pixels = drawn_patches(dataset, rows, spec, seed, spec.inputs_from(len(rows)), "patches").pixels
    some = max(1, CHUNK_PIXELS // pixels.shape[1])
    for start in range(0, len(pixels), some):
        yield scaled(pixels[start : start + some], spec.scale).x
