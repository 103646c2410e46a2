"""The built-in photographs for the benchmarks: whole, cut into regions, as patches; and trainings on them."""

import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file

from pinwheel.builtin import BUILTIN
from pinwheel.recipes import find
from pinwheel.specs import TrainSpec, merge
from worker.data.inputs import Inputs
from worker.data.preprocess import Preprocessor
from worker.data.reader import Dataset, VariedImages
from worker.data.store import write_dataset
from worker.training.loop import Loop, train
from worker.training.plan import Plan

# Shares of the columns of every photograph.
REGIONS = {"training": (0.0, 0.7), "validation": (0.7, 0.85), "test": (0.85, 1.0)}


def images() -> list[NDArray[np.uint8]]:
    """(H, W, 1) each"""
    with zipfile.ZipFile(BUILTIN["photos"]) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith("png"))
        return [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("L"))[..., None] for name in names]


def photographs() -> Dataset:
    return Dataset(VariedImages.of(images()))


def regions(folder: Path) -> dict[str, Path]:
    """The photographs, cut by columns into REGIONS, each a stored data set below `folder`."""
    for region, (first, last) in REGIONS.items():
        cut = [image[:, int(first * image.shape[1]) : int(last * image.shape[1])] for image in images()]
        write_dataset(Dataset(VariedImages.of(cut)), folder / region)
    return {region: folder / region for region in REGIONS}


def recipe_with(recipe: str, seed: int, *changes: dict[str, Any]) -> TrainSpec:
    """The spec of a recipe with `changes` and a seed."""
    spec = find(recipe).spec.model_dump(mode="json")
    for change in (*changes, {"training": {"seed": seed}}):
        spec = merge(spec, change)
    return TrainSpec.model_validate_json(json.dumps(spec))


def trained(spec: TrainSpec, data: dict[str, Path], out: Path, threads: int) -> Loop:
    """The loop after a training on the training region, measured on the validation region; `out` has the bundle."""
    plan = Plan(spec=spec, dataset=data["training"], validation=data["validation"], out=out, threads=threads)
    loop = Loop(plan, lambda _: None, lambda: None)
    loop.run()
    return loop


def whitened_patches(count: int, patch_size: int, seed: int = 1) -> NDArray[np.float32]:
    """(count, inputs) as the recipe `sparse-coding` sees them; of another draw than a training with seed 0."""
    dataset = photographs()
    size = {"patch_size": patch_size, "patches_per_image": -(-count // len(dataset))}
    spec = recipe_with("sparse-coding", seed, {"preprocessing": size}).preprocessing
    inputs = Inputs(dataset, Preprocessor.fitted(spec, dataset, seed=seed), seed=seed)
    assert inputs.resident is not None
    return inputs.resident[:count].numpy()


def learned_dictionary(recipe: str, units: int, threads: int, epochs: int = 1) -> NDArray[np.float32]:
    """(inputs, units), from all of the photographs"""
    given = {"model": {"connection": {"units": units}}, "training": {"epochs": epochs, "previews": 0}}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        write_dataset(photographs(), here / "data")
        plan = Plan(spec=recipe_with(recipe, 0, given), dataset=here / "data", out=here, threads=threads)
        last = train(plan, lambda _: None, lambda: None)
        return np.ascontiguousarray(load_file(here / last["bundle"] / "weights.safetensors")["layers.0.dictionary"])
