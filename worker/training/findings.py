"""What is found out about a finished model, besides its metrics, before it is published."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from worker.data.inputs import Source
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.sparsity import PoolNorm
from worker.training.invariance import invariance
from worker.training.prepare import Prepared

Notes: TypeAlias = dict[str, Any]
Seen: TypeAlias = Callable[[Tensor], Tensor]

MOST_UNITS = 2048
COACTIVATION_INPUTS = 5000


@torch.inference_mode()
def found(model: Autoencoder, parts: Prepared, seen: Seen, notes: dict[str, Any]) -> tuple[Tensor | None, Notes]:
    """Measured on the inputs that the metrics are computed on: the share of them with both units active (units, units),
    where that is not too much; and what is noted in the record. `seen` is what the model sees of images (n, inputs).
    """
    together = None
    if model.filters == model.units <= MOST_UNITS:
        together = coactivation(model, parts.evaluated, parts.whole[:COACTIVATION_INPUTS])
    return together, {"pruning": notes.get("pruning"), "invariance": moved(model, parts, seen)}


def coactivation(model: Autoencoder, inputs: Source, indices: Tensor) -> Tensor:
    """(units, units) the share of the inputs at `indices` that switch both units on"""
    counts = torch.zeros(model.units, model.units, device=inputs.device)
    for x, _ in inputs.batches(indices):
        active = model.sparsity.active(model.encode(x)).float()
        counts.addmm_(active.t(), active)
    return counts / len(indices)


def moved(model: Autoencoder, parts: Prepared, seen: Seen) -> dict[str, Any] | None:
    """How far codes, and their pools where there are any, move with the image."""
    inputs, device = parts.evaluated, parts.device

    def encode(x: Tensor) -> Tensor:
        return model.encode(seen(x.to(device))).cpu()

    def pool(code: Tensor) -> Tensor:
        assert isinstance(model.sparsity, PoolNorm)
        return model.sparsity.pooled(code.to(device)).cpu()

    pooled = pool if isinstance(model.sparsity, PoolNorm) else None
    dataset, rows = inputs.dataset, inputs.image_rows
    return invariance(encode, pooled, dataset, rows, parts.preprocessor, parts.sampler.seed, model.units)
