"""How fast are codes found? The same lasso problems to the same accuracy, by Pinwheel, SPAMS and scikit-learn.

    python benchmarks/solver_peers.py [--threads 2] [--repeats 5]

Whitened 12 × 12 patches of the built-in photographs, a dictionary of 256 units learned by the recipe `sparse-coding`.
Excess energy is (energy − least energy) / least energy over all patches. Pinwheel runs at the loosest tolerance that
leaves less than 1e-3 of it, and once more at a tolerance of 1e-3 for every single patch; SPAMS (homotopy) and
scikit-learn have no such setting and go to the end. Equal threads, in turn, medians of the repeats.
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

PATCHES, UNITS, WEIGHT, GOAL = 2000, 256, 1.0, 1e-3
Codes = NDArray[np.floating]
Method = Callable[[Codes, Codes], Codes]
TOLERANCES = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)


def energies(x: Codes, dictionary: Codes, code: Codes) -> NDArray[np.float64]:
    left = x.astype(np.float64) - code.astype(np.float64) @ dictionary.T.astype(np.float64)
    return 0.5 * np.square(left).sum(1) + WEIGHT * np.abs(code.astype(np.float64)).sum(1)


def ours(method: str, tolerance: float) -> Method:
    def run(x: Codes, dictionary: Codes) -> Codes:
        found = solve(
            torch.from_numpy(x),
            torch.from_numpy(dictionary),
            L1(WEIGHT),
            method=method,
            max_iterations=2000,
            tolerance=tolerance,
        )
        return found.code.numpy()

    return run


def spams_lars(threads: int) -> Method:
    import spams

    def run(x: Codes, dictionary: Codes) -> Codes:
        found = spams.lasso(
            np.asfortranarray(x.T), D=np.asfortranarray(dictionary), lambda1=WEIGHT, mode=2, numThreads=threads
        )
        return found.toarray().T

    return run


def sklearn_encode(algorithm: str) -> Method:
    from sklearn.decomposition import sparse_encode

    def run(x: Codes, dictionary: Codes) -> Codes:
        # its lasso divides the energy by nothing: alpha is the weight
        return sparse_encode(x, np.ascontiguousarray(dictionary.T), algorithm=algorithm, alpha=WEIGHT, max_iter=2000)

    return run


def main() -> None:
    warnings.simplefilter("ignore")  # scikit-learn says of every patch that float32 has an end
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    x = whitened_patches(PATCHES, patch_size=12)
    dictionary = learned_dictionary("sparse-coding", UNITS, given.threads)
    exact = solve(
        torch.from_numpy(x).double(), torch.from_numpy(dictionary).double(), L1(WEIGHT), max_iterations=20_000,
        tolerance=1e-9,
    )  # fmt: skip
    least = energies(x, dictionary, exact.code.numpy())

    def excess(code: Codes) -> float:
        return float((energies(x, dictionary, code) - least).sum() / least.sum())

    loosest = next(t for t in TOLERANCES if excess(ours("fista", t)(x, dictionary)) < GOAL)
    methods = {
        f"pinwheel fista, {loosest}": ours("fista", loosest),
        "pinwheel fista, 1e-3 each": ours("fista", 1e-3),
        "pinwheel coordinates, 1e-3 each": ours("coordinate-descent", 1e-3),
        "SPAMS lasso (LARS)": spams_lars(given.threads),
        "scikit-learn lasso_cd": sklearn_encode("lasso_cd"),
        "scikit-learn lasso_lars": sklearn_encode("lasso_lars"),
    }
    print(f"{PATCHES} patches, {UNITS} units, weight {WEIGHT}, l0 {np.count_nonzero(exact.code) / PATCHES:.1f}")
    times: dict[str, list[float]] = {name: [] for name in methods}
    errors = {}
    for _ in range(given.repeats):
        for name, method in methods.items():
            began = time.perf_counter()
            code = method(x, dictionary)
            times[name].append(time.perf_counter() - began)
            errors[name] = excess(code)
    first = median(next(iter(times.values())))
    for name in methods:
        seconds = median(times[name])
        print(f"{name:32} {1e3 * seconds:9.1f} ms  {seconds / first:7.2f} × the first  excess {errors[name]:.1e}")


if __name__ == "__main__":
    main()
