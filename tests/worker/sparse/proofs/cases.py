"""Small random problems, and every norm of the core beside the oracle's form of it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.sparse.sparsity import L1, Pools, Tree
from worker.sparse.sparsity.pools import disjoint_pools

from .oracles import Array, Norm, l1_norm, tree_norm

UNITS, INPUTS = 12, 8

# Three levels below one root; a chain; parents that come after their children; three trees of uneven depth.
BINARY = [-1, 0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6]
CHAIN = [-1, *range(11)]
UPSIDE_DOWN = [5, 5, 6, 6, 9, 9, 10, 10, 10, 11, 11, -1]
FOREST = [3, -1, 1, 1, 1, 7, 7, -1, 5, 0, -1, 8]
TREES = {"binary": BINARY, "chain": CHAIN, "upside-down": UPSIDE_DOWN, "forest": FOREST}


@dataclass(frozen=True)
class Case:
    """A part of the core, made from a weight, and the same norm for the oracles."""

    part: Callable[[float], L1 | Pools | Tree]
    norm: Callable[[float], Norm]


def _tree_case(parents: list[int], name: str) -> Case:
    parent = torch.tensor(parents)
    return Case(
        lambda weight: Tree(parent, weight, norm=name),
        lambda weight: tree_norm(parents, weight, largest=name == "linf"),
    )


def _pools_case(size: int) -> Case:
    groups = [list(range(first, first + size)) for first in range(0, UNITS, size)]
    return Case(
        lambda weight: Pools(disjoint_pools(UNITS, size), UNITS, weight=weight, disjoint=True),
        lambda weight: Norm(weight, groups),
    )


NORMS: dict[str, Case] = {
    "l1": Case(L1, lambda weight: l1_norm(UNITS, weight)),
    "pools of 3": _pools_case(3),
    "pools of 4": _pools_case(4),
    "one pool": _pools_case(UNITS),
    **{f"{shape} {name}": _tree_case(parents, name) for shape, parents in TREES.items() for name in ("l2", "linf")},
}


def problem(seed: int, batch: int = 3, *, inputs: int = INPUTS, units: int = UNITS) -> tuple[Tensor, Tensor]:
    """Inputs (batch, inputs) and a dictionary (inputs, units) with columns of norm 1."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(batch, inputs, dtype=torch.float64, generator=generator)
    dictionary = torch.randn(inputs, units, dtype=torch.float64, generator=generator)
    return x, torch.nn.functional.normalize(dictionary, dim=0)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def array(values: Tensor) -> Array:
    return np.asarray(values.detach().numpy(), dtype=np.float64)
