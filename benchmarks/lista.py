"""How many iterations of FISTA is a pass of LISTA worth? Whitened 10 × 10 photograph patches, recipe `lista`.

    python benchmarks/lista.py [--units 100 400] [--passes 1 2 3 4 7] [--seeds 1] [--threads 2] [--plot FILE.png]

The dictionary is learned by sparse coding with the recipe's preprocessing; the encoders begin as ISTA and learn to
predict exact codes, as in the recipe's second phase, with codes that are found once and kept instead of once per step.

    error = mean ‖z − z*‖² / mean ‖z*‖²       z* exact: relative duality gap below 1e-8, in float64

A pass is one shrinkage: pass 1 is h(E x), the first ISTA iteration from zero, so that T passes stand against T
iterations. The paper counts uses of S: its T is T + 1 here. Every photograph is cut by columns: training 0 to 70 %,
validation 70 to 85 %, test from 85 %. The whitening of the recipe is soft: where it
flattens the spectrum, FISTA converges in a few iterations and leaves little to save.
"""

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from photographs import recipe_with, regions, trained
from torch import Tensor

from worker.data.inputs import Inputs
from worker.data.random import generator_for
from worker.data.reader import open_dataset
from worker.sparse.encoders import Recurrent
from worker.sparse.encoders.recurrent import ista_matrices
from worker.sparse.solvers import largest_eigenvalue, solve
from worker.sparse.sparsity import Penalty
from worker.training.prepare import ADAM_BETAS, Prepared

DEPTHS = range(1, 101)
TEST_PATCHES = 500
SETTINGS: dict[str, Any] = {
    "model": {
        "connection": {"update": "adam"},
        "encoder": {"solver": {"max_iterations": 30, "tolerance": 1e-2}},
        "sparsity": {"weight": 0.5},
    },
    "training": {"epochs": 1, "batch_size": 200, "learning_rate": 3e-3, "previews": 0},
}
# nearly all steps for the dictionary: the encoders are trained here
DICTIONARY_ALONE: dict[str, Any] = {"training": {"dictionary_fraction": 0.99}}
# what an encoder of so many units learns from: codes, updates, learning rate
LESSONS = {100: (90_000, 6000, 3e-3), 400: (60_000, 4000, 2e-3)}


def patches(region: Path, parts: Prepared, count: int, seed: int) -> Tensor:
    """(count, inputs) of a region, preprocessed as the model's."""
    inputs = Inputs(open_dataset(region), parts.preprocessor, seed=seed, side="validation")
    drawn = torch.randperm(len(inputs), generator=generator_for(seed, "test patches"))[:count]
    return inputs.take(drawn)[0]


@dataclass(frozen=True)
class Curves:
    """Errors of iterations 1 to 100, and of encoders by passes."""

    units: int
    fista: list[float]
    ista: list[float]
    lista: dict[int, float]


def error(code: Tensor, exact: Tensor) -> float:
    return float((code - exact).double().square().sum() / exact.double().square().sum())


def depth_of_equal_error(errors: Sequence[float], reached: float) -> int | None:
    """The first iteration whose error is no larger; None where none of them is."""
    return next((depth for depth, value in zip(DEPTHS, errors, strict=True) if value <= reached), None)


def fista_errors(x: Tensor, dictionary: Tensor, sparsity: Penalty, exact: Tensor) -> list[float]:
    largest = largest_eigenvalue(dictionary)
    codes = (
        solve(x, dictionary, sparsity, max_iterations=depth, tolerance=0, lipschitz=largest).code for depth in DEPTHS
    )
    return [error(code, exact) for code in codes]


def ista_errors(x: Tensor, dictionary: Tensor, sparsity: Penalty, exact: Tensor) -> list[float]:
    largest = largest_eigenvalue(dictionary)
    code, found = torch.zeros_like(exact, dtype=x.dtype), []
    for _ in DEPTHS:  # without momentum an iteration depends on the code before it alone
        solution = solve(
            x, dictionary, sparsity, method="ista", max_iterations=1, tolerance=0, start=code, lipschitz=largest
        )
        code = solution.code
        found.append(error(code, exact))
    return found


def exact_codes(x: Tensor, dictionary: Tensor, sparsity: Penalty) -> Tensor:
    """What encoders learn from: (n, units)"""
    return torch.cat([solve(some, dictionary, sparsity, max_iterations=200).code for some in torch.split(x, 1000)])


