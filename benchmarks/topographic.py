"""How smooth is the map of the recipe `topographic`? Built-in photographs, torus of 16 × 16 and 20 × 20 units.

    python benchmarks/topographic.py [--sides 16 20] [--seeds 3] [--threads 2] [--map FILE.png]

Orientations are compared between units side by side on the map and between all pairs (45° where they have nothing to
do with each other). Distances of shifted inputs: 0 is the same, about 1 as far as two inputs that are unrelated.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from photographs import recipe_with, regions, trained
from safetensors.numpy import load_file

from pinwheel.pictures.sheet import picture
from pinwheel.pictures.topography import topography
from pinwheel.pictures.topography_sheet import draw_topography
from pinwheel.pictures.unit_map import UnitMap

SHIFTS = (1, 2, 3, 4)


def changes(side: int) -> dict[str, Any]:
    torus = {"height": side, "width": side}
    return {
        "model": {"connection": {"units": side * side}, "sparsity": {"map": torus}},
        "training": {"previews": 0},
    }


def rows(side: int, seed: int, threads: int, path: Path | None) -> tuple[str, list[str]]:
    """The row of a training in the table of maps, and its rows in that of shifts; `path` gets the map."""
    with tempfile.TemporaryDirectory() as folder:
        spec = recipe_with("topographic", seed, changes(side))
        trained(spec, regions(Path(folder)), Path(folder) / "out", threads)
        bundle = Path(folder) / "out" / "bundles" / "1"
        filters = load_file(bundle / "units.safetensors")["decoder"]
        record = json.loads((bundle / "model.json").read_text())
    unit_map = UnitMap(**record["map"])
    if path is not None:
        title = f"topographic, {side} × {side}"
        path.write_bytes(picture(lambda: draw_topography(filters, unit_map, title), "png"))
    found, shift = topography(filters, unit_map), record["invariance"]["shift"]
    of_map = (
        f"| {side} × {side} | {seed} | {found.neighbour_orientation_difference_deg:.1f}° "
        f"| {found.random_pairs_orientation_difference_deg:.1f}° | {found.oriented_units / side**2:.0%} "
        f"| {record['metrics']['dead_units']:.0f} | {record['metrics']['unexplained_variance']:.3f} |"
    )
    places = [shift["pixels_moved"].index(pixels) for pixels in SHIFTS]
    of_shift = [
        f"| {side} × {side} | {seed} | {name} | " + " | ".join(f"{shift[name][place]:.2f}" for place in places) + " |"
        for name in ("pixels", "code", "pooled")
    ]
    return of_map, of_shift


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 20])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--map", type=Path, help="where the map of the last side and seed 0 is drawn")
    given = parser.parse_args()
    print("| map | seed | neighbours | random pairs | oriented | dead | unexplained |")
    print("| --- " * 7 + "|")
    shifts = []
    for side in given.sides:
        for seed in range(given.seeds):
            path = given.map if seed == 0 and side == given.sides[-1] else None
            of_map, of_shift = rows(side, seed, given.threads, path)
            print(of_map, flush=True)
            shifts += of_shift
    print("\n| map | seed | shifted by | " + " | ".join(f"{pixels} px" for pixels in SHIFTS) + " |")
    print("| --- " * (3 + len(SHIFTS)) + "|")
    print("\n".join(shifts))


if __name__ == "__main__":
    main()
