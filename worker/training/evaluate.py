"""Metrics of a model on held-out inputs, or on a fixed part of the training inputs where none are held out."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pinwheel.pictures.unit_kinds import CATEGORICAL, PART
from worker.data.inputs import Source
from worker.data.random import generator_for
from worker.sparse.autoencoder import Autoencoder, Phase
from worker.sparse.encoders import PredictRefine
from worker.sparse.labelled import Labelled
from worker.sparse.measures import Tally, angles

MOST_CODES = 2**25  # numbers of all codes that are found at once
# Inputs whose exact codes are found to say what the predicted ones miss, and how well they are found.
GAP_INPUTS = 200
MOST_GAP_CODES = 2**17  # numbers of all their codes together, where codes are long
GAP_ITERATIONS = 300
GAP_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Evaluation:
    """`values`: loss, its weighted terms (which sum to it) and the measures; `usage` (filters,), empty without any."""

    values: dict[str, float]
    usage: Tensor


@torch.inference_mode()
def evaluate(model: Autoencoder, inputs: Source, indices: Tensor, phase: Phase = "joint") -> Evaluation:
    """Without dropout, on the inputs at `indices`. Reads back from the device once, at the end.

    The terms are those that are trained; the measures are about the codes that an encode answers.
    """
    tally = Tally(inputs.size, model.units, inputs.device, model.connection.gathered)
    terms: dict[str, Tensor] = {}
    noise = generator_for(0, "evaluation", device=inputs.device)
    for x, labels in inputs.batches(indices, MOST_CODES // model.units):
        energy = model.energy(x, labels, noise=noise, phase=phase)
        same = energy.decoded is energy.code
        reconstruction = energy.reconstruction if same else model.connection.decode(energy.code)
        tally.add(x, reconstruction, energy.code, energy.logits, labels, model.sparsity.active(energy.code))
        for name, term in energy.terms.items():
            terms[name] = terms.get(name, torch.zeros_like(term, dtype=torch.float64)) + term.double() * len(x)
    weighted = {name: float(term) / len(indices) for name, term in terms.items()}
    values = {"loss": sum(weighted.values()), **weighted, **tally.values(model.kept), **counts(model, tally)}
    if isinstance(model.encoder, PredictRefine) and phase != "dictionary":
        values["code_gap"] = code_gap(model, model.encoder, inputs.take(indices[: gap_inputs(model)])[0])
    return Evaluation(values, tally.usage())


def counts(model: Autoencoder, tally: Tally) -> dict[str, float]:
    """Parts and categorical units among those in use; nothing where units are neither."""
    if model.recurrent is None:
        return {}
    dictionary = model.connection.dictionary.t()
    angle = angles(model.recurrent.encoder, dictionary, tally.mean_square())[tally.usage() > 0]
    return {"part_units": float((angle < PART).sum()), "categorical_units": float((angle > CATEGORICAL).sum())}


@torch.inference_mode()
def evaluate_labels(model: Labelled, inputs: Source, indices: Tensor) -> Evaluation:
    """Of a stage of labels alone: its loss and the classification error."""
    loss, wrong = (torch.zeros((), dtype=torch.float64, device=inputs.device) for _ in range(2))
    for x, labels in inputs.batches(indices):
        assert labels is not None  # nothing without labels gets here
        energy = model.energy(x, labels)
        loss += energy.loss.double() * len(x)
        wrong += (energy.logits.argmax(1) != labels).sum()
    values = {name: float(total) / len(indices) for name, total in (("loss", loss), ("classification_error", wrong))}
    return Evaluation({**values, "classification": values["loss"]}, torch.zeros(0))


def gap_inputs(model: Autoencoder) -> int:
    return max(4, min(GAP_INPUTS, MOST_GAP_CODES // model.units))


def code_gap(model: Autoencoder, encoder: PredictRefine, x: Tensor) -> float:
    """Energy of the predicted codes of `x` (n, inputs) over that of the exact ones, minus one."""
    predicted = model.encode(x)
    settings = replace(encoder.settings, method="fista", max_iterations=GAP_ITERATIONS, tolerance=GAP_TOLERANCE)
    exact = settings.solve(x, model.connection, model.sparsity, start=predicted).code
    found = model.energies(x, predicted).double()
    # a search that is stopped may end above a good prediction
    least = float(torch.minimum(found, model.energies(x, exact).double()).sum())
    return float(found.sum()) / least - 1 if least > 0 else 0.0
