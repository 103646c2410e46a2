"""Do units that inhibit each other stay apart? Recipes `inhibition` (tree), `-ring`, `-sheet`, `-learned`.

    python benchmarks/inhibition.py [--recipes NAME ...] [--seeds 1] [--control] [--threads 2]

Co-activation is the share of patches that switch both units of a pair on, on validation patches (the columns from 70
to 85 % of every photograph). A learned S has no zeros: its strongest quarter of pairs is set against its weakest. As a
control (`--control`) the fixed recipes are trained with an L1 term instead and the same pairs are compared; its weight
is not matched, so compare the numbers of active units as well.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from photographs import recipe_with, regions, trained
from safetensors.numpy import load_file

from pinwheel.pictures.inhibition import inhibition_numbers
from pinwheel.pictures.statistics import filter_statistics
from pinwheel.pictures.topography import mean_orientation_difference, orientation_difference, topography
from pinwheel.pictures.tree import usage_by_depth
from pinwheel.pictures.unit_map import UnitMap, depths
from pinwheel.specs import Inhibition, Learned, unit_map

RECIPES = ("inhibition", "inhibition-ring", "inhibition-sheet", "inhibition-learned")
PREVIEWS = 40
CONTROL: dict[str, Any] = {"model": {"sparsity": {"kind": "l1", "weight": 4.0}}}
SETTINGS: dict[str, Any] = {"training": {"previews": PREVIEWS}}
LEARNED_COLUMNS = (
    "seed",
    "asymmetry",
    "entries (bounds)",
    "row sums (wanted)",
    "change in the last tenth",
    "co-activation, strongest S",
    "weakest S",
    "ratio",
    "active",
    "dead",
)
Array = NDArray[Any]


class Result:
    """What a training with these changes left behind."""

    def __init__(self, recipe: str, seed: int, threads: int, *changes: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            loop = trained(recipe_with(recipe, seed, SETTINGS, *changes), regions(Path(folder)), out, threads)
            self.units = load_file(out / "bundles" / "1" / "units.safetensors")
            self.previews = {int(path.stem): load_file(path) for path in sorted((out / "previews").iterdir())}
        self.spec, self.total = loop.plan.spec, loop.total
        self.active = float(self.units["usage"].sum())
        self.dead = int((self.units["usage"] == 0).sum())


def pairs_of(matrix: Array) -> Array:
    return matrix[np.triu_indices(len(matrix), 1)]


def of_fixed(recipe: str, seed: int, result: Result) -> str:
    found = inhibition_numbers(result.units["inhibition"], result.units["coactivation"]).coactivation
    assert found is not None
    assert found.ratio is not None
    return (
        f"| {recipe} | {seed} | {found.inhibited:.5f} | {found.free:.5f} | {found.ratio:.3f} "
        f"| {result.active:.1f} | {result.dead} |"
    )


def of_control(recipe: str, seed: int, threads: int, matrix: Array) -> str:
    """The same pairs of units, trained with L1."""
    control = Result(recipe, seed, threads, CONTROL)
    found = inhibition_numbers(matrix, control.units["coactivation"]).coactivation
    assert found is not None
    return (
        f"| {recipe}, L1 instead | {seed} | {found.inhibited:.5f} | {found.free:.5f} | {found.ratio:.3f} "
        f"| {control.active:.1f} | {control.dead} |"
    )


def tree_rows(units: dict[str, Array]) -> list[str]:
    """By depth: units, mean activation rate, mean frequency in cycles per patch."""
    frequency = filter_statistics(units["decoder"]).frequency * units["decoder"].shape[1]
    depth = depths(units["parent"])
    return [
        f"| {level.depth} | {(depth == level.depth).sum()} | {units['usage'][depth == level.depth].mean():.4f} "
        f"| {np.nanmean(frequency[depth == level.depth]):.2f} |"
        for level in usage_by_depth(units["parent"], units["usage"])
    ]


def orientations(units: dict[str, Array], unit_map: UnitMap | None) -> str:
    """How much the orientations of relatives differ, in a tree or on a map."""
    if unit_map is not None:
        found = topography(units["decoder"], unit_map)
        near, far = found.neighbour_orientation_difference_deg, found.random_pairs_orientation_difference_deg
        return f"neighbours differ by {near:.1f}°, random pairs by {far:.1f}°"
    angles, parent = filter_statistics(units["decoder"]).orientation_deg, units["parent"]
    child = np.flatnonzero((parent >= 0) & (parent[parent] >= 0))  # the root has no orientation to speak of
    steps = np.nanmean(orientation_difference(angles[child], angles[parent[child]]))
    return f"parent and child differ by {steps:.1f}°, random pairs by {mean_orientation_difference(angles):.1f}°"


def of_learned(seed: int, result: Result) -> str:
    """Is the learned S a valid one, has it settled, does it keep units apart?"""
    matrix, sparsity = result.units["inhibition"], result.spec.model.sparsity
    assert isinstance(sparsity, Inhibition)
    assert isinstance(sparsity.structure, Learned)
    structure = sparsity.structure
    strengths, together = pairs_of(matrix), pairs_of(result.units["coactivation"])
    weakest, strongest = np.quantile(strengths, [0.25, 0.75])
    top, bottom = together[strengths >= strongest].mean(), together[strengths <= weakest].mean()
    sums = matrix.sum(1)
    return (
        f"| {seed} | {np.abs(matrix - matrix.T).max():.1e} | {matrix.min():.3f} to {matrix.max():.3f} "
        f"(0 to {structure.max_value:g}) | {sums.min():.2f} to {sums.max():.2f} ({structure.row_sum:g}) "
        f"| {late_change(result):.2%} | {top:.5f} | {bottom:.5f} | {top / bottom:.2f} "
        f"| {result.active:.1f} | {result.dead} |"
    )


def late_change(result: Result) -> float:
    """‖S − S′‖ / ‖S‖ from the last preview before 90 % of the updates to the end."""
    before = max(step for step in result.previews if step <= 0.9 * result.total)
    last, earlier = result.units["inhibition"], result.previews[before]["inhibition"]
    return float(np.linalg.norm(last - earlier) / np.linalg.norm(last))


def fixed(recipes: list[str], seeds: int, threads: int, control: bool) -> list[str]:
    """Prints the table of co-activation and returns what else there is to say."""
    names = "recipe", "seed", "co-activation S > 0", "S = 0", "ratio", "active", "dead"
    print("| " + " | ".join(names) + " |\n" + "| --- " * len(names) + "|")
    more = []
    for recipe in recipes:
        for seed in range(seeds):
            result = Result(recipe, seed, threads)
            print(of_fixed(recipe, seed, result), flush=True)
            if control and seed == 0:
                print(of_control(recipe, seed, threads, result.units["inhibition"]), flush=True)
            more.append(f"{recipe}, seed {seed}: {orientations(result.units, map_of(result))}")
            if "parent" in result.units and seed == 0:
                more += ["| depth | units | activation rate | cycles per patch |", "| --- " * 4 + "|"]
                more += tree_rows(result.units)
    return more


def map_of(result: Result) -> UnitMap | None:
    found = unit_map(result.spec.model, result.units["decoder"].shape[1:])
    return None if found is None else UnitMap.from_json(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=RECIPES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--control", action="store_true", help="train with L1 as well")
    given = parser.parse_args()
    more = fixed([name for name in given.recipes if name != RECIPES[-1]], given.seeds, given.threads, given.control)
    print("\n" + "\n".join(more) + "\n")
    if RECIPES[-1] in given.recipes:
        print("| " + " | ".join(LEARNED_COLUMNS) + " |\n" + "| --- " * len(LEARNED_COLUMNS) + "|")
        for seed in range(given.seeds):
            print(of_learned(seed, Result(RECIPES[-1], seed, given.threads)), flush=True)


if __name__ == "__main__":
    main()
