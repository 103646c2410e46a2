"""How fast are convolutional codes found? The same sparse coding of a photograph by Pinwheel and by SPORCO.

    pip install -e .[bench]
    python benchmarks/conv_peers.py [--threads 2] [--side 256] [--repeats 3]

64 Gabor kernels of 9 × 9 pixels, one whitened photograph, 1/2 ‖x − Σ D_k ∗ z_k‖² + λ Σ |z_k|. SPORCO's ADMM works on
images that close on themselves, ours on images with borders: each solver has its own problem, and its time is that
until its energy is within 1e-3 of the least that it reaches in many iterations. One process, equal threads, in turn,
medians.
"""

import argparse
import os
import statistics
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from photographs import images

from pinwheel.specs import Preprocessing
from worker.data.images import normalised, pixels_of
from worker.sparse.connections import Conv
from worker.sparse.solvers import solve
from worker.sparse.sparsity import L1

KERNELS, SIZE, WEIGHT, GOAL = 64, 9, 0.5, 1e-3
ITERATIONS = (10, 20, 30, 50, 70, 100, 150, 200, 300)
LONGEST = 1500


def kernels() -> NDArray[np.float32]:
    """(64, 9, 9) Gabors of norm 1: eight orientations, two frequencies, two phases, two widths."""
    grid = np.arange(SIZE) - SIZE // 2
    y, x = np.meshgrid(grid, grid, indexing="ij")
    found = []
    for number in range(KERNELS):
        angle, rest = np.pi * (number % 8) / 8, number // 8
        frequency, phase, width = (0.12, 0.22)[rest % 2], (0, np.pi / 2)[rest // 2 % 2], (1.5, 2.2)[rest // 4]
        along = np.cos(angle) * x + np.sin(angle) * y
        gabor = np.exp(-(x**2 + y**2) / (2 * width**2)) * np.cos(2 * np.pi * frequency * along + phase)
        found.append(gabor / np.linalg.norm(gabor))
    return np.stack(found).astype(np.float32)


def photograph(side: int) -> NDArray[np.float32]:
    """(side, side), locally normalised"""
    whole = normalised(
        pixels_of(images()[0][None]), Preprocessing(color="gray", whiten="fourier", lcn_sigma=6.0)
    ).pixels[0, ..., 0]
    return whole[:side, :side].numpy()


class Ours:
    name = "Pinwheel, FISTA"

    def __init__(self, image: NDArray[np.float32], filters: NDArray[np.float32]) -> None:
        side = len(image)
        self.connection = Conv(torch.from_numpy(filters)[:, None], (side, side, 1), padding=SIZE - 1, fixed=True)
        self.x = torch.from_numpy(image).reshape(1, -1)

    def run(self, iterations: int) -> None:
        linear_map, lipschitz = self.connection.known()
        found = solve(self.x, linear_map, L1(WEIGHT), max_iterations=iterations, tolerance=0, lipschitz=lipschitz)
        self.code = found.code

    def energy(self) -> float:
        left = self.connection.errors(self.x, self.connection.decode(self.code).detach())
        return float(left) + WEIGHT * float(self.code.abs().sum())


class Sporco:
    name = "SPORCO, ADMM"

    def __init__(self, image: NDArray[np.float32], filters: NDArray[np.float32]) -> None:
        self.image, self.filters = image, np.ascontiguousarray(filters.transpose(1, 2, 0))

    def run(self, iterations: int) -> None:
        from sporco.admm import cbpdn

        told = {"Verbose": False, "MaxMainIter": iterations, "RelStopTol": 0.0, "DataType": np.float32}
        options = cbpdn.ConvBPDN.Options({**told, "HighMemSolve": True, "AutoRho": {"Enabled": True}})
        self.solver: Any = cbpdn.ConvBPDN(self.filters, self.image, WEIGHT, options, dimK=0)
        self.code = self.solver.solve()

    def energy(self) -> float:
        left = self.solver.reconstruct().squeeze() - self.image
        return 0.5 * float(np.square(left).sum()) + WEIGHT * float(np.abs(self.code).sum())


def seconds_to(method: Ours | Sporco, least: float, repeats: int) -> tuple[int, float]:
    """Iterations and median seconds until the energy is within GOAL of `least`."""
    for iterations in ITERATIONS:
        method.run(iterations)
        if method.energy() <= (1 + GOAL) * least:
            break
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        method.run(iterations)
        found.append(time.perf_counter() - start)
    return iterations, statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    image, filters = photograph(given.side), kernels()
    times = []
    print("| solver | least energy | iterations to 1e-3 of it | seconds |")
    print("| --- | --- | --- | --- |")
    for method in (Ours(image, filters), Sporco(image, filters)):
        method.run(LONGEST)
        least = method.energy()
        iterations, taken = seconds_to(method, least, given.repeats)
        times.append(taken)
        print(f"| {method.name} | {least:.1f} | {iterations} | {taken:.2f} |", flush=True)
    print(f"\nratio {times[1] / times[0]:.1f}")


if __name__ == "__main__":
    main()
