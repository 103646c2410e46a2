"""The inputs that drive each unit most, kept beside a model: what a unit stands for in the data.

Of each filter the inputs with the largest value of its code, strongest first; where many units share a filter, the
unit that is strongest in an input speaks for it there. Of a code with signs the positive side counts, on which a unit
writes its filter as it is shown. What is kept of an input is the window that the unit sees, in the pixels of the data
set, before any preprocessing:

    dense      the whole input, an image or a patch of one
    conv       the window of the kernel where it was strongest; zeros where it reaches over the border
    local      the field of the unit
    stacks     all pixels that the unit can see through the layers below

Pictures are bounded: large windows are reduced by whole factors, and of very many units fewer inputs are kept.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.data.inputs import Source
from worker.data.reader import Dataset
from worker.sparse.connections import Connection
from worker.sparse.connections.spatial import Spatial
from worker.sparse.stack import Stack

log = logging.getLogger(__name__)

MEASURED_INPUTS = 5000
MOST_CODES = 2**28  # numbers of all codes that are looked at; of long codes fewer inputs are measured
CODES_AT_ONCE = 2**23
MOST_KEPT, LEAST_KEPT = 16, 4  # inputs of a unit
MOST_PIXELS = 64 * 64  # of a picture
MOST_BYTES = 32 * 2**20  # of all pictures of a layer

Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Strongest:
    """Of each filter, strongest first, (filters, kept): the value of its code, the index of the input and the unit of
    the code. The value is 0 where there are no more inputs that switch it on."""

    values: Tensor
    inputs: Tensor
    units: Tensor

    def merged(self, other: "Strongest") -> "Strongest":
        """The strongest of both, as many as are kept here."""
        values, which = torch.cat([self.values, other.values], 1).topk(self.values.shape[1])
        inputs = torch.cat([self.inputs, other.inputs], 1).gather(1, which)
        return Strongest(values, inputs, torch.cat([self.units, other.units], 1).gather(1, which))


@dataclass(frozen=True)
class Patches:
    """What is written of a layer. `tensors`, each (filters, kept, …): `patches` (…, height, width, channels) uint8,
    `activations`, `rows` of the data set, −1 where there are no more, and `corners` (…, 2) in the image, top and left.
    `metadata` tell of the data set, the sides of the windows in it and what 0 and 255 stand for.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    @property
    def note(self) -> dict[str, Any]:
        """What the record of a model tells of them."""
        _, count, *shape = self.tensors["patches"].shape
        return {"count": count, "shape": shape, "dataset": self.metadata.get("dataset")}


def patches_of(
    encode: Encode, connection: Connection, inputs: Source, indices: Tensor, below: Stack | None
) -> Patches | None:
    """Of a layer on those `below`: `encode` gives codes of `connection` for what `inputs` give. None, and a word in the
    log, where it does not work: a model is published without."""
    try:
        return found(encode, connection, inputs, indices, below)
    except Exception:  # the edge that records it: nobody's training is lost for its pictures
        log.exception("the inputs that drive the units most were not found; the model is published without them")
        return None


