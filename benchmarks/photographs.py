"""Patches of the built-in photographs and dictionaries learned on them, for the benchmarks."""

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
from worker.training.loop import train
from worker.training.plan import Plan


def photographs() -> Dataset:
    with zipfile.ZipFile(BUILTIN["photos"]) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        return Dataset(VariedImages.of([np.asarray(Image.open(io.BytesIO(archive.read(n))))[..., None] for n in names]))


def spec_of(recipe: str, given: dict[str, Any] | None = None) -> TrainSpec:
    spec = merge(find(recipe).spec.model_dump(mode="json"), given or {})
    return TrainSpec.model_validate_json(json.dumps(spec))


def whitened_patches(count: int, patch_size: int, seed: int = 1) -> NDArray[np.float32]:
    """(count, inputs) as the recipe `sparse-coding` sees them; of another draw than a training with seed 0."""
    dataset = photographs()
    size = {"patch_size": patch_size, "patches_per_image": -(-count // len(dataset))}
    spec = spec_of("sparse-coding", {"preprocessing": size}).preprocessing
    inputs = Inputs(dataset, Preprocessor.fitted(spec, dataset, seed=seed), seed=seed)
    assert inputs.resident is not None
    return inputs.resident[:count].numpy()


def learned_dictionary(recipe: str, units: int, threads: int, epochs: int = 1) -> NDArray[np.float32]:
    """(inputs, units)"""
    given = {"model": {"connection": {"units": units}}, "training": {"epochs": epochs, "previews": 0}}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        write_dataset(photographs(), here / "data")
        plan = Plan(spec=spec_of(recipe, given), dataset=here / "data", out=here, threads=threads)
        last = train(plan, lambda _: None, lambda: None)
        return np.ascontiguousarray(load_file(here / last["bundle"] / "weights.safetensors")["layers.0.dictionary"])
