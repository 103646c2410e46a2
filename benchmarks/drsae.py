"""The recipe `drsae` on MNIST: errors of several seeds, on held-out training digits or, once, on the test set.

    python benchmarks/drsae.py --mnist FOLDER [--recipe drsae] [--set NAME=VALUE …] [--seeds 0 1 2] [--permute SEED]
                               [--controls] [--test] [--out DIR] [--threads 2]

FOLDER has the four IDX files of MNIST (or of a data set of the same shape), gzipped. Without `--test` it learns on the
first 50 000 training digits and errors are those of the last 10 000: settings were chosen so. With it, it learns on
all 60 000, and errors are those of the test set, read once. `--permute` puts the pixels of all images in one drawn
order. `--controls` trains, for as many epochs each, a linear classifier and a network with one hidden layer of ReLU
units, both plain torch with Adam. DIR keeps what was trained and is used again.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from mnist import HELD_OUT, Labelled, mnist, run, stored
from numpy.typing import NDArray
from torch import Tensor, nn

from pinwheel.specs import TrainSpec
from worker.__main__ import resolved
from worker.encoding.engine import Engine

CLASSES = 10


def permuted(images: NDArray[np.uint8], seed: int | None) -> NDArray[np.uint8]:
    """Images (n, H, W, 1) with their pixels in the order that `seed` draws."""
    if seed is None:
        return images
    order = np.random.default_rng(seed).permutation(images[0].size)
    return images.reshape(len(images), -1)[:, order].reshape(images.shape)


def control(hidden: int | None, data: Labelled, asked: Labelled, spec: TrainSpec, seed: int) -> float:
    """Error of a linear classifier, or of a network with a hidden layer and dropout 0.5, on inputs of unit norm."""
    torch.manual_seed(seed)
    x, x_asked = (inputs(part[0]) for part in (data, asked))
    y, epochs, batch = torch.from_numpy(data[1]), spec.training.epochs, spec.training.batch_size
    layers = [nn.Linear(x.shape[1], CLASSES)]
    if hidden is not None:
        layers = [nn.Linear(x.shape[1], hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, CLASSES)]
    model = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        schedule.step()
    with torch.no_grad():
        return float((model.eval()(x_asked).argmax(1).numpy() != asked[1]).mean())


def inputs(images: NDArray[np.uint8]) -> Tensor:
    """As the recipe sees them, scaled so that a pixel's mean square is 1."""
    flat = torch.tensor(images.reshape(len(images), -1), dtype=torch.float32)
    return nn.functional.normalize(flat, dim=1) * flat.shape[1] ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--recipe", default="drsae")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--permute", type=int, metavar="SEED")
    parser.add_argument("--controls", action="store_true")
    parser.add_argument("--test", action="store_true", help="errors of the test set, in place of the last 10 000")
    parser.add_argument("--out", type=Path, default=Path("drsae-benchmark"))
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    images, labels = mnist(given.mnist, "train")
    asked = mnist(given.mnist, "t10k") if given.test else (images[-HELD_OUT:], labels[-HELD_OUT:])
    known = (images, labels) if given.test else (images[:-HELD_OUT], labels[:-HELD_OUT])
    asked, known = ((permuted(part[0], given.permute), part[1]) for part in (asked, known))
    order = "" if given.permute is None else f"-permuted-{given.permute}"
    data = stored(known, given.out / f"{given.mnist.name}-{len(known[0])}{order}")
    name = "-".join([given.recipe, *(setting.replace("=", "-") for setting in given.settings)])
    found = []
    for seed in given.seeds:
        spec = resolved(given.recipe, [*given.settings, "training.previews=0", f"training.seed={seed}"])
        assert isinstance(spec, TrainSpec)
        bundle, seconds = run(spec, data, given.out / f"{name} on {data.name} seed {seed}", given.threads)
        found.append(float((Engine.load(bundle).classify(asked[0]).argmax(1) != asked[1]).mean()))
        print(f"{name} on {data.name}: seed {seed}, error {found[-1]:.2%}, {seconds:.0f} s", flush=True)
        for kind, hidden in (("linear", None), ("hidden layer", spec.model.connection.units)):
            if given.controls:
                start = time.time()
                error = control(hidden, known, asked, spec, seed)
                print(f"  {kind}: error {error:.2%}, {time.time() - start:.0f} s", flush=True)
    print(f"median {statistics.median(found):.2%} of {len(found)}")


if __name__ == "__main__":
    main()
