"""Kernels learned on photographs made smaller: do crossings, corners and rings appear beside edges?

    python benchmarks/conv_junctions.py [--recipe conv-sparse] [--shrink 3] [--weight 1.5] [--lcn-sigma 2]
        [--kernels 64] [--batch-size 16] [--learning-rate 0.003] [--iterations 10] [--seed 0] [--seconds 300]
        --out FOLDER

At a third of their size the photographs have many crossings of lines in every window of 25 × 25 pixels (mortar between
bricks, stems of grass), which kernels of 9 × 9 at full size hardly ever see whole. Trains `conv-sparse`, or
`conv-group`, on them for so many seconds, on a GPU where there is one, and writes `filters.png` and `filters.npy`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from photographs import images, recipe_with
from PIL import Image
from safetensors.torch import load_file

from pinwheel.pictures.mosaic import MosaicOptions, draw, encode_png, layout
from worker.data.reader import Dataset, VariedImages
from worker.data.store import write_dataset
from worker.training.loop import train
from worker.training.plan import Plan


def shrunk(factor: float) -> Dataset:
    found = []
    for image in images():
        whole = Image.fromarray(image[..., 0])
        size = int(whole.width / factor), int(whole.height / factor)
        found.append(np.asarray(whole.resize(size, Image.Resampling.LANCZOS))[..., None])
    return Dataset(VariedImages.of(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recipe", choices=["conv-sparse", "conv-group"], default="conv-sparse")
    parser.add_argument("--shrink", type=float, default=3)
    parser.add_argument("--weight", type=float, default=1.5)
    parser.add_argument("--lcn-sigma", type=float, default=2)
    parser.add_argument("--kernels", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_dataset(shrunk(given.shrink), given.out / "data")
    changes: dict[str, Any] = {
        "preprocessing": {"patches_per_image": 2500, "lcn_sigma": given.lcn_sigma},
        "model": {
            "connection": {"units": given.kernels},
            "encoder": {"solver": {"max_iterations": given.iterations}},
            "sparsity": {"weight": given.weight},
        },
        "training": {
            "epochs": 1000,
            "batch_size": given.batch_size,
            "learning_rate": given.learning_rate,
            "previews": 0,
        },
    }
    spec = recipe_with(given.recipe, given.seed, changes)
    plan = Plan(spec=spec, dataset=given.out / "data", out=given.out, threads=given.threads)
    end = time.monotonic() + given.seconds
    last = train(plan, lambda _: None, lambda: "stop publish" if time.monotonic() > end else None)
    kernels = load_file(given.out / last["bundle"] / "weights.safetensors")["layers.0.dictionary"].numpy()
    filters = np.ascontiguousarray(kernels.transpose(0, 2, 3, 1))
    np.save(given.out / "filters.npy", filters)
    options = MosaicOptions(scale=6)
    (given.out / "filters.png").write_bytes(encode_png(draw(filters, layout(filters, options), options)))
    print(f"{last['step']} steps of {given.batch_size} windows; {given.out / 'filters.png'}")


if __name__ == "__main__":
    main()
