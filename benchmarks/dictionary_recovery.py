"""Is a known dictionary found again? Synthetic sparse signals, 50 % more units than inputs, recipe `sparse-coding`.

    python benchmarks/dictionary_recovery.py [--seeds 3] [--threads 2]

Every signal mixes a few of the true units with signed magnitudes between 1 and 2, plus noise. A true unit counts as
recovered where a learned one has |cosine| > 0.99 with it. The start is drawn from the signals, as always.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pinwheel.recipes import find
from pinwheel.specs import TrainSpec, merge
from worker.data.reader import from_arrays
from worker.data.store import write_dataset
from worker.training.loop import train
from worker.training.plan import Plan

INPUTS, UNITS, ACTIVE, SIGNALS = 64, 96, 5, 20_000
NOISE = 0.01
SETTINGS = {
    "preprocessing": {"patch_size": None, "scale": "none", "whiten": "none"},
    "model": {
        "connection": {"units": UNITS},
        "encoder": {"solver": {"max_iterations": 100, "tolerance": 1e-3}},
        "sparsity": {"weight": 0.1},
    },
    "training": {"epochs": 20, "batch_size": 200, "learning_rate": 0.01, "revive_after": 5000, "previews": 0},
}


def signals(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Signals (n, inputs) and the true dictionary (inputs, units)."""
    draw = np.random.default_rng(seed)
    truth = draw.standard_normal((INPUTS, UNITS))
    truth /= np.linalg.norm(truth, axis=0)
    codes = np.zeros((SIGNALS, UNITS))
    for code in codes:
        chosen = draw.choice(UNITS, ACTIVE, replace=False)
        code[chosen] = draw.uniform(1, 2, ACTIVE) * draw.choice([-1, 1], ACTIVE)
    x = codes @ truth.T + NOISE * draw.standard_normal((SIGNALS, INPUTS))
    return x.astype(np.float32), truth.astype(np.float32)


def recovered(seed: int, threads: int) -> tuple[float, float]:
    """The share of the true units found again, and the seconds it took."""
    x, truth = signals(seed)
    spec = merge(find("sparse-coding").spec.model_dump(mode="json"), SETTINGS | {})
    spec["training"]["seed"] = seed
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        write_dataset(from_arrays(x), here / "data")
        plan = Plan(
            spec=TrainSpec.model_validate_json(json.dumps(spec)), dataset=here / "data", out=here, threads=threads
        )
        began = time.monotonic()
        last = train(plan, lambda _: None, lambda: None)
        seconds = time.monotonic() - began
        found = load_file(here / last["bundle"] / "weights.safetensors")["layers.0.dictionary"]
    cosines = np.abs(truth.T @ (found / np.linalg.norm(found, axis=0)))
    return float((cosines.max(1) > 0.99).mean()), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    for seed in range(given.seeds):
        share, seconds = recovered(seed, given.threads)
        print(f"seed {seed}: {share:.1%} of {UNITS} units recovered in {seconds:.0f} s")


if __name__ == "__main__":
    main()
