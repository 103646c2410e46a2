"""Does a tree fill in missing pixels better than a flat dictionary? After Jenatton, Mairal, Obozinski and Bach,
JMLR 12, 2011, section 5.2, on the built-in photographs.

    python benchmarks/tree_inpainting.py [--seeds 3] [--threads 2]

Dictionaries of equal size learn 8 × 8 patches (mean 0, deviation 1) with the recipes `tree` and `sparse-coding`, with
the same data, solver, rate and updates. The code of a test patch is found from its visible pixels alone: the rows of
the dictionary that belong to them. Reported is

    100 Σ (x − D z)² / Σ x²     over the hidden pixels of all test patches

Photographs are cut by columns: training 0 to 70 %, validation 70 to 85 %, test from 85 %. For each share of hidden
pixels, the weight in training and the weight in inference are those of least error on the validation patches, from
the same grids for both penalties. A hundred patches have a mask in common.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from photographs import recipe_with, regions, trained
from torch import Tensor

from pinwheel.specs import Preprocessing
from worker.data.inputs import Inputs
from worker.data.preprocess import Preprocessor
from worker.data.random import generator_for
from worker.data.reader import open_dataset
from worker.sparse.solvers import solve
from worker.sparse.sparsity import L1, Penalty, Tree

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
BRANCHING, UNITS = [10, 2, 2], 71
TRAINING_WEIGHTS = (0.2, 0.4, 0.8, 1.6)
INFERENCE_WEIGHTS = tuple(0.8 * 2.0**-k for k in range(7))  # falling: each starts from the code of the one before
MASKS, PATCHES_PER_MASK = {"validation": 8, "test": 20}, 100
SHARED: dict[str, Any] = {
    "preprocessing": {"patch_size": 8, "scale": "standard", "whiten": "none"},
    "model": {
        "connection": {"units": UNITS, "norm": "fixed", "update": "adam"},
        "encoder": {"solver": {"max_iterations": 30, "tolerance": 0}},
    },
    "training": {"epochs": 1, "batch_size": 250, "learning_rate": 0.02, "revive_after": 20_000, "previews": 0},
}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "flat": ("sparse-coding", {}),
    "tree": ("tree", {"model": {"sparsity": {"shape": {"branching": BRANCHING}}}}),
}


@dataclass(frozen=True)
class Dictionary:
    columns: Tensor  # (inputs, units)
    sparsity: Penalty
    weight: float  # it was trained with


@dataclass(frozen=True)
class Split:
    """Patches (n, inputs) of one region, and which of their pixels are seen."""

    x: Tensor
    region: str
    seed: int

    def visible(self, share: float) -> list[Tensor]:
        """The visible pixels of each mask where `share` of all are hidden; those at 90 % are part of those at 50 %."""
        count = self.x.shape[1] - round(share * self.x.shape[1])
        generator = generator_for(self.seed, self.region)
        return [torch.randperm(self.x.shape[1], generator=generator)[:count] for _ in range(MASKS[self.region])]


def weighted(sparsity: Penalty, weight: float) -> Penalty:
    return Tree(sparsity.parent, weight, sparsity.norm) if isinstance(sparsity, Tree) else L1(weight)


def errors(split: Split, share: float, dictionary: Dictionary, weights: tuple[float, ...], most: int) -> list[float]:
    """The error in percent at each inference weight."""
    wrong, total = np.zeros(len(weights)), 0.0
    for x, visible in zip(torch.split(split.x, PATCHES_PER_MASK), split.visible(share), strict=True):
        hidden = torch.ones(x.shape[1], dtype=torch.bool)
        hidden[visible] = False
        rows, code = dictionary.columns[visible], None
        total += float(x[:, hidden].square().sum())
        for number, weight in enumerate(weights):
            penalty = weighted(dictionary.sparsity, weight)
            code = solve(x[:, visible], rows, penalty, max_iterations=most, tolerance=0, start=code).code
            guess = code @ dictionary.columns[hidden].t()
            wrong[number] += float((x[:, hidden] - guess).square().sum())
    return list(100 * wrong / total)


def chosen(validation: Split, share: float, dictionaries: list[Dictionary]) -> tuple[Dictionary, float]:
    """The dictionary and the inference weight of least error on the validation patches."""
    found = [
        (error, number, weight)
        for number, dictionary in enumerate(dictionaries)
        for error, weight in zip(
            errors(validation, share, dictionary, INFERENCE_WEIGHTS, 60), INFERENCE_WEIGHTS, strict=True
        )
    ]
    _, number, weight = min(found)
    return dictionaries[number], weight


def learned(kind: str, seed: int, threads: int, data: dict[str, Path], folder: Path) -> list[Dictionary]:
    """One dictionary for each weight in training."""
    recipe, own = RECIPES[kind]
    found = []
    for weight in TRAINING_WEIGHTS:
        spec = recipe_with(recipe, seed, SHARED, own, {"model": {"sparsity": {"weight": weight}}})
        model = trained(spec, data, folder / f"{kind}-{weight}", threads).stage.model
        found.append(Dictionary(model.connection.dictionary.detach(), model.sparsity, weight))
    return found


def splits(data: dict[str, Path], seed: int) -> dict[str, Split]:
    """Validation and test patches, scaled as those of the trainings are."""
    found = {}
    for region in ("validation", "test"):
        dataset = open_dataset(data[region])
        preprocessor = Preprocessor.fitted(Preprocessing(**SHARED["preprocessing"]), dataset, None, seed)
        inputs = Inputs(dataset, preprocessor, seed=seed, side="validation")
        drawn = torch.randperm(len(inputs), generator=generator_for(seed, region))[: MASKS[region] * PATCHES_PER_MASK]
        found[region] = Split(inputs.take(drawn)[0], region, seed)
    return found


def table_of(seed: int, threads: int) -> NDArray[np.float64]:
    """(2, shares) test errors of flat and tree."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = regions(Path(folder))
        split = splits(data, seed)
        for kind in RECIPES:
            dictionaries, row = learned(kind, seed, threads, data, Path(folder)), []
            for share in SHARES:
                best, weight = chosen(split["validation"], share, dictionaries)
                row += errors(split["test"], share, best, (weight,), 200)
                print(
                    f"seed {seed} {kind} {share:.0%}: {row[-1]:.1f} (weights {best.weight}, {weight:.3g})", flush=True
                )
            rows.append(row)
    return np.array(rows)


def print_table(tables: NDArray[np.float64]) -> None:
    """`tables` (seeds, 2, shares)"""
    values = np.concatenate([tables, tables[:, :1] - tables[:, 1:]], axis=1)
    mean = values.mean(0)
    spread = values.std(0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.zeros_like(mean)
    print("| hidden | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |")
    print("| --- |" + " --- |" * len(SHARES))
    for name, means, errors_of_mean in zip(("flat", "tree", "flat − tree"), mean, spread, strict=True):
        cells = (f"{value:.1f} ± {error:.1f}" for value, error in zip(means, errors_of_mean, strict=True))
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    print_table(np.array([table_of(seed, given.threads) for seed in range(given.seeds)]))


if __name__ == "__main__":
    main()
