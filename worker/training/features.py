"""The inputs of a layer above others: what those answer, as it sees them, kept where it fits into memory."""

import torch
from torch import Tensor

from pinwheel.specs import as_image
from worker.data.inputs import CHUNK_BYTES, RESIDENT_BYTES, Source
from worker.sparse.stack import Between, Stack

FITTED_TO = 2000  # inputs that mean and scale of features are taken from
FLAT = 1e-9  # share of the mean square of features below which their deviation is rounding


class FeatureInputs(Source):
    """`inputs` seen through `stack` and `between`; without that, its features as they are."""

    def __init__(self, inputs: Source, stack: Stack, between: Between | None) -> None:
        self.inputs, self.stack, self.between = inputs, stack, between
        self.dataset, self.preprocessor, self.device = inputs.dataset, inputs.preprocessor, inputs.device
        self.rows, self.image_rows, self.corners = inputs.rows, inputs.image_rows, inputs.corners
        self.labels = inputs.labels
        height, width, channels = self.shape = as_image(stack.layer().feature_shape)
        self.size = height * width * channels
        self.chunk = max(1, min(inputs.chunk, CHUNK_BYTES // (4 * stack.longest)))
        self.resident = None
        if len(inputs) * self.size * 4 <= RESIDENT_BYTES:
            self.resident = torch.empty(len(inputs), self.size, device=self.device)
            for start in range(0, len(inputs), self.chunk):
                some = torch.arange(start, min(start + self.chunk, len(inputs)), device=self.device)
                self.resident[some] = self._made(some)

    def _made(self, indices: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.stack.features(self.inputs.take(indices)[0])
            return features if self.between is None else self.between.up(features)


@torch.no_grad()
def between_of(inputs: Source, stack: Stack, indices: Tensor) -> Between:
    """What makes the features at `indices` 0 on the mean of each group and 1 in the mean square. Raises ValueError
    where they do not vary."""
    channels = as_image(stack.layer().feature_shape)[2]
    first = torch.zeros(channels, dtype=torch.float64, device=inputs.device)
    second, count = torch.zeros_like(first), 0
    for x, _ in inputs.batches(indices[:FITTED_TO]):
        features = stack.features(x).double().view(-1, channels)
        first, second, count = first + features.sum(0), second + features.square().sum(0), count + len(features)
    mean = first / count
    variance = float((second / count - mean.square()).mean())
    if not variance > FLAT * float(second.mean() / count):
        raise ValueError("the layer below answers the same for every input; lower its sparsity weight")
    return Between(mean.float(), torch.tensor(variance**-0.5, device=inputs.device))
