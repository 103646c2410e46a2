"""A folder of microscope pictures becomes a data set, and its sparse features tell healthy cells from dying ones.

    python examples/cells.py [http://127.0.0.1:8000]

The pictures are drawn here with a seed, in cells/healthy and cells/dying, as a folder of your own would lie on a disk.
Writes cells.png (some of them), cells-filters.png and cells-features.npz (what scipy.sparse.load_npz reads).
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import MaxAbsScaler

import pinwheel

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
SIDE, CELLS_IN_A_PICTURE, PICTURES_OF_A_KIND = 64, 4, 100


def picture(kind: str, random: np.random.Generator) -> Image.Image:
    """Fluorescent membranes on a dark ground: healthy cells are smooth, dying ones have bubbles all around."""
    image = Image.new("L", (SIDE, SIDE), 25)
    draw = ImageDraw.Draw(image)
    for _ in range(CELLS_IN_A_PICTURE):
        center, radius = random.uniform(8, SIDE - 8, 2), random.uniform(7, 11)
        ring(draw, center, radius, 150)
        if kind == "healthy":
            ring(draw, center, radius / 3, 220)
            continue
        for angle in random.uniform(0, 2 * np.pi, 7):
            ring(draw, center + radius * np.array([np.cos(angle), np.sin(angle)]), random.uniform(1.5, 2.5), 190)
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)), float)
    return Image.fromarray(np.clip(blurred + random.normal(0, 7, blurred.shape), 0, 255).astype(np.uint8))


def ring(draw: ImageDraw.ImageDraw, center: NDArray[np.float64], radius: float, light: int) -> None:
    draw.ellipse([*(center - radius), *(center + radius)], outline=light, width=2)


def write_pictures(folder: Path) -> None:
    random = np.random.default_rng(7)
    for kind in ("healthy", "dying"):
        (folder / kind).mkdir(parents=True)
        for number in range(PICTURES_OF_A_KIND):
            picture(kind, random).save(folder / kind / f"{number:03d}.png")


with tempfile.TemporaryDirectory() as temporary, pinwheel.Client(URL) as client:
    folder = Path(temporary) / "cells"
    write_pictures(folder)
    dataset = client.create_dataset(folder, name="example-cells")
    job = client.train(
        recipe="sparse-coding",
        dataset=dataset,
        preprocessing={"patch_size": 12, "patches_per_image": 40, "whiten": "none"},
        model={
            "connection": {"units": 100},
            "sparsity": {"weight": 1.0},
            "encoder": {"sign": "nonnegative", "solver": {"max_iterations": 20}},
        },
        training={"epochs": 3},
        publish_as="example-cells",
    )
    job.wait(progress=True)
    model = client.model(job.model)
    Path("cells.png").write_bytes(dataset.preview())
    Path("cells-filters.png").write_bytes(model.filters(order="usage", cols=20, scale=4))
    paths = sorted(folder.rglob("*.png"))
    features = model.encode(paths, sparse=True)

sparse.save_npz("cells-features.npz", features)
kinds = [path.parent.name for path in paths]
scores = cross_val_score(LogisticRegression(max_iter=1000), MaxAbsScaler().fit_transform(features), kinds, cv=5)
print(
    f"{dataset.count} pictures of {' and '.join(dataset['labels']['names'])} cells, {features.shape[1]} features each"
)
print(f"a patch of 12 × 12 pixels takes {job.record['metrics']['l0']:.1f} of them")
print(f"a linear classifier on them is right about {scores.mean():.0%} of pictures that it has not seen")