@torch.inference_mode()
def found(encode: Encode, connection: Connection, inputs: Source, indices: Tensor, below: Stack | None) -> Patches:
    some = indices[: max(1, min(MEASURED_INPUTS, MOST_CODES // connection.units))]
    best = strongest(encode, connection, inputs, some)
    corners, (height, width) = windows(connection, best.units.flatten(), inputs, below)
    channels = inputs.dataset.channels
    kept, factor = fitting(len(best.values), height, width, channels)
    corners = corners.view(*best.units.shape, 2)[:, :kept].cpu()
    values, chosen = best.values[:, :kept].cpu(), best.inputs[:, :kept].cpu()
    rows = inputs.rows.cpu()[chosen]
    if inputs.corners is not None:
        corners = corners + inputs.corners.cpu()[chosen]
    there = values > 0
    rows, corners = torch.where(there, rows, -1), torch.where(there[..., None], corners, 0)
    pixels = cut(inputs.dataset, rows.numpy().ravel(), corners.numpy().reshape(-1, 2), (height, width), factor)
    pictures, (low, high) = as_levels(pixels)
    tensors = {
        "patches": torch.from_numpy(pictures).view(*rows.shape, *pictures.shape[1:]),
        "activations": values,
        "rows": rows,
        "corners": corners.int(),
    }
    metadata = {
        "window": f"{height} {width}",
        "reduced": str(factor),
        "range": f"{low!r} {high!r}",
        "inputs": str(len(some)),
    }
    dataset = {} if inputs.dataset.id is None else {"dataset": inputs.dataset.id}
    return Patches(tensors, metadata | dataset)


def strongest(encode: Encode, connection: Connection, inputs: Source, indices: Tensor) -> Strongest:
    """Over the inputs at `indices`, a bounded number of codes at a time."""
    table = units_of_filters(connection).to(inputs.device)
    shape = (connection.filters, MOST_KEPT)
    none = torch.zeros(shape, dtype=torch.int64, device=inputs.device)
    best = Strongest(torch.zeros(shape, device=inputs.device), none, none)
    for piece in torch.split(indices, max(1, min(inputs.chunk, CODES_AT_ONCE // connection.units))):
        code = encode(inputs.take(piece)[0])
        at_filters = code[:, table.flatten()].view(len(code), *table.shape) if table.shape[1] > 1 else code[..., None]
        values, use = at_filters.max(2)
        top, which = values.t().topk(min(MOST_KEPT, len(piece)))
        units = table.gather(1, use.t().gather(1, which))
        best = best.merged(Strongest(top.float(), piece[which], units))
    return best


def units_of_filters(connection: Connection) -> Tensor:
    """(filters, uses) the units that share each filter"""
    numbers = torch.arange(connection.filters, dtype=torch.float64)
    return connection.spread(numbers).argsort(stable=True).view(connection.filters, connection.uses)


def windows(
    connection: Connection, units: Tensor, inputs: Source, below: Stack | None
) -> tuple[Tensor, tuple[int, int]]:
    """(n, 2) top and left in the input of what each of `units` (n,) sees, and the sides of it."""
    if not isinstance(connection, Spatial):
        height, width, _ = inputs.preprocessor.input_shape
        return torch.zeros(len(units), 2, dtype=torch.int64), (height, width)
    corners = connection.corners(units)
    if below is None:
        return corners, (connection.size, connection.size)
    # units at one place see the same
    places, place = torch.unique(corners, dim=0, return_inverse=True)
    one = torch.zeros(len(places), dtype=torch.int64, device=units.device).scatter_(0, place, units)
    seen, sides = below.reach(connection, one)
    return seen[place], sides


def fitting(filters: int, height: int, width: int, channels: int) -> tuple[int, int]:
    """How many windows of these sides are kept of each filter, and the factor that they are reduced by."""
    factor = 1
    while True:
        down, right = math.ceil(height / factor), math.ceil(width / factor)
        kept = min(MOST_KEPT, MOST_BYTES // (filters * down * right * channels))
        if down * right == 1 or (down * right <= MOST_PIXELS and kept >= LEAST_KEPT):
            return max(1, kept), factor
        factor += 1


def cut(
    dataset: Dataset, rows: NDArray[np.int64], corners: NDArray[np.int64], sides: tuple[int, int], factor: int
) -> NDArray[Any]:
    """(n, height, width, C), reduced by `factor`, of the images at `rows` the windows at `corners` (n, 2); zeros
    outside of an image and for the row −1."""
    shape = tuple(math.ceil(side / factor) for side in sides)
    out = np.zeros((len(rows), *shape, dataset.channels), dataset.images.dtype)
    row, image = -1, None
    for number in np.argsort(rows, kind="stable").tolist():
        if rows[number] < 0:
            continue
        if image is None or rows[number] != row:
            row = int(rows[number])
            image = np.asarray(dataset.images[row])
        top, left = corners[number].tolist()
        window = window_of(image, top, left, *sides)
        out[number] = window if factor == 1 else reduced(window, factor)
    return out


def window_of(image: NDArray[Any], top: int, left: int, height: int, width: int) -> NDArray[Any]:
    """(height, width, C) of `image` (H, W, C), zeros outside."""
    inside = image[max(0, top) : top + height, max(0, left) : left + width]
    if inside.shape[:2] == (height, width):
        return inside
    window = np.zeros((height, width, image.shape[2]), image.dtype)
    down, right = max(0, -top), max(0, -left)
    window[down : down + inside.shape[0], right : right + inside.shape[1]] = inside
    return window


def reduced(window: NDArray[Any], factor: int) -> NDArray[Any]:
    """(⌈H / factor⌉, ⌈W / factor⌉, C) means of squares of `window` (H, W, C); those at the border may be smaller."""
    height, width, channels = window.shape
    rest = [(0, -side % factor) for side in (height, width)]
    whole = np.pad(window.astype(np.float32), [*rest, (0, 0)], mode="edge")
    blocks = whole.reshape(whole.shape[0] // factor, factor, whole.shape[1] // factor, factor, channels)
    means: NDArray[Any] = blocks.mean((1, 3))
    return np.rint(means).astype(np.uint8) if window.dtype == np.uint8 else means


def as_levels(pixels: NDArray[Any]) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """The same as uint8, and what 0 and 255 stand for: numbers from 0 to 1, or from the least to the largest."""
    if pixels.dtype == np.uint8:
        return pixels, (0.0, 255.0)
    low, high = min(0.0, float(pixels.min(initial=0.0))), max(1.0, float(pixels.max(initial=1.0)))
    levels = np.rint((pixels - np.float32(low)) * np.float32(255 / (high - low)))
    return levels.clip(0, 255).astype(np.uint8), (low, high)
