"""Metrics of a model on held-out inputs, or on a fixed part of the training inputs where none are held out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from worker.data.inputs import Inputs
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.measures import Tally


@dataclass(frozen=True)
class Evaluation:
    """`values`: loss, its weighted terms (which sum to it) and the measures; `usage` (units,)."""

    values: dict[str, float]
    usage: Tensor


@torch.inference_mode()
def evaluate(model: Autoencoder, inputs: Inputs, indices: Tensor) -> Evaluation:
    """Without dropout, on the inputs at `indices`. Reads back from the device once, at the end."""
    units = model.connection.dictionary.shape[1]
    tally = Tally(inputs.size, units, inputs.device)
    terms: dict[str, Tensor] = {}
    for start in range(0, len(indices), inputs.chunk):
        x, labels = inputs.take(indices[start : start + inputs.chunk])
        energy = model.energy(x, labels)
        tally.add(x, energy.reconstruction, energy.code, energy.logits, labels)
        for name, term in energy.terms.items():
            terms[name] = terms.get(name, torch.zeros_like(term, dtype=torch.float64)) + term.double() * len(x)
    weighted = {name: float(term) / len(indices) for name, term in terms.items()}
    return Evaluation({"loss": sum(weighted.values()), **weighted, **tally.values()}, tally.usage())
