"""Cutting the branches of a tree that are hardly used: start larger than needed, see what it cost.

LeCun's lecture 9.1 (not in the paper of Jenatton et al.). A unit is active only where its ancestors are, so a branch is
used no more often than its top.
"""

from typing import Any

import torch
from torch import Tensor

from pinwheel import specs
from worker.data.inputs import Source
from worker.data.random import permutation
from worker.sparse.autoencoder import Autoencoder, Phase
from worker.sparse.sparsity import Tree
from worker.training.evaluate import evaluate

USAGE_INPUTS = 10_000


def prune_step(sparsity: specs.Sparsity, total_steps: int) -> int | None:
    """The number of finished steps after which branches are cut, or None."""
    if not isinstance(sparsity, specs.Tree) or sparsity.prune_below is None:
        return None
    return max(1, round(sparsity.prune_at * total_steps))


def prune(
    model: Autoencoder, spec: specs.Layer, train: Source, evaluated: Source, indices: Tensor, phase: Phase
) -> dict[str, Any]:
    """Cut the branches used for less than `prune_below` of the training inputs; energies are those of `evaluated`."""
    tree, sparsity = model.sparsity, spec.model.sparsity
    assert isinstance(tree, Tree)
    assert isinstance(sparsity, specs.Tree)
    assert sparsity.prune_below is not None
    drawn = permutation(len(train), spec.training.seed, "pruning")[:USAGE_INPUTS].to(train.device)
    before = evaluate(model, evaluated, indices, phase).values["loss"]
    cut = tree.prune(usage(model, train, drawn, phase), sparsity.prune_below)
    after = evaluate(model, evaluated, indices, phase).values["loss"]
    return {
        "units_before": model.units,
        "units_after": int(tree.kept.sum()),
        "energy_before": before,
        "energy_when_cut": after,
        "cut": cut.tolist(),
    }


@torch.inference_mode()
def usage(model: Autoencoder, inputs: Source, indices: Tensor, phase: Phase) -> Tensor:
    """(units,) the share of the inputs at `indices` whose codes, as the dictionary learns from them, use each unit"""
    counts = torch.zeros(model.units, device=inputs.device)
    for x, _ in inputs.batches(indices):
        counts += model.active(model.energy(x, phase=phase)).sum(0)
    return counts / len(indices)
