"""A published model as a plain `torch.nn.Module`: images in, features out, from its file of weights alone.

What `Engine` does for the service, on tensors and with gradients: preprocessing is part of it, and an image larger
than the patches that the model was trained on gives the mean over its patches.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from pinwheel.specs import StackSpec, TrainSpec
from worker.data.images import normalised
from worker.data.patches import Grid
from worker.data.preprocess import scaled
from worker.sparse.stack import Stack
from worker.training.bundle import read_model


class ImageEncoder(nn.Module):
    """`stack` are the layers; `mean` and `whitening` are there where the model whitens by ZCA.

    `spec`, `input_shape` (height, width, channels) of one input, `feature_shape` of what it answers.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        model = read_model(path)
        self.spec: TrainSpec | StackSpec = model.spec
        self.input_shape = model.preprocessor.input_shape
        self.stack: Stack = model.stack
        zca = model.preprocessor.zca
        self.whitens = zca is not None
        if zca is not None:
            self.register_buffer("mean", zca.mean)
            self.register_buffer("whitening", zca.whitening)
        self.eval()

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return self.stack.layer().feature_shape

    def forward(self, images: Tensor, layer: int | None = None, passes: int | None = None) -> Tensor:
        """(N, H, W, C), uint8 or floats from 0 to 1 → (N, features) of `layer`, from 0; the top one where None.

        `passes` replaces the trained number of a recurrent encoder there. Raises ValueError for images of another
        shape, and for a layer that there is not.
        """
        if layer is not None and not 0 <= layer < len(self.stack):
            raise ValueError(f"layer is {layer}; this model has {len(self.stack)}, 0 to {len(self.stack) - 1}")
        grid = self._grid(images)
        pixels = images.float() / 255 if images.dtype == torch.uint8 else images
        whole = normalised(pixels, self.spec.preprocessing).pixels
        found = self.stack.features(self.inputs(grid.cut(whole)), layer, passes)
        return found if grid.windows == 1 else found.view(len(images), grid.windows, -1).mean(1)

    def inputs(self, pixels: Tensor) -> Tensor:
        """(n, inputs) cut from normalised images → as the first layer sees them, scaled and whitened"""
        x = scaled(pixels, self.spec.preprocessing.scale).x
        return (x - self.mean) @ self.whitening if self.whitens else x

    def _grid(self, images: Tensor) -> Grid:
        """How images of this shape are cut into inputs."""
        preprocessing, window = self.spec.preprocessing, self.input_shape[:2]
        patches = preprocessing.patch_size is not None
        if images.dim() != 4 or not (images.dtype == torch.uint8 or images.is_floating_point()):
            shape = tuple(images.shape)
            raise ValueError(f"the images are {images.dtype} {shape}; uint8 or floats (N, H, W, C) are allowed")
        height, width, channels = images.shape[1:]
        fits = (height >= window[0] and width >= window[1]) if patches else (height, width) == window
        if not fits or preprocessing.input_shape((*window, channels)) != self.input_shape:
            larger = " and larger" if patches else ""
            found = tuple(images.shape[1:])
            raise ValueError(f"the images have the shape {found}; the model takes {self.input_shape}{larger}")
        return Grid((height, width), window)


def load(path: str | Path) -> ImageEncoder:
    """The model of a `.safetensors` file. Raises FileNotFoundError, or ValueError that says what is wrong with it."""
    return ImageEncoder(Path(path))
