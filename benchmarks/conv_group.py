"""What kernels learned on whole windows are worth against kernels learned on patches.

    python benchmarks/conv_group.py [--threads 2] [--seeds 2] [--kernels 64] [--size 9] [--keep FOLDER]

Kernels from the training region of the built-in photographs, locally normalised, with two penalties:

    l1      signed codes: `conv-group` with L1 on windows of 25 × 25; the recipe `sparse-coding` on patches
    pools   codes ≥ 0: the recipe `conv-group`, with pools over 2 × 2 positions; the recipe `group` on patches, which
            have no positions, with one unit to a pool

All are then applied convolutionally to 25 × 25 windows of the test region, in one way for all: units at every position
that touches the window, so that all pixels count alike; codes of least 1/2 ‖x − D z‖² + weight ‖z‖₁ (signed, or ≥ 0
for `pools`), within 1e-3 of the least energy, for several weights. At an equal number of active units, which leaves
less unexplained? `--keep` keeps the trainings there and takes those that are there already.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from photographs import recipe_with, regions, trained
from safetensors.torch import load_file
from torch import Tensor

from worker.data.inputs import Inputs
from worker.data.preprocess import Preprocessor
from worker.data.reader import open_dataset
from worker.sparse.connections import Conv
from worker.sparse.solvers import solve
from worker.sparse.sparsity import L1

WINDOW, WINDOWS = 25, 100
WEIGHTS = (2.6, 2.0, 1.4, 1.0, 0.7, 0.5, 0.35)
ACTIVE = (40, 60, 90, 130)
LCN = {"color": "gray", "whiten": "lcn", "lcn_sigma": 3.0, "scale": "none"}
SINGLE = {"kind": "pools", "size": 1, "weight": 1.0}
RELU = {"kind": "predict-refine", "activation": "relu"}
LASSO: dict[str, Any] = {
    "model": {"encoder": {"activation": "shrink"}, "sparsity": {"kind": "l1", "weight": 1.0}, "output": "code"}
}
# the recipe on windows, and the one on patches, each with its changes; the sign of the codes
SYSTEMS: dict[str, tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]], str]] = {
    "l1": (("conv-group", LASSO), ("sparse-coding", {"model": {"sparsity": {"weight": 1.0}}}), "signed"),
    "pools": (("conv-group", {}), ("group", {"model": {"encoder": RELU, "sparsity": SINGLE}}), "nonnegative"),
}


def learned(
    system: str, seed: int, count: int, size: int, data: dict[str, Path], out: Path, threads: int
) -> list[Tensor]:
    """Kernels (count, 1, size, size) from windows and from patches."""
    windows, patches, _ = SYSTEMS[system]
    kernels: dict[str, Any] = {"model": {"connection": {"units": count}}}
    small: dict[str, Any] = {"preprocessing": {**LCN, "patch_size": size}}
    specs = {
        "windows": recipe_with(windows[0], seed, kernels, {"model": {"connection": {"kernel_size": size}}}, windows[1]),
        "patches": recipe_with(patches[0], seed, kernels, small, patches[1]),
    }
    found = []
    for name, spec in specs.items():
        folder = out / f"{system} {count} of {size} seed {seed}, {name}"
        if not list(folder.glob("bundles/*/weights.safetensors")):
            trained(spec, data, folder, threads)
        (weights,) = folder.glob("bundles/*/weights.safetensors")
        dictionary = load_file(weights)["layers.0.dictionary"]
        found.append(dictionary if dictionary.dim() > 2 else dictionary.t().reshape(count, 1, size, size))
    return found


def frontier(sign: str, kernels: Tensor, x: Tensor) -> tuple[list[float], list[float]]:
    """Mean active units and unexplained variance for each of WEIGHTS, fewest first."""
    norms = kernels.flatten(1).norm(dim=1)[:, None, None, None]
    connection = Conv(kernels / norms, (WINDOW, WINDOW, 1), padding=kernels.shape[-1] - 1, fixed=True)
    linear_map = connection.linear_map()
    active, unexplained = [], []
    for weight in WEIGHTS:
        found = solve(x, linear_map, L1(weight), sign=sign, method="active-set", max_iterations=10_000, tolerance=1e-3)
        assert found.gap is not None
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
    parser.add_argument("--kernels", type=int, default=64)
    parser.add_argument("--size", type=int, default=9)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print("| penalty | seed | active units | trained on windows | trained on patches |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        data = regions(Path(temporary))
        x = test_windows(data["test"])
        out = given.keep or Path(temporary)
        for seed in range(given.seeds):
            for system in given.systems:
                kernels = learned(system, seed, given.kernels, given.size, data, out, given.threads)
                found = [frontier(SYSTEMS[system][2], each, x) for each in kernels]
                for active in ACTIVE:
                    at = [float(np.interp(np.log(active), np.log(counts), left)) for counts, left in found]
                    print(f"| {system} | {seed} | {active} | {at[0]:.4f} | {at[1]:.4f} |", flush=True)


if __name__ == "__main__":
    main()
