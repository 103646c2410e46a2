"""The inputs that drive a unit most, as they were found when its model was published."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from pinwheel.errors import NotFound
from pinwheel.pictures.mosaic import GAP, MosaicOptions, encode_picture, layout, tile

FORMATS = {
    "png": "image/png",
    "webp": "image/webp",
    "npy": "application/x-npy",
    "json": "application/json",
}
MOST_PATCHES = 16


@dataclass(frozen=True)
class Patches:
    """Of one unit, strongest first, those that switch it on: `pixels` (k, height, width, channels) uint8; `rows` (k,)
    of the data set; `corners` (k, 2) of the windows in the images, top and left; `activations` (k,).

    window: height and width there, in pixels; reduced: pixels of the image for each of `pixels`; range: what 0 and 255
    stand for; inputs: how many were looked at.
    """

    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    corners: NDArray[np.int32]
    activations: NDArray[np.float32]
    dataset: str | None
    window: tuple[int, int]
    reduced: int
    range: tuple[float, float]
    inputs: int

    def as_json(self) -> dict[str, Any]:
        height, width = self.window
        return {
            "dataset": self.dataset,
            "inputs": self.inputs,
            "window": [height, width],
            "shape": list(self.pixels.shape[1:]),
            "reduced": self.reduced,
            "range": list(self.range),
            "data": [
                {"row": row, "top": top, "left": left, "activation": activation}
                for row, (top, left), activation in zip(
                    self.rows.tolist(), self.corners.tolist(), self.activations.tolist(), strict=True
                )
            ],
        }


def read_patches(path: Path, model: str, unit: int, count: int) -> Patches:
    """At most `count` of one unit. Raises `NotFound` for a model that was published without any."""
    try:
        with safe_open(path, "numpy") as file:
            read = {name: file.get_slice(name)[unit] for name in ("patches", "rows", "corners", "activations")}
            told = file.metadata()
    except FileNotFoundError:
        detail = (
            f"{model} was published without the inputs that drive its units most: it is from before there were any, or "
            "they could not be found. A model that is trained now has them."
        )
        raise NotFound(detail, errors=[{"pointer": "#/path/model", "code": "no_patches", "detail": detail}]) from None
    some = min(count, int((read["rows"] >= 0).sum()))
    height, width = (int(side) for side in told["window"].split())
    low, high = (float(value) for value in told["range"].split())
    return Patches(
        read["patches"][:some],
        read["rows"][:some],
        read["corners"][:some],
        read["activations"][:some],
        told.get("dataset"),
        (height, width),
        int(told["reduced"]),
        (low, high),
        int(told["inputs"]),
    )


def body_of(patches: Patches, chosen: str, options: MosaicOptions, texts: dict[str, str]) -> bytes:
    """As `png`, `webp` or `npy`. Raises `InvalidRequest` for a picture that is too large or has no colors."""
    if chosen == "npy":
        out = io.BytesIO()
        np.save(out, patches.pixels, allow_pickle=False)
        return out.getvalue()
    # a unit that nothing switches on is an empty tile
    pixels = patches.pixels if len(patches.pixels) else np.full((1, *patches.pixels.shape[1:]), GAP, np.uint8)
    plan = layout(np.asarray(pixels, np.float32), options)
    drawn = tile(pixels, plan.cols, plan.scale, plan.pad)
    return encode_picture(drawn, "png" if chosen == "png" else "webp", texts)
