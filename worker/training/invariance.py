"""How far a code moves when its input does: distances of an input and of its moved copy, against the movement.

    curve(m) = mean ‖f(a) − f(a moved by m)‖ / √(mean ‖f(a) − f(c)‖²)      over inputs a and all pairs a ≠ c

0 is the same and about 1 is as far as two inputs that have nothing to do with each other. f is the input as the model
sees it (`pixels`), its code, or its pooled code. A patch is moved over its image, so that what comes in at its edge is
what is there; a whole image moves over zeros. Shifts go to the right, rotations about the centre; between pixels the
image is read bilinearly.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from worker.data.images import normalised_blocks
from worker.data.patches import flatness, windows_above, windows_at
from worker.data.preprocess import Preprocessor
from worker.data.random import generator_for, permutation
from worker.data.reader import Dataset

INPUTS = 500
MOST_CODES = 2**20  # numbers of all their codes together
MOST_BYTES = 128 * 2**20  # of those inputs with their surroundings
MOST_SHIFTS = 33
DEGREES = range(0, 91, 10)

Function: TypeAlias = Callable[[Tensor], Tensor]


def invariance(
    encode: Function,
    pool: Function | None,
    dataset: Dataset,
    rows: Tensor,
    preprocessor: Preprocessor,
    seed: int,
    units: int = 1,
) -> dict[str, Any] | None:
    """The curves `pixels`, `code` and `pooled` (None without `pool`) over shifts and over rotations.

    `encode` gives codes (n, units) of inputs (n, inputs), `pool` pools (n, pools) of codes, all on the CPU. None for
    vectors, which do not move, and where fewer than two images at `rows` have a patch that is not flat.
    """
    if min(preprocessor.input_shape[:2]) < 2:
        return None
    around = surroundings(dataset, rows, preprocessor, seed, MOST_CODES // units)
    if len(around) < 2:
        return None
    shifts = shifts_of(preprocessor.input_shape[1])
    shifted = (moved(around, preprocessor, shift=shift) for shift in shifts)
    rotated = (moved(around, preprocessor, degrees=degrees) for degrees in DEGREES)
    return {
        "shift": {"pixels_moved": shifts, **curves(shifted, encode, pool)},
        "rotation": {"degrees": list(DEGREES), **curves(rotated, encode, pool)},
    }


def curves(movements: Iterable[Tensor], encode: Function, pool: Function | None) -> dict[str, list[float] | None]:
    """One value per movement of the same inputs, each (n, inputs); the first of them is the one not moved."""
    found: dict[str, list[float]] = {name: [] for name in ("pixels", "code", *(["pooled"] if pool else []))}
    first: dict[str, Tensor] = {}
    for x in movements:
        code = encode(x)
        values = {"pixels": x, "code": code} | ({"pooled": pool(code)} if pool else {})
        first = first or values
        for name, value in values.items():
            scale = spread(first[name])
            distance = float((value.double() - first[name].double()).norm(dim=1).mean())
            found[name].append(distance / scale if scale > 0 else 0.0)
    return {"pooled": None, **found}


def spread(values: Tensor) -> float:
    """√(mean ‖a − c‖²) over all pairs of different rows of `values` (n, k)."""
    deviations = values.double() - values.double().mean(0)
    return math.sqrt(2 * float(deviations.square().sum()) / (len(values) - 1))


def shifts_of(width: int) -> list[int]:
    """Whole pixels from 0 to half the width, evenly thinned out where they are many."""
    step = math.ceil((width // 2 + 1) / MOST_SHIFTS)
    return list(range(0, width // 2 + 1, step))


def surroundings(dataset: Dataset, rows: Tensor, preprocessor: Preprocessor, seed: int, inputs: int = INPUTS) -> Tensor:
    """(n, H, W, C) up to so many drawn inputs, normalised, each within as much of its image as movements reach."""
    spec, (height, width, channels) = preprocessor.spec, preprocessor.input_shape
    reach = 0 if spec.patch_size is None else max(width // 2, turning_reach(width))
    size = (height + 2 * reach) * (width + 2 * reach) * channels
    most = max(2, min(INPUTS, inputs, MOST_BYTES // (4 * size)))
    picked = rows[permutation(len(rows), seed, "invariance")[:most]]
    if spec.patch_size is None:
        return torch.cat([images for _, images in normalised_blocks(dataset, picked, spec)])
    found: list[Tensor] = []
    for number, (row, image, corners) in enumerate(
        windows_above(dataset, picked, spec, flatness(dataset, picked, spec))
    ):
        count = (number + 1) * most // len(picked) - number * most // len(picked)
        drawn = drawn_corners(corners, image.shape, width, count, generator_for(seed, "invariance", row))
        padded = torch.nn.functional.pad(image, (0, 0, reach, reach, reach, reach))
        found.append(windows_at(padded, width + 2 * reach, drawn))
    return torch.cat(found).view(-1, height + 2 * reach, width + 2 * reach, channels)


def drawn_corners(corners: Tensor, shape: tuple[int, ...], size: int, count: int, generator: torch.Generator) -> Tensor:
    """(count, 2) of `corners` (k, 2), far enough from the borders of the image where there are such."""
    turned = turning_reach(size)
    top, left = corners.unbind(1)
    roomy = (top >= turned) & (left >= turned)
    roomy &= (top + size + turned <= shape[0]) & (left + size + max(turned, size // 2) <= shape[1])
    allowed = corners[roomy] if roomy.any() else corners
    return allowed[torch.randint(max(1, len(allowed)), (count if len(allowed) else 0,), generator=generator)]


def turning_reach(size: int) -> int:
    """Pixels by which the corners of a square leave it when it turns."""
    return math.ceil((math.sqrt(2) - 1) / 2 * size) + 1


def moved(around: Tensor, preprocessor: Preprocessor, *, shift: int = 0, degrees: float = 0.0) -> Tensor:
    """x (n, inputs) as the model sees it: what a window over `around` (n, H, W, C) shows once it has moved."""
    height, width, _ = preprocessor.input_shape
    y, x = torch.meshgrid(centred(height), centred(width), indexing="ij")
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = (around.shape[1] - 1) / 2 + cosine * y - sine * x
    columns = (around.shape[2] - 1) / 2 + sine * y + cosine * x + shift
    return preprocessor.given(read(around, rows, columns).flatten(1)).x


def centred(length: int) -> Tensor:
    return torch.arange(length, dtype=torch.float64) - (length - 1) / 2


def read(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Bilinear values (n, h, w, C) of `images` (n, H, W, C) at `rows` and `columns` (h, w); outside them, zeros."""
    height, width, channels = images.shape[1:]
    framed = torch.nn.functional.pad(images, (0, 0, 1, 1, 1, 1)).flatten(1, 2)
    rows, columns = rows.clamp(-1, height) + 1, columns.clamp(-1, width) + 1
    top, left = rows.floor().clamp_max(height), columns.floor().clamp_max(width)
    down, across = rows - top, columns - left
    out = images.new_zeros(len(images), *rows.shape, channels)
    for below, beside in ((0, 0), (0, 1), (1, 0), (1, 1)):
        place = ((top + below) * (width + 2) + left + beside).long()
        weight = (down if below else 1 - down) * (across if beside else 1 - across)
        out += framed[:, place.flatten()].view_as(out) * weight.float()[..., None]
    return out
