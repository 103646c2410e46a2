"""Square patches of images: drawn for training, side by side for encoding.

For training they are drawn once, from the windows of each image that are not flat, with the stream of the seed and of
the image. For encoding a grid of windows covers the image; the last of a row or column ends at its border.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from pinwheel.specs import Preprocessing
from pinwheel.specs.preprocessing import MOST_PATCH_BYTES
from worker.data.images import normalised_images
from worker.data.random import generator_for
from worker.data.reader import Dataset

HELD_OUT_PATCHES = 10_000  # for the metrics, where `patches_per_image` is null
ROUNDING = 1e-6  # share of the largest pixel below which a deviation is rounding

Margin: TypeAlias = tuple[int, int, int, int]  # pixels above, to the right, below, to the left
NO_MARGIN: Margin = (0, 0, 0, 0)


@dataclass(frozen=True)
class Patches:
    """`pixels` (n, inputs) float32, not yet scaled, and the row of the data set that each is from, (n,)."""

    pixels: Tensor
    images: Tensor


def drawn_patches(dataset: Dataset, rows: Tensor, spec: Preprocessing, seed: int, count: int, stream: str) -> Patches:
    """`count` patches of the images at `rows`. An image without enough to draw from leaves its share to the next.

    Raises ValueError where an image is smaller than a patch, where all patches are flat, and where they are too many.
    """
    size = spec.patch_size
    assert size is not None
    check_sizes(dataset, rows, size)
    inputs = size * size * spec.input_shape((size, size, dataset.channels))[2]
    check_bytes(count, inputs)
    threshold = spec.flat_below * deviation_of_pixels(dataset, rows, spec) if spec.flat_below > 0 else -1.0
    pixels, images = torch.empty(count, inputs), torch.empty(count, dtype=torch.int64)
    done = wanted = 0
    for turn in range(2):  # the second for what the last images of the first left
        for number, (row, image) in enumerate(normalised_images(dataset, rows, spec)):
            wanted = count if turn else (number + 1) * count // len(rows)
            windows = windows_above(image, size, threshold) if wanted > done else None
            if windows is None or len(windows) == 0:
                continue
            generator = generator_for(seed, stream, turn * len(dataset) + row)
            picked = windows[torch.randint(len(windows), (wanted - done,), generator=generator)]
            pixels[done:wanted] = windows_at(image, size, picked)
            images[done:wanted] = row
            done = wanted
        if done == count:
            return Patches(pixels, images)
    raise ValueError(
        f"no patch of {size} × {size} in {len(rows)} images deviates by more than flat_below × the deviation of all "
        f"pixels, {max(threshold, 0):.3g}; lower preprocessing.flat_below, which is {spec.flat_below:g}"
    )


def check_sizes(dataset: Dataset, rows: Tensor, size: int) -> None:
    """Raises ValueError where a patch does not fit into an image, naming both."""
    sides = dataset.sides(rows.numpy())
    small = (sides < size).any(1)
    if small.any():
        first = int(small.argmax())
        height, width = sides[first].tolist()
        raise ValueError(
            f"image {rows[first]} is {height} × {width} and patch_size is {size}; a patch has to fit into every image"
        )


def check_bytes(count: int, inputs: int) -> None:
    if 4 * count * inputs > MOST_PATCH_BYTES:
        raise ValueError(
            f"{count} patches of {inputs} values take {4 * count * inputs} bytes; at most {MOST_PATCH_BYTES} are kept; "
            "a smaller preprocessing.patches_per_image or patch_size takes less"
        )


def deviation_of_pixels(dataset: Dataset, rows: Tensor, spec: Preprocessing) -> float:
    """The standard deviation of all pixels of the images at `rows`, in color and locally normalised."""
    count, total, squares = 0, 0.0, 0.0
    for _, image in normalised_images(dataset, rows, spec):
        values = image.double()
        count += values.numel()
        total += float(values.sum())
        squares += float(values.square().sum())
    return math.sqrt(max(0.0, squares / count - (total / count) ** 2))


def windows_above(image: Tensor, size: int, threshold: float, margin: Margin = NO_MARGIN) -> Tensor:
    """(k, 2) top and left of the windows of `image` (H, W, C) whose deviation is above `threshold`, in reading order.

    Only those are looked at that stay within the image when `margin` is laid around them.
    """
    values = image.double()
    # centred: the variance is a small difference of large numbers otherwise
    values = values - values.mean()
    area = size * size * image.shape[2]
    mean = window_sums(values.sum(2), size) / area
    deviation = (window_sums(values.square().sum(2), size) / area - mean.square()).clamp_min(0).sqrt()
    top, right, bottom, left = margin
    allowed = deviation > max(threshold, ROUNDING * float(values.abs().max())) if threshold >= 0 else deviation >= 0
    allowed[:top] = False
    allowed[max(0, len(allowed) - bottom) :] = False
    allowed[:, :left] = False
    allowed[:, max(0, allowed.shape[1] - right) :] = False
    return allowed.nonzero()


def window_sums(values: Tensor, size: int) -> Tensor:
    """(H − size + 1, W − size + 1) sums over all windows of `values` (H, W), from its cumulative sums."""
    sums = torch.nn.functional.pad(values, (1, 0, 1, 0)).cumsum(0).cumsum(1)
    below, above = sums[size:], sums[:-size]
    return below[:, size:] - below[:, :-size] - above[:, size:] + above[:, :-size]


def windows_at(image: Tensor, size: int, corners: Tensor) -> Tensor:
    """(k, size · size · C) the windows of `image` (H, W, C) at `corners` (k, 2), top and left."""
    windows = image.unfold(0, size, 1).unfold(1, size, 1)  # (.., .., C, size, size), no copy
    return windows[corners[:, 0], corners[:, 1]].permute(0, 2, 3, 1).flatten(1)


@dataclass(frozen=True)
class Grid:
    """Windows of `window` (h, w) side by side over images of `shape` (H, W); the last ones end at the border."""

    shape: tuple[int, int]
    window: tuple[int, int]

    @cached_property
    def tops(self) -> list[int]:
        return starts(self.shape[0], self.window[0])

    @cached_property
    def lefts(self) -> list[int]:
        return starts(self.shape[1], self.window[1])

    @property
    def windows(self) -> int:
        """Windows of each image."""
        return len(self.tops) * len(self.lefts)

    def cut(self, pixels: Tensor) -> Tensor:
        """(n, H, W, C) → (n · windows, h · w · C), image after image, row after row."""
        height, width = self.window
        windows = pixels.unfold(1, height, 1).unfold(2, width, 1)
        picked = windows[:, self.tops][:, :, self.lefts]  # (n, rows, columns, C, h, w)
        return picked.permute(0, 1, 2, 4, 5, 3).reshape(-1, height * width * pixels.shape[3])

    def join(self, windows: Tensor) -> Tensor:
        """The inverse of `cut`; where windows overlap, their mean."""
        height, width = self.shape
        places = self._places().to(windows.device)
        channels = windows.shape[1] // (self.window[0] * self.window[1])
        pixels = windows.reshape(-1, len(places), channels)
        out = windows.new_zeros(len(pixels), height * width, channels).index_add_(1, places, pixels)
        out /= torch.bincount(places, minlength=height * width)[:, None]
        return out.view(-1, height, width, channels)

    def _places(self) -> Tensor:
        """(windows · h · w,) index of each pixel of the windows within its image."""
        tops, lefts = torch.tensor(self.tops), torch.tensor(self.lefts)
        rows = tops[:, None] + torch.arange(self.window[0])  # (rows, h)
        columns = lefts[:, None] + torch.arange(self.window[1])  # (columns, w)
        return (rows[:, None, :, None] * self.shape[1] + columns[None, :, None, :]).flatten()


def starts(length: int, size: int) -> list[int]:
    """Where windows begin on an axis so that they cover it."""
    return sorted({*range(0, length - size + 1, size), length - size})
