"""How fast are convolutional codes found? The same sparse coding of photographs by Pinwheel and by SPORCO.

    pip install -e .[bench]
    python benchmarks/conv_peers.py [--threads 1] [--side 256] [--images 1] [--repeats 3]

64 Gabor kernels of 9 × 9 pixels, whitened photographs that close on themselves (SPORCO's ADMM solves in Fourier space
and knows no borders), 1/2 ‖x − Σ D_k ∗ z_k‖² + λ Σ |z_k|. One function, in double precision and of neither program,
says the energy of both codes; the least one is what our solver reaches in LONG iterations. For each of LEVELS above it
each solver is timed over as many iterations as it needs to be below, from the image to the code, in turn, with equal
threads; medians. Not timed: what belongs to the dictionary alone.

SPORCO works in single precision, without statistics (`FastSolve`), with its default relaxation 1.8, and takes for
every level the best of SETTINGS: its adaptive penalty parameter from several first values, or a fixed one.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from photographs import images
from torch import Tensor

from pinwheel.specs import Preprocessing
from worker.data.images import normalised, pixels_of
from worker.sparse.connections import Conv
from worker.sparse.solvers import Solution, solve
from worker.sparse.sparsity import L1

Array = NDArray[np.float32]

KERNELS, SIZE, WEIGHT = 64, 9, 0.5
LEVELS = (1e-1, 3e-2, 1e-2, 1e-3)
EDGE = SIZE // 2
LONGEST, LONG = 400, 2000
# first penalty parameter of ADMM (None: its default, 50 λ + 1), and whether it adapts
SETTINGS: tuple[tuple[float | None, bool], ...] = (
    (None, True),
    (10.0, True),
    (100.0, True),
    (10.0, False),
    (30.0, False),
)


def kernels() -> Array:
    """(64, 9, 9) Gabors of norm 1: eight orientations, two frequencies, two phases, two widths."""
    grid = np.arange(SIZE) - EDGE
    y, x = np.meshgrid(grid, grid, indexing="ij")
    found = []
    for number in range(KERNELS):
        angle, rest = np.pi * (number % 8) / 8, number // 8
        frequency, phase, width = (0.12, 0.22)[rest % 2], (0, np.pi / 2)[rest // 2 % 2], (1.5, 2.2)[rest // 4]
        along = np.cos(angle) * x + np.sin(angle) * y
        gabor = np.exp(-(x**2 + y**2) / (2 * width**2)) * np.cos(2 * np.pi * frequency * along + phase)
        found.append(gabor / np.linalg.norm(gabor))
    return np.stack(found).astype(np.float32)


def photographs(count: int, side: int) -> Array:
    """(count, side, side), locally normalised"""
    spec = Preprocessing(color="gray", whiten="fourier", lcn_sigma=6.0)
    whole = [normalised(pixels_of(image[None]), spec).pixels[0, ..., 0] for image in images()[:count]]
    return np.stack([each[:side, :side].numpy() for each in whole])


def energy(codes: Array, x: Array, filters: Array) -> float:
    """Of codes (images, side, side, kernels); a kernel at row r, column c writes to r … r + 8, c … c + 8."""
    side = x.shape[-1]
    spectra = np.fft.rfft2(filters.astype(np.float64), s=(side, side))
    total = 0.0
    for code, image in zip(codes, x, strict=True):
        maps = np.fft.rfft2(code.transpose(2, 0, 1).astype(np.float64))
        left = image - np.fft.irfft2((spectra * maps).sum(0), s=(side, side))
        total += 0.5 * float(np.square(left).sum()) + WEIGHT * float(np.abs(code.astype(np.float64)).sum())
    return total


class Circular(Conv):
    """A convolution over images that close on themselves, a unit at each pixel."""

    def _coverage(self) -> Tensor | None:
        return None

    def _padded(self, x: Tensor) -> Tensor:
        maps = x.view(len(x), 1, *self.image[:2])
        return torch.nn.functional.pad(maps, (EDGE, EDGE, EDGE, EDGE), mode="circular").flatten(1)

    def _unpadded(self, x: Tensor) -> Tensor:
        framed = x.view(len(x), *self._padded_sides).clone()
        for axis in (1, 2):
            side = framed.shape[axis] - 2 * EDGE
            inner = framed.narrow(axis, EDGE, side).clone()
            inner.narrow(axis, 0, EDGE).add_(framed.narrow(axis, EDGE + side, EDGE))
            inner.narrow(axis, side - EDGE, EDGE).add_(framed.narrow(axis, 0, EDGE))
            framed = inner
        return framed.flatten(1)

    def columns_of(self, units: Tensor) -> tuple[Tensor, Tensor]:
        (height, width, _), steps = self.image, torch.arange(SIZE) - EDGE
        rows, columns, filters = self._place_of(units)
        down, right = (rows[:, None] + steps) % height, (columns[:, None] + steps) % width
        return (down[:, :, None] * width + right[:, None]).flatten(1), self.dictionary.detach()[filters].flatten(1)


class Ours:
    settings: tuple[Any, ...] = (None,)

    def __init__(self, x: Array, filters: Array, threads: int) -> None:
        torch.set_num_threads(threads)
        self.side = x.shape[-1]
        image = (self.side, self.side, 1)
        self.map = Circular(torch.from_numpy(filters)[:, None], image, padding=EDGE, fixed=True).linear_map()
        self.x = torch.from_numpy(x).flatten(1)

    def solved(self, iterations: int, trace: bool = False) -> Solution:
        return solve(
            self.x,
            self.map,
            L1(WEIGHT),
            method="active-set",
            max_iterations=iterations,
            tolerance=0,
            trace=trace,
        )

    def run(self, setting: Any, iterations: int) -> tuple[float, Array]:
        start = time.perf_counter()
        found = self.solved(iterations)
        taken = time.perf_counter() - start
        code: Array = found.code.view(-1, self.side, self.side, KERNELS).numpy()
        # ours count positions from the middle of a kernel
        return taken, np.roll(code, (-EDGE, -EDGE), (1, 2))

    def energies(self, setting: Any, longest: int, goal: float, of: Callable[[Array], float]) -> dict[int, float]:
        """After numbers of iterations, as the solver counts them."""
        return {number: float(each.sum()) for number, each in enumerate(self.solved(longest, trace=True).energies)}


class Sporco:
    settings: tuple[Any, ...] = SETTINGS

    def __init__(self, x: Array, filters: Array, threads: int) -> None:
        import sporco.fft

        sporco.fft.pyfftw_threads = threads
        self.x, self.filters = (np.ascontiguousarray(each.transpose(1, 2, 0)) for each in (x, filters))

    def solver(self, setting: tuple[float | None, bool], iterations: int, callback: Any = None) -> Any:
        from sporco.admm import cbpdn

        told: dict[str, Any] = {"Verbose": False, "MaxMainIter": iterations, "RelStopTol": 0.0, "DataType": np.float32}
        told |= {"HighMemSolve": True, "FastSolve": True, "AutoRho": {"Enabled": setting[1]}, "Callback": callback}
        told |= {} if setting[0] is None else {"rho": setting[0]}
        return cbpdn.ConvBPDN(self.filters, self.x, WEIGHT, cbpdn.ConvBPDN.Options(told), dimK=1)

    def run(self, setting: Any, iterations: int) -> tuple[float, Array]:
        solver = self.solver(setting, iterations)
        start = time.perf_counter()
        code = solver.solve()
        return time.perf_counter() - start, self.by_image(code)

    def energies(self, setting: Any, longest: int, goal: float, of: Callable[[Array], float]) -> dict[int, float]:
        """After numbers of iterations in steps of a tenth, until they are below the goal."""
        found: dict[int, float] = {}

        def look(solver: Any) -> bool:
            done = solver.k + 1
            if done >= 1.1 * max(found, default=0):
                found[done] = of(self.by_image(solver.getmin()))
            return min(found.values()) <= goal

        self.solver(setting, longest, look).solve()
        return found

    @staticmethod
    def by_image(code: Array) -> Array:
        """(side, side, 1, images, kernels) → (images, side, side, kernels)"""
        return code[:, :, 0].transpose(2, 0, 1, 3)


def iterations_for(
    method: Ours | Sporco, goals: list[float], longest: int, of: Callable[[Array], float]
) -> list[tuple[int, Any] | None]:
    """For each goal the fewest iterations that reach it, and the setting that does so; None where none does."""
    best: list[tuple[int, Any] | None] = [None] * len(goals)
    for setting in method.settings:
        reached = method.energies(setting, longest, min(goals), of)
        for place, goal in enumerate(goals):
            number = min((number for number, value in reached.items() if value <= goal), default=None)
            known = best[place]
            if number is not None and (known is None or number < known[0]):
                best[place] = number, setting
    return best


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    x, filters = photographs(given.images, given.side), kernels()

    def of(codes: Array) -> float:
        return energy(codes, x, filters)

    ours, peer = Ours(x, filters, given.threads), Sporco(x, filters, given.threads)
    code = ours.run(None, LONG)[1]
    least = of(code)
    print(f"least energy {least:.2f}, with {(code != 0).mean():.2%} of the units; that of no code {of(0 * code):.2f}\n")
    goals = [(1 + level) * least for level in LEVELS]
    found = [iterations_for(method, goals, LONGEST, of) for method in (ours, peer)]
    print("| above the least | Pinwheel, iterations | s | SPORCO, iterations | s | rho, adaptive | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for level, goal, mine, theirs in zip(LEVELS, goals, *found, strict=True):
        if mine is None or theirs is None:
            print(f"| {level} | {mine} | | {theirs} | | | not reached in {LONGEST} iterations |")
            continue
        times: list[list[float]] = [[], []]
        for _ in range(given.repeats):
            for place, (method, (iterations, setting)) in enumerate(((ours, mine), (peer, theirs))):
                taken, code = method.run(setting, iterations)
                times[place].append(taken)
                if of(code) > goal * (1 + 1e-5):
                    raise RuntimeError(f"{type(method).__name__} is at {of(code)}, above {goal}")
        a, b = (statistics.median(each) for each in times)
        print(f"| {level} | {mine[0]} | {a:.3f} | {theirs[0]} | {b:.3f} | {theirs[1]} | {b / a:.1f} |", flush=True)


if __name__ == "__main__":
    main()
