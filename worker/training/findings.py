"""What is found out about a finished model, besides its metrics, before it is published."""

from typing import Any

import torch
from torch import Tensor

from pinwheel.specs import TrainSpec
from worker.data.inputs import Inputs
from worker.sparse.autoencoder import Autoencoder
from worker.training.evaluate import Evaluation
from worker.training.prepare import Prepared
from worker.training.publish import Findings

MOST_UNITS = 2048
COACTIVATION_INPUTS = 5000


def found(parts: Prepared, spec: TrainSpec, evaluation: Evaluation, step: int, notes: dict[str, Any]) -> Findings:
    """Measured on the inputs that the metrics are computed on."""
    told: dict[str, Any] = {"pruning": notes.get("pruning"), "invariance": None}
    if told["pruning"] is not None:
        told["pruning"] = told["pruning"] | {"energy_after": evaluation.values["loss"]}
    together = None
    if parts.model.units <= MOST_UNITS:
        together = coactivation(parts.model, parts.evaluated, parts.whole[:COACTIVATION_INPUTS])
    return Findings(evaluation, step, together, told)


@torch.inference_mode()
def coactivation(model: Autoencoder, inputs: Inputs, indices: Tensor) -> Tensor:
    """(units, units) the share of the inputs at `indices` that switch both units on"""
    counts = torch.zeros(model.units, model.units, device=inputs.device)
    for start in range(0, len(indices), inputs.chunk):
        x, _ = inputs.take(indices[start : start + inputs.chunk])
        active = model.sparsity.active(model.encode(x)).float()
        counts.addmm_(active.t(), active)
    return counts / len(indices)
