"""Square patches of images: drawn for training, side by side for encoding.

For training they are drawn once, from the windows of each image that are not flat, with the stream of the seed and of
the image. For encoding a grid of windows covers the image; the last of a row or column ends at its border.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pinwheel.specs import Preprocessing
from pinwheel.specs.preprocessing import MOST_PATCH_BYTES
from pinwheel.windows import starts
from worker.data.images import normalised_blocks
from worker.data.random import generator_for
from worker.data.reader import Dataset

HELD_OUT_PATCHES = 10_000  # for the metrics, where `patches_per_image` is null
ROUNDING = 1e-6  # share of the largest pixel below which a deviation is rounding


@dataclass(frozen=True)
class Patches:
    """`pixels` (n, inputs) float32, not yet scaled, the row of the data set that each is from, (n,), and its `corners`
    there, (n, 2) top and left."""

    pixels: Tensor
    images: Tensor
    corners: Tensor


def drawn_patches(dataset: Dataset, rows: Tensor, spec: Preprocessing, seed: int, count: int, stream: str) -> Patches:
    """`count` patches of the images at `rows`. An image without enough to draw from leaves its share to the next.

    Raises ValueError where an image is smaller than a patch, where all patches are flat, and where they are too many.
    """
    size = spec.patch_size
    assert size is not None
    check_sizes(dataset, rows, size)
    inputs = size * size * spec.input_shape((size, size, dataset.channels))[2]
    check_bytes(count, inputs)
    threshold = flatness(dataset, rows, spec)
    pixels, images = torch.empty(count, inputs), torch.empty(count, dtype=torch.int64)
    places = torch.empty(count, 2, dtype=torch.int64)
    done = wanted = 0
    for turn in range(2):  # the second for what the last images of the first left
        for number, (row, image, corners) in enumerate(windows_above(dataset, rows, spec, threshold)):
            wanted = count if turn else (number + 1) * count // len(rows)
            if wanted == done or len(corners) == 0:
                continue
            generator = generator_for(seed, stream, turn * len(dataset) + row)
            picked = corners[torch.randint(len(corners), (wanted - done,), generator=generator)]
            pixels[done:wanted] = windows_at(image, size, picked)
            images[done:wanted], places[done:wanted] = row, picked
            done = wanted
        if done == count:
            return Patches(pixels, images, places)
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


def flatness(dataset: Dataset, rows: Tensor, spec: Preprocessing) -> float:
    """The deviation up to which a patch is flat: a share of that of all pixels at `rows`, normalised; −1 for none."""
    if spec.flat_below == 0:
        return -1.0
    count, total, squares = 0, 0.0, 0.0
    for _, images in normalised_blocks(dataset, rows, spec):
        values = images.double()
        count += values.numel()
        total += float(values.sum())
        squares += float(values.square().sum())
    return spec.flat_below * math.sqrt(max(0.0, squares / count - (total / count) ** 2))


def windows_above(
    dataset: Dataset, rows: Tensor, spec: Preprocessing, threshold: float
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Each of the images at `rows`: its row, itself, (H, W, C), and (k, 2) the corners of what may be drawn from it."""
    assert spec.patch_size is not None
    for picked, images in normalised_blocks(dataset, rows, spec):
        for row, image, allowed in zip(picked, images, deviates(images, spec.patch_size, threshold), strict=True):
            yield row, image, allowed.nonzero()


def deviates(images: Tensor, size: int, threshold: float) -> Tensor:
    """(n, H − size + 1, W − size + 1) which windows of `images` (n, H, W, C) deviate by more than `threshold`.

    Below zero it allows all of them.
    """
    values = images.double()
    # centred: the variance is a small difference of large numbers otherwise
    values = values - values.mean((1, 2, 3), keepdim=True)
    area = size * size * images.shape[3]
    mean = window_sums(values.sum(3), size) / area
    deviation = (window_sums(values.square().sum(3), size) / area - mean.square()).clamp_min(0).sqrt()
    rounding = ROUNDING * values.abs().amax((1, 2, 3), keepdim=True)[..., 0]
    return deviation > rounding.clamp_min(threshold) if threshold >= 0 else deviation >= 0


def window_sums(values: Tensor, size: int) -> Tensor:
    """(n, H − size + 1, W − size + 1) sums over all windows of `values` (n, H, W), from its cumulative sums."""
    sums = torch.nn.functional.pad(values, (1, 0, 1, 0)).cumsum(1).cumsum(2)
    below, above = sums[:, size:], sums[:, :-size]
    return below[..., size:] - below[..., :-size] - above[..., size:] + above[..., :-size]


def windows_at(image: Tensor, size: int, corners: Tensor) -> Tensor:
    """(k, size · size · C) the windows of `image` (H, W, C) at `corners` (k, 2), top and left."""
    windows = image.unfold(0, size, 1).unfold(1, size, 1)  # (.., .., C, size, size), no copy
    return windows[corners[:, 0], corners[:, 1]].permute(0, 2, 3, 1).flatten(1)


@dataclass(frozen=True)
class Grid:
    """Windows of `window` (h, w) over images of `shape` (H, W), `stride` pixels apart, side by side without one; the
    last ones end at the border."""

    shape: tuple[int, int]
    window: tuple[int, int]
    stride: int | None = None

    @cached_property
    def tops(self) -> list[int]:
        return starts(self.shape[0], self.window[0], self.stride)

    @cached_property
    def lefts(self) -> list[int]:
        return starts(self.shape[1], self.window[1], self.stride)

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

    def some(self, pixels: Tensor, first: int, last: int) -> Tensor:
        """Rows `first` to `last` of `cut`, without the others: (k, h · w · C)"""
        height, width = self.window
        number = torch.arange(first, last)
        place = number % self.windows
        tops = torch.tensor(self.tops)[place // len(self.lefts)]
        lefts = torch.tensor(self.lefts)[place % len(self.lefts)]
        windows = pixels.unfold(1, height, 1).unfold(2, width, 1)
        picked = windows[number // self.windows, tops, lefts]  # (k, C, h, w)
        return picked.permute(0, 2, 3, 1).reshape(len(number), height * width * pixels.shape[3])

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
