"""What is found out about a finished model, besides its metrics, before it is published."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from worker.data.inputs import Source
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.sparsity import PoolNorm
from worker.training.described import described
from worker.training.invariance import invariance
from worker.training.part_units import MOST_UNITS, part_units
from worker.training.prepare import Prepared
from worker.training.publish import Pictured

Notes: TypeAlias = dict[str, Any]
Seen: TypeAlias = Callable[[Tensor], Tensor]

COACTIVATION_INPUTS = 5000


@torch.inference_mode()
def found(
    model: Autoencoder, parts: Prepared, seen: Seen, notes: dict[str, Any], pictured: Pictured
) -> tuple[dict[str, Tensor], Notes]:
    """Measured on the inputs that the metrics are computed on. Of the units: the share of the inputs with both active,
    `coactivation` (units, units), where that is not too much, and what `part_units` finds. And what is noted in the
    record. `seen` is what the model sees of images (n, inputs). What cannot be measured is left out.
    """
    nothing: dict[str, Tensor] = {}
    classifier = None if model.classifier is None else model.classifier.weights
    units = described(
        "part units", lambda: part_units(model, parts.evaluated, parts.whole, pictured, classifier), instead=nothing
    )
    if model.filters == model.units <= MOST_UNITS:
        indices = parts.whole[:COACTIVATION_INPUTS]
        units |= described(
            "coactivation", lambda: {"coactivation": coactivation(model, parts.evaluated, indices)}, instead=nothing
        )
    invariant = described("invariance", lambda: moved(model, parts, seen), instead=None)
    return units, {"pruning": notes.get("pruning"), "invariance": invariant}


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
