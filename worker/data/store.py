"""Write a data set in the stored form: for training from a script, without the server."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from worker.data.files import write_json
from worker.data.reader import Dataset, from_arrays


def read_npz(path: Path) -> Dataset:
    """`images` and, where there are any, `labels` of an .npz file."""
    with np.load(path, allow_pickle=False) as arrays:
        if "images" not in arrays:
            raise ValueError(f"{path.name} has the arrays {', '.join(arrays)}; `images` is needed")
        return from_arrays(arrays["images"], arrays.get("labels"))


def write_dataset(dataset: Dataset, folder: Path) -> None:
    """images.npy, labels.npy and manifest.json in `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.ascontiguousarray(dataset.images)
    np.save(folder / "images.npy", images)
    if dataset.labels is not None:
        np.save(folder / "labels.npy", dataset.labels)
    labels = {"count": len(dataset), "classes": dataset.classes, "names": dataset.class_names}
    manifest: dict[str, Any] = {
        "images": {
            "count": len(dataset),
            "shape": list(dataset.shape),
            "dtype": str(images.dtype),
            "variable_size": False,
        },
        "labels": labels if dataset.labels is not None else None,
        "digest": "sha256:" + hashlib.sha256(images.tobytes()).hexdigest(),
        "bytes": images.nbytes,
        "skipped": [],
    }
    write_json(folder / "manifest.json", manifest)
