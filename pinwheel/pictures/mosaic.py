"""All filters of a model as one picture, in pixels and as a file: tiles in rows, thin light gaps, no blur.

Zero is mid-gray in every tile: a filter's value v becomes 128 + 127 v / m, where m is the largest |v| of that filter
(`per-filter`) or of all (`global`). Filters with a mean, as DrSAE's, keep it.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pinwheel.errors import InvalidRequest
from pinwheel.pictures.statistics import filter_statistics

Filters = NDArray[np.floating]
Pixels = NDArray[np.uint8]
Normalize = Literal["per-filter", "global"]
Order = Literal["index", "usage", "norm", "orientation", "topographic"]

MAX_COLS, MAX_SCALE, MAX_PAD = 4096, 64, 64
MAX_PIXELS = 64_000_000
DEFAULT_PIXELS = 16_000_000  # filters are enlarged no further where no scale is asked for
MAX_WEBP_SIDE = 16_383  # the format has 14 bits for each side
TILE_PIXELS = 56  # the default scale makes small filters about this large
GAP = 222


@dataclass(frozen=True)
class MosaicOptions:
    """How to draw. cols: tiles in a row (near square by default); scale: screen pixels a side for each of a filter;
    pad: width of the gaps in screen pixels; normalize: one range for each filter, or one for all; order: of the tiles.

    Raises `InvalidRequest`, which names the limits.
    """

    cols: int | None = None
    scale: int | None = None
    pad: int = 1
    normalize: Normalize = "per-filter"
    order: Order = "index"

    def __post_init__(self) -> None:
        _check_range("cols", self.cols, 1, MAX_COLS)
        _check_range("scale", self.scale, 1, MAX_SCALE)
        _check_range("pad", self.pad, 0, MAX_PAD)
        _check_choice("normalize", self.normalize, get_args(Normalize))
        _check_choice("order", self.order, get_args(Order))


@dataclass(frozen=True)
class Layout:
    """Where the tiles stand. `units`[i] is drawn in row i // cols, column i % cols; sizes in screen pixels."""

    units: list[int]
    cols: int
    rows: int
    scale: int
    pad: int
    width: int
    height: int

    def as_json(self) -> dict[str, Any]:
        return {"cols": self.cols, "rows": self.rows, "scale": self.scale, "pad": self.pad,
                "width": self.width, "height": self.height, "order": self.units}  # fmt: skip


def mosaic(
    filters: Filters,
    options: MosaicOptions | None = None,
    usage: Filters | None = None,
    topographic: Sequence[int] | None = None,
) -> Pixels:
    """`filters` (units, height, width, 1 or 3) as pixels (height, width, 1 or 3).

    `order=usage` needs `usage` (units,); `order=topographic` needs `topographic`, the units as they lie on a map or in
    a tree. Raises `InvalidRequest` for an order the filters have no numbers for, a picture above `MAX_PIXELS`, or
    filters of another number of channels.
    """
    options = options or MosaicOptions()
    plan = layout(filters, options, usage, topographic)
    return draw(filters, plan, options)


def draw(filters: Filters, plan: Layout, options: MosaicOptions) -> Pixels:
    """`filters` where `plan` of the same `options` has them."""
    shown = filters if options.order == "index" else filters[plan.units]
    return tile(filter_pixels(shown, options.normalize), plan.cols, plan.scale, plan.pad)


def layout(
    filters: Filters,
    options: MosaicOptions | None = None,
    usage: Filters | None = None,
    topographic: Sequence[int] | None = None,
) -> Layout:
    """The plan of `mosaic` for the same arguments, without the pixels."""
    options = options or MosaicOptions()
    units, height, width, channels = filters.shape
    check_channels(channels)
    cols = min(options.cols or _near_square(units, height, width), max(1, units))
    rows = math.ceil(units / cols)
    scale = options.scale or _default_scale(height, width, rows, cols, options.pad)
    shape = _size(rows, cols, height * scale, width * scale, options.pad)
    if shape[0] * shape[1] > MAX_PIXELS:
        raise InvalidRequest(
            f"The picture would have {shape[1]} × {shape[0]} pixels ({units} filters of {width} × {height}, "
            f"scale {scale}, pad {options.pad}); at most {MAX_PIXELS} are drawn. Lower scale or pad, or ask for npy."
        )
    order = unit_order(filters, options.order, usage, topographic)
    return Layout(order, cols, rows, scale, options.pad, width=shape[1], height=shape[0])


def unit_order(
    filters: Filters, order: Order, usage: Filters | None = None, topographic: Sequence[int] | None = None
) -> list[int]:
    """Indices of the units in drawing order: most used or largest norm first; orientations from flat to standing."""
    if order == "index":
        return list(range(len(filters)))
    if order == "topographic":
        if topographic is None:
            raise InvalidRequest("order=topographic needs units on a map or in a tree, and this model has neither.")
        return list(topographic)
    if order == "usage":
        if usage is None:
            raise InvalidRequest("order=usage needs the usage of the units, which is not known here.")
        return _sorted_units(-usage.astype(np.float64))
    statistics = filter_statistics(filters)
    return _sorted_units(-statistics.norm if order == "norm" else statistics.orientation_deg)


