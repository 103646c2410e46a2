"""The scaled inputs of a training by index, on its device.

They are scaled once and kept in memory where they fit, and read and scaled batch by batch where they do not; a batch
is the same either way.
"""

import torch
from torch import Tensor

from worker.data.preprocess import Scale, as_inputs, scaled
from worker.data.reader import Dataset

RESIDENT_BYTES = 2 * 2**30
CHUNK_BYTES = 16 * 2**20


class Inputs:
    """The images of `dataset` at `rows` (all where None), scaled."""

    def __init__(
        self, dataset: Dataset, scale: Scale, rows: Tensor | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self.dataset = dataset
        self.scale: Scale = scale
        self.device = torch.device(device)
        self.rows = torch.arange(len(dataset)) if rows is None else rows
        self.size = dataset.images[0].size
        # rows to go through at once: bounds the memory of whatever goes through all of them
        self.chunk = max(1, min(500, CHUNK_BYTES // (4 * self.size)))
        self.labels: Tensor | None = None
        if dataset.labels is not None:
            self.labels = torch.tensor(dataset.labels)[self.rows].to(self.device)
        self.resident: Tensor | None = None
        if len(self.rows) * self.size * 4 <= RESIDENT_BYTES:
            self.resident = self._all()

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """x (batch, inputs) float32 and labels (batch,) int64 at `indices` (on the device of the inputs)."""
        labels = None if self.labels is None else self.labels.index_select(0, indices)
        if self.resident is not None:
            return self.resident.index_select(0, indices), labels
        return self._read(self.rows[indices.cpu()]).to(self.device), labels

    def _read(self, rows: Tensor) -> Tensor:
        x = scaled(as_inputs(self.dataset.images[rows.numpy()]), self.scale).x
        if not torch.isfinite(x).all():
            raise ValueError("the images have pixels that are not finite numbers; NaN and infinity are not allowed")
        return x

    def _all(self) -> Tensor:
        x = torch.empty(len(self.rows), self.size)
        for start in range(0, len(self.rows), self.chunk):
            x[start : start + self.chunk] = self._read(self.rows[start : start + self.chunk])
        return x.to(self.device)
