"""What kernels learned on whole windows are worth against kernels learned on patches.

    python benchmarks/conv_group.py [--threads 2] [--seeds 2]

64 kernels of 9 × 9 pixels from the training region of the built-in photographs, locally normalised, with two penalties:

    l1      signed codes: `conv-group` with L1 on windows of 25 × 25; the recipe `sparse-coding` on patches of 9 × 9
    pools   codes ≥ 0, two kernels to a pool: the recipe `conv-group`; the recipe `group` on patches of 9 × 9

All four are then applied convolutionally to windows of the test region: codes of least energy under their penalty, for
several weights, near enough to the minimum for counting. At an equal number of active units, which leaves less
unexplained?
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from photographs import recipe_with, regions, trained
from torch import Tensor

from pinwheel.specs import Pools
from worker.data.inputs import Inputs
from worker.data.preprocess import Preprocessor
from worker.data.reader import open_dataset
from worker.sparse.connections import Conv
from worker.sparse.solvers import solve
from worker.sparse.sparsity import L1, Penalty
from worker.training.build import spatial_pools

WINDOW, SIZE, KERNELS, WINDOWS = 25, 9, 64, 100
WEIGHTS = (0.4, 0.6, 0.8, 1.1, 1.5, 2.0, 3.0)
ACTIVE = (40, 60, 90)
LCN = {"color": "gray", "whiten": "lcn", "lcn_sigma": 3.0, "scale": "none"}
PAIRS = {"kind": "pools", "size": 2, "weight": 1.0}
RELU = {"kind": "predict-refine", "activation": "relu"}
PATCHES: dict[str, Any] = {"preprocessing": {**LCN, "patch_size": SIZE}}
UNITS: dict[str, Any] = {"model": {"connection": {"units": KERNELS}}}
LASSO: dict[str, Any] = {
    "model": {"encoder": {"activation": "shrink"}, "sparsity": {"kind": "l1", "weight": 1.0}, "output": "code"}
}
# the recipe on windows, and the one on patches, each with its changes
SYSTEMS: dict[str, tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    "l1": (("conv-group", LASSO), ("sparse-coding", {"model": {"sparsity": {"weight": 1.0}}})),
    "pools": (("conv-group", {}), ("group", {"model": {"encoder": RELU, "sparsity": PAIRS}})),
}


def penalty(kind: str, weight: float, connection: Conv) -> Penalty:
    if kind == "l1":
        return L1(weight)
    return spatial_pools(Pools(layout="maps", size=2, window=2, weight=weight), connection)


def frontier(kind: str, kernels: Tensor, x: Tensor) -> tuple[list[float], list[float]]:
    """Mean active units and unexplained variance for each of WEIGHTS, fewest first."""
    connection = Conv(kernels / kernels.flatten(1).norm(dim=1)[:, None, None, None], (WINDOW, WINDOW, 1), fixed=True)
    linear_map, lipschitz = connection.known()
    active, unexplained = [], []
    for weight in sorted(WEIGHTS, reverse=True):
        found = solve(
            x,
            linear_map,
            penalty(kind, weight, connection),
            sign="signed" if kind == "l1" else "nonnegative",
            max_iterations=2000,
            tolerance=1e-5,
            lipschitz=lipschitz,
        )
        left = (x - connection.decode(found.code).detach()).square().sum()
        active.append(float((found.code != 0).sum(1).double().mean()))
        unexplained.append(float(left / (x - x.mean(0)).square().sum()))
    return active, unexplained


def test_windows(folder: Path) -> Tensor:
    preprocessor = Preprocessor(recipe_with("conv-group", 0).preprocessing, (WINDOW, WINDOW, 1))
    inputs = Inputs(open_dataset(folder), preprocessor, seed=1, side="validation")
    return inputs.take(torch.arange(0, len(inputs), len(inputs) // WINDOWS)[:WINDOWS])[0]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    print("| penalty | seed | active units | trained on windows | trained on patches |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        data = regions(Path(folder))
        x = test_windows(data["test"])
        for seed in range(given.seeds):
            for kind, (windows, patches) in SYSTEMS.items():
                out = Path(folder) / f"{kind} {seed}"
                specs = (
                    recipe_with(windows[0], seed, windows[1]),
                    recipe_with(patches[0], seed, PATCHES, UNITS, patches[1]),
                )
                loops = [trained(spec, data, out / str(number), given.threads) for number, spec in enumerate(specs)]
                kernels = [loop.stage.model.connection.first_encoder().reshape(-1, 1, SIZE, SIZE) for loop in loops]
                found = [frontier(kind, each, x) for each in kernels]
                for active in ACTIVE:
                    at = [float(np.interp(np.log(active), np.log(counts), left)) for counts, left in found]
                    print(f"| {kind} | {seed} | {active} | {at[0]:.4f} | {at[1]:.4f} |", flush=True)


if __name__ == "__main__":
    main()