def learned(x: Tensor, codes: Tensor, first: tuple[Tensor, ...], passes: int, steps: int, rate: float) -> Recurrent:
    """An encoder after `steps` updates towards `codes` (n, units) of `x` (n, inputs), from ISTA's matrices `first`."""
    encoder = Recurrent(*first, passes=passes, total_step=None, signed=True)
    optimizer = torch.optim.Adam(encoder.parameters(), betas=ADAM_BETAS)
    generator = generator_for(passes, "batches")
    for step in range(steps):
        warm, falling = min(1.0, (step + 1) / 100), 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.param_groups[0]["lr"] = rate * warm * falling
        rows = torch.randint(len(x), (200,), generator=generator)
        loss = 0.5 * (encoder.predict(x[rows]) - codes[rows]).square().sum() / len(rows)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        encoder.project()
    return encoder


def curves(units: int, passes: Sequence[int], region: str, seed: int, threads: int) -> Curves:
    spec = recipe_with("lista", seed, SETTINGS, {"model": {"connection": {"units": units}}}, DICTIONARY_ALONE)
    count, steps, rate = LESSONS[units]
    with tempfile.TemporaryDirectory() as folder:
        data = regions(Path(folder))
        loop = trained(spec, data, Path(folder) / "out", threads)
        parts, model = loop.parts, loop.stage.model
        x = patches(data[region], parts, TEST_PATCHES, seed)
    dictionary, sparsity = model.connection.dictionary.detach(), model.sparsity
    exact = solve(x.double(), dictionary.double(), sparsity, tolerance=1e-8, max_iterations=50_000).code
    fista, ista = (errors(x, dictionary, sparsity, exact) for errors in (fista_errors, ista_errors))
    lessons = parts.train.take(torch.arange(len(parts.train))[:count])[0]
    codes = exact_codes(lessons, dictionary, sparsity)
    first = ista_matrices(dictionary, spec.model.sparsity.weight)
    found = {}
    for each in passes:
        encoder = learned(lessons, codes, first, each, steps, rate)
        found[each] = error(encoder.predict(x).detach(), exact)
    return Curves(units, fista, ista, found)


def depth(errors: Sequence[float], reached: float) -> str:
    found = depth_of_equal_error(errors, reached)
    return f"> {DEPTHS[-1]}" if found is None else str(found)


def rows(found: Curves) -> list[str]:
    """One row of the table per number of passes."""
    return [
        f"| {found.units} | {passes} | {reached:.4f} | {found.ista[passes - 1]:.4f} | {found.fista[passes - 1]:.4f} "
        f"| {depth(found.fista, reached)} | {depth(found.ista, reached)} |"
        for passes, reached in found.lista.items()
    ]


def draw(all_curves: Sequence[Curves], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(all_curves), 4), layout="constrained")
    for axes, found in zip(figure.subplots(1, len(all_curves), squeeze=False)[0], all_curves, strict=True):
        axes.semilogy(DEPTHS, found.ista, label="ISTA")
        axes.semilogy(DEPTHS, found.fista, label="FISTA")
        axes.semilogy(list(found.lista), list(found.lista.values()), "o", color="black", label="LISTA")
        axes.set(title=f"{found.units} units", xlabel="passes or iterations", ylabel="code error", xlim=(0, 60))
        axes.set_ylim(0.3 * min(found.lista.values()), 1)
        axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[100, 400], choices=sorted(LESSONS))
    parser.add_argument("--passes", type=int, nargs="+", default=[1, 2, 3, 4, 7])
    parser.add_argument("--region", choices=["validation", "test"], default="test")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plot", type=Path, help="where the curves of the first seed are drawn")
    given = parser.parse_args()
    for seed in range(given.seeds):
        print(f"seed {seed}, {given.region} patches")
        print("| units | passes | LISTA | ISTA | FISTA | FISTA depth of equal error | ISTA depth |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        all_curves = []
        for units in given.units:
            all_curves.append(curves(units, given.passes, given.region, seed, given.threads))
            print("\n".join(rows(all_curves[-1])), flush=True)
        if given.plot and seed == 0:
            draw(all_curves, given.plot)


if __name__ == "__main__":
    main()