def filter_pixels(filters: Filters, normalize: Normalize = "per-filter") -> Pixels:
    """Signed values (units, height, width, channels) to levels 1 … 255, zero at 128. Non-finite values draw as zero."""
    values = np.nan_to_num(filters.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    peak = np.abs(values).max(axis=(1, 2, 3), keepdims=True, initial=0.0)
    if normalize == "global":
        peak = np.full_like(peak, peak.max(initial=0.0))
    # Divide first: a tiny peak would overflow as a factor.
    shares = np.divide(values, peak, out=np.zeros_like(values), where=peak > 0)
    levels: Pixels = np.rint(128 + 127 * shares).astype(np.uint8)
    return levels


def tile(tiles: Pixels, cols: int, scale: int, pad: int) -> Pixels:
    """`tiles` (items, height, width, channels), enlarged by whole pixels, in rows of `cols` with gaps of `pad`."""
    items, height, width, channels = tiles.shape
    rows = math.ceil(items / cols)
    cell = (height * scale + pad, width * scale + pad)
    canvas = np.full((rows * cell[0] + pad, cols * cell[1] + pad, channels), GAP, np.uint8)
    for row in range(rows):
        line = tiles[row * cols : (row + 1) * cols]
        enlarged = line.repeat(scale, axis=1).repeat(scale, axis=2)
        cells = np.full((len(line), *cell, channels), GAP, np.uint8)
        cells[:, : height * scale, : width * scale] = enlarged
        strip = cells.transpose(1, 0, 2, 3).reshape(cell[0], -1, channels)
        top = row * cell[0] + pad
        canvas[top : top + cell[0], pad : pad + strip.shape[1]] = strip
    return canvas


def encode_picture(pixels: Pixels, format: Literal["png", "webp"], text: Mapping[str, str] | None = None) -> bytes:
    """`pixels` (height, width, 1 or 3) as a file; only PNG carries `text`."""
    return encode_png(pixels, text) if format == "png" else encode_webp(pixels)


def encode_png(pixels: Pixels, text: Mapping[str, str] | None = None) -> bytes:
    """`pixels` (height, width, 1 or 3) as a PNG file; `text` goes into tEXt chunks (iTXt where it is not Latin-1)."""
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value)
    buffer = io.BytesIO()
    to_image(pixels).save(buffer, "PNG", pnginfo=chunks, compress_level=6)
    return buffer.getvalue()


def encode_webp(pixels: Pixels) -> bytes:
    """`pixels` (height, width, 1 or 3) as a lossless WebP file. Raises `InvalidRequest` where a side is too long."""
    height, width = pixels.shape[:2]
    if max(height, width) > MAX_WEBP_SIDE:
        raise InvalidRequest(
            f"WebP holds at most {MAX_WEBP_SIDE} pixels a side and this picture has {width} × {height}; "
            "ask for png, or for a smaller scale."
        )
    buffer = io.BytesIO()
    # Full effort takes minutes on a large picture for a few per cent.
    to_image(pixels).save(buffer, "WEBP", lossless=True, quality=30, method=2)
    return buffer.getvalue()


def to_image(pixels: Pixels) -> Image.Image:
    """The same pixels as a Pillow image, gray or RGB."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def check_channels(channels: int) -> None:
    """Raises `InvalidRequest` for filters that are neither gray nor coloured."""
    if channels not in (1, 3):
        raise InvalidRequest(
            f"Filters of {channels} channels have no colours: a picture needs 1 or 3. Ask for numbers."
        )


def _near_square(units: int, height: int, width: int) -> int:
    """Tiles in a row that make the picture about as wide as high."""
    return min(MAX_COLS, max(1, math.ceil(math.sqrt(units * height / width))))


def _default_scale(height: int, width: int, rows: int, cols: int, pad: int) -> int:
    scale = max(1, min(MAX_SCALE, TILE_PIXELS // max(height, width)))
    while scale > 1 and math.prod(_size(rows, cols, height * scale, width * scale, pad)) > DEFAULT_PIXELS:
        scale -= 1
    return scale


def _size(rows: int, cols: int, tile_height: int, tile_width: int, pad: int) -> tuple[int, int]:
    return rows * (tile_height + pad) + pad, cols * (tile_width + pad) + pad


def _sorted_units(keys: NDArray[np.float64]) -> list[int]:
    """Units by rising key, equal keys by index, NaN last."""
    return [int(unit) for unit in np.argsort(keys, kind="stable")]


def _check_range(name: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        _refuse(name, f"{name} is {value}; it must be between {low} and {high}.", "out_of_range")


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        _refuse(name, f"{name} is {value!r}; it must be one of {', '.join(allowed)}.", "unknown_choice")


def _refuse(name: str, detail: str, code: str) -> None:
    raise InvalidRequest(detail, errors=[{"pointer": f"#/{name}", "code": code, "detail": detail}])
