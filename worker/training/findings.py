"""What is found out about a finished model, besides its metrics, before it is published."""

from typing import Any

import torch
from torch import Tensor

from pinwheel.specs import TrainSpec
from worker.data.inputs import Inputs
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.sparsity import PoolNorm
from worker.training.evaluate import Evaluation
from worker.training.invariance import invariance
from worker.training.prepare import Prepared
from worker.training.publish import Findings

MOST_UNITS = 2048
COACTIVATION_INPUTS = 5000


@torch.inference_mode()
def found(parts: Prepared, spec: TrainSpec, evaluation: Evaluation, step: int, notes: dict[str, Any]) -> Findings:
    """Measured on the inputs that the metrics are computed on."""
    pruning = notes.get("pruning")
    if pruning is not None:
        pruning = pruning | {"energy_after": evaluation.values["loss"]}
    together = None
    if parts.model.filters == parts.model.units <= MOST_UNITS:
        together = coactivation(parts.model, parts.evaluated, parts.whole[:COACTIVATION_INPUTS])
    told = {"pruning": pruning, "invariance": moved(parts, spec)}
    return Findings(evaluation, step, together, told)


def coactivation(model: Autoencoder, inputs: Inputs, indices: Tensor) -> Tensor:
    """(units, units) the share of the inputs at `indices` that switch both units on"""
    counts = torch.zeros(model.units, model.units, device=inputs.device)
    for x, _ in inputs.batches(indices):
        active = model.sparsity.active(model.encode(x)).float()
        counts.addmm_(active.t(), active)
    return counts / len(indices)


def moved(parts: Prepared, spec: TrainSpec) -> dict[str, Any] | None:
    """How far codes, and their pools where there are any, move with the input."""
    model, inputs, device = parts.model, parts.evaluated, parts.device

    def encode(x: Tensor) -> Tensor:
        return model.encode(x.to(device)).cpu()

    def pool(code: Tensor) -> Tensor:
        assert isinstance(model.sparsity, PoolNorm)
        return model.sparsity.pooled(code.to(device)).cpu()

    pooled = pool if isinstance(model.sparsity, PoolNorm) else None
    dataset, rows, seed = inputs.dataset, inputs.image_rows, spec.training.seed
    return invariance(encode, pooled, dataset, rows, parts.preprocessor, seed, model.units)
