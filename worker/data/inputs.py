"""The inputs of a training by index, on its device.

Patches are drawn once and kept. Whole images are kept where they fit, and read and preprocessed batch by batch where
they do not; a batch is the same either way.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from worker.data.patches import HELD_OUT_PATCHES, drawn_patches
from worker.data.preprocess import Preprocessor, input_shape
from worker.data.reader import Dataset, VariedImages

RESIDENT_BYTES = 2 * 2**30
CHUNK_BYTES = 16 * 2**20

Side = Literal["training", "validation"]


class Source(ABC):
    """Inputs of a model by index. `rows` (n,) is the image that each is from, `image_rows` all images that they are
    from; `corners` (n, 2) is top and left of each in its image, None where inputs are whole images; `shape` (H, W, C)
    and `size` are those of one input; `chunk` bounds how many are gone through at once."""

    dataset: Dataset
    preprocessor: Preprocessor
    device: torch.device
    rows: Tensor
    image_rows: Tensor
    corners: Tensor | None
    labels: Tensor | None
    shape: tuple[int, int, int]
    size: int
    chunk: int
    resident: Tensor | None  # (n, size) all of them, where they fit

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """x (batch, inputs) float32 and labels (batch,) int64 at `indices` (on the device of the inputs)."""
        labels = None if self.labels is None else self.labels.index_select(0, indices)
        if self.resident is not None:
            return self.resident.index_select(0, indices), labels
        return self._made(indices), labels

    def batches(self, indices: Tensor, most: int | None = None) -> Iterator[tuple[Tensor, Tensor | None]]:
        """What `take` gives of all `indices`, a bounded number at a time, `most` or fewer."""
        some = self.chunk if most is None else max(1, min(self.chunk, most))
        for start in range(0, len(indices), some):
            yield self.take(indices[start : start + some])

    @abstractmethod
    def _made(self, indices: Tensor) -> Tensor:
        """(batch, size) where they are not kept"""


class Inputs(Source):
    """What the images of `dataset` at `rows` (all where None) give: themselves, or patches drawn by `seed`."""

    def __init__(
        self,
        dataset: Dataset,
        preprocessor: Preprocessor,
        rows: Tensor | None = None,
        device: torch.device | str = "cpu",
        *,
        seed: int = 0,
        side: Side = "training",
    ) -> None:
        self.dataset = dataset
        self.preprocessor = preprocessor
        self.device = torch.device(device)
        self.image_rows = torch.arange(len(dataset)) if rows is None else rows
        self.rows = self.image_rows
        height, width, channels = self.shape = input_shape(preprocessor.spec, dataset)
        if self.shape != preprocessor.input_shape:
            raise ValueError(f"the images give inputs of {self.shape}; the model takes {preprocessor.input_shape}")
        self.size = height * width * channels
        self.chunk = max(1, min(500, CHUNK_BYTES // (4 * self.size)))
        self.resident = self.corners = None
        if preprocessor.spec.patch_size is not None:
            self.resident = self._patches(seed, side)
        elif len(self.rows) * self.size * 4 <= RESIDENT_BYTES:
            self.resident = self._all()
        self.labels = None
        if dataset.labels is not None:
            self.labels = torch.tensor(dataset.labels)[self.rows].to(self.device)

    def _made(self, indices: Tensor) -> Tensor:
        return self._read(self.rows[indices.cpu()]).to(self.device)

    def _read(self, rows: Tensor) -> Tensor:
        images = self.dataset.images
        assert not isinstance(images, VariedImages)
        return self.preprocessor.inputs(images[rows.numpy()]).x

    def _all(self) -> Tensor:
        x = torch.empty(len(self.rows), self.size)
        for start in range(0, len(self.rows), self.chunk):
            x[start : start + self.chunk] = self._read(self.rows[start : start + self.chunk])
        return x.to(self.device)

    def _patches(self, seed: int, side: Side) -> Tensor:
        spec = self.preprocessor.spec
        count = spec.inputs_from(len(self.image_rows))
        if side == "validation" and spec.patches_per_image is None:
            count = HELD_OUT_PATCHES
        stream = "patches" if side == "training" else "validation patches"
        drawn = drawn_patches(self.dataset, self.image_rows, spec, seed, count, stream)
        self.rows, self.corners = drawn.images, drawn.corners
        x = drawn.pixels
        for start in range(0, len(x), self.chunk):
            some = slice(start, start + self.chunk)
            x[some] = self.preprocessor.given(x[some]).x
        return x.to(self.device)
