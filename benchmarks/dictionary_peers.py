"""How fast is a dictionary learned? One pass over the same patches, by Pinwheel, SPAMS and scikit-learn.

    python benchmarks/dictionary_peers.py [--threads 2] [--repeats 3]

100 000 whitened 12 × 12 patches of the built-in photographs, 256 units, L1 weight 1, batches of 200. What counts is the
mean energy of exact codes on 2000 patches that none of them has seen, and the seconds. Pinwheel's time has its metrics,
checkpoints and bundle in it.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from photographs import learned_dictionary, whitened_patches

from worker.sparse.solvers import solve
from worker.sparse.sparsity import L1

UNITS, WEIGHT, BATCH, PATCHES = 256, 1.0, 200, 100_000
Dictionary = NDArray[np.floating]


def energy(x: Dictionary, dictionary: Dictionary) -> float:
    """Mean over the patches, at exact codes."""
    given, columns, part = torch.from_numpy(x), torch.from_numpy(np.ascontiguousarray(dictionary)).float(), L1(WEIGHT)
    code = solve(given, columns, part, max_iterations=2000, tolerance=1e-4).code
    return float((0.5 * (given - code @ columns.t()).square().sum(1) + part.energies(code)).mean())


def spams_train(x: Dictionary, threads: int) -> Dictionary:
    import spams

    return spams.trainDL(
        np.asfortranarray(x.T), K=UNITS, lambda1=WEIGHT, mode=2, batchsize=BATCH, iter=len(x) // BATCH,
        numThreads=threads, verbose=False,
    )  # fmt: skip


def sklearn_train(x: Dictionary, threads: int) -> Dictionary:
    from sklearn.decomposition import MiniBatchDictionaryLearning

    model = MiniBatchDictionaryLearning(
        UNITS, alpha=WEIGHT, batch_size=BATCH, max_iter=1, fit_algorithm="lars", n_jobs=threads, random_state=0
    )
    return model.fit(x).components_.T


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    x, held_out = whitened_patches(PATCHES, 12, seed=0), whitened_patches(2000, 12, seed=1)
    methods: dict[str, Callable[[], Dictionary]] = {
        "pinwheel": lambda: learned_dictionary("sparse-coding", UNITS, given.threads),
        "SPAMS trainDL": lambda: spams_train(x, given.threads),
        "scikit-learn MiniBatch": lambda: sklearn_train(x, given.threads),
    }
    times: dict[str, list[float]] = {name: [] for name in methods}
    reached: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(given.repeats):
        for name, method in methods.items():
            began = time.perf_counter()
            dictionary = method()
            times[name].append(time.perf_counter() - began)
            reached[name].append(energy(held_out, dictionary))
    for name in methods:
        ratio = median(times[name]) / median(times["pinwheel"])
        print(f"{name:24} {median(times[name]):7.1f} s ({ratio:.2f} ×)  energy {median(reached[name]):.3f}", flush=True)


if __name__ == "__main__":
    main()
