"""What does cutting the rarely used branches of a tree of 401 units cost? Recipe `tree`, built-in photographs.

    python benchmarks/tree_pruning.py [--seeds 1] [--threads 2]

Branches used for less than `prune_below` of the training patches are cut after 70 % of the updates. The energy on
validation patches (the columns from 70 to 85 % of every photograph) is compared with that right before the cut, and
with that of the same training without a cut.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from photographs import recipe_with, regions, trained

SETTINGS: dict[str, Any] = {
    "model": {
        "connection": {"units": 401},
        "encoder": {"solver": {"max_iterations": 30, "tolerance": 0}},
        "sparsity": {"weight": 1.8, "shape": {"branching": [40, 3, 2]}},
    },
    "training": {"epochs": 1, "batch_size": 250, "previews": 0},
}
CUT: dict[str, Any] = {"model": {"sparsity": {"prune_below": 0.08, "prune_at": 0.7}}}


def record(seed: int, threads: int, data: dict[str, Path], out: Path, *changes: dict[str, Any]) -> dict[str, Any]:
    """model.json of a training with these changes."""
    trained(recipe_with("tree", seed, SETTINGS, *changes), data, out, threads)
    found: dict[str, Any] = json.loads((out / "bundles" / "1" / "model.json").read_text())
    return found


def row(seed: int, threads: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        data = regions(Path(folder))
        pruned = record(seed, threads, data, Path(folder) / "pruned", CUT)
        whole = record(seed, threads, data, Path(folder) / "whole")
    told, uncut = pruned["pruning"], whole["metrics"]["loss"]
    before, after = told["units_before"], told["units_after"]
    return (
        f"| {seed} | {before} | {after} | {1 - after / before:.1%} | {told['energy_before']:.3f} "
        f"| {told['energy_when_cut']:.3f} | {told['energy_after']:.3f} | {uncut:.3f} "
        f"| {told['energy_after'] / uncut - 1:+.2%} | {told['energy_after'] / told['energy_before'] - 1:+.2%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    names = "seed", "units", "left", "cut", "energy before the cut", "right after", "at the end", "never cut"
    print("| " + " | ".join((*names, "end against never cut", "end against before the cut")) + " |")
    print("| --- " * (len(names) + 2) + "|")
    for seed in range(given.seeds):
        print(row(seed, given.threads), flush=True)


if __name__ == "__main__":
    main()
