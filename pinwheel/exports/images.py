"""Preprocessing as operators, from the user's images to the inputs of a model: the steps of `worker.data`.

    pixels → color → lcn or fourier (of the whole image) → patches side by side → scale → zca

Images may be of any size where a model was trained on patches. Whole images are normalised in float64, as there. The
mirrored image of `fourier` is even, so that its Fourier transform is the cosine transform of the image: two matrices.
"""

import math

import numpy as np

from pinwheel.exports.graph import DOUBLE, FLOAT, UINT8, Array, Graph
from pinwheel.specs import Preprocessing, Shape

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
REACH = 3  # the window of lcn ends at this many σ
FLAT = 1e-5  # share of the largest pixel below which a deviation is rounding


def pixels_of(g: Graph, images: str, kind: int) -> str:
    """(N, H, W, C) float32; uint8 becomes value / 255"""
    return g.op("Div", g.cast(images, FLOAT), 255.0) if kind == UINT8 else images


def gray(g: Graph, pixels: str) -> str:
    """(N, H, W, 1) of 1 or 3 channels. Another number fails: an index beyond the last channel."""
    count = g.op("Shape", pixels, start=3, end=4)
    three = g.op("Equal", count, [3])
    known = g.op("Or", three, g.op("Equal", count, [1]))
    places = g.op("Concat", [0], g.op("Div", count, [2]), g.op("Sub", count, [1]), axis=0)
    shift = g.op("Where", known, [0], count)
    channels = g.op("Gather", pixels, g.op("Add", places, shift), axis=3)
    weights = g.op("Where", three, np.array(LUMA, np.float32), np.array([1, 0, 0], np.float32))
    return g.sum(g.op("Mul", channels, weights), 3, keep=True)


def normalised(g: Graph, pixels: str, spec: Preprocessing) -> str:
    """Whole images, `lcn` or `fourier`."""
    if spec.whiten not in ("lcn", "fourier"):
        return pixels
    x = g.cast(pixels, DOUBLE)
    height, width = (g.op("Shape", pixels, start=axis, end=axis + 1) for axis in (1, 2))
    down, right = (smoothing(g, length, spec.lcn_sigma) for length in (height, width))
    if spec.whiten == "lcn":
        y = g.op("Sub", x, smoothed(g, x, down, right))
    else:
        mean = g.op("ReduceMean", x, [1, 2], keepdims=1)
        y = filtered(g, g.op("Sub", x, mean), height, width, spec.cutoff)
    squares = g.op("ReduceMean", g.op("Mul", y, y), [3], keepdims=1)
    deviation = g.op("Sqrt", smoothed(g, squares, down, right))
    divisor = g.op("Max", deviation, g.op("ReduceMean", deviation, [1, 2], keepdims=1))
    largest = g.op("ReduceMax", g.op("Abs", x), [1, 2, 3], keepdims=1)
    uneven = g.op("Greater", divisor, g.op("Mul", largest, np.float64(FLAT)))
    one, zero = np.float64(1), np.float64(0)
    found = g.op("Where", uneven, g.op("Div", y, g.op("Where", uneven, divisor, one)), zero)
    return g.cast(found, FLOAT)


def smoothing(g: Graph, length: str, sigma: float) -> str:
    """(length, length) the Gaussian window along an axis that is mirrored at both ends, as a matrix"""
    reach = math.ceil(REACH * sigma)
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    window /= window.sum()
    last = g.op("Sub", length, [1])
    period = g.op("Max", g.op("Mul", last, [2]), [1])  # of a single pixel: always itself
    places = g.op("Add", g.op("Unsqueeze", counted(g, length), [1]), np.arange(-reach, reach + 1)[None])
    turned = g.op("Sub", last, g.op("Abs", g.op("Sub", g.op("Mod", places, period), last)))
    square = g.op("Concat", length, length, axis=0)
    none = g.op("Expand", np.float64(0), square)
    weights = g.op("Expand", window[None], g.op("Concat", length, [len(window)], axis=0))
    return g.op("ScatterElements", none, turned, weights, axis=1, reduction="add")


def counted(g: Graph, length: str) -> str:
    """0, 1, …, length − 1"""
    # not by Squeeze: where the sides are known beforehand, the runtime's inference of shapes then takes it for a vector
    number = g.op("Reshape", length, np.zeros(0, np.int64))
    return g.op("Range", np.int64(0), number, np.int64(1))


def smoothed(g: Graph, x: str, down: str, right: str) -> str:
    """`x` (N, H, W, C) through a matrix along each axis"""
    at_rows = g.transposed(g.op("MatMul", down, g.transposed(x, 0, 2, 1, 3)), 0, 2, 1, 3)
    return g.op("MatMul", right, at_rows)


def filtered(g: Graph, x: str, height: str, width: str, cutoff: float) -> str:
    """`x` (N, H, W, C) with its frequencies multiplied by r(f) = f exp(−(f / cutoff)⁴)"""
    (down, down_back, f), (right, right_back, h) = (cosines(g, length) for length in (height, width))
    squares = g.op("Add", g.op("Unsqueeze", g.op("Mul", f, f), [1]), g.op("Mul", h, h))  # f² (H, W)
    shares = g.op("Div", squares, np.float64(cutoff**2))
    fall = g.op("Exp", g.op("Neg", g.op("Mul", shares, shares)))
    response = g.op("Unsqueeze", g.op("Mul", g.op("Sqrt", squares), fall), [2])
    spectrum = g.op("Mul", smoothed(g, x, down, right), response)
    return smoothed(g, spectrum, down_back, right_back)


def cosines(g: Graph, length: str) -> tuple[str, str, str]:
    """The cosine transform (DCT-II) along an axis as a matrix, its inverse, and the frequencies in cycles per pixel."""
    numbers = counted(g, length)
    n, long = g.cast(numbers, DOUBLE), g.cast(length, DOUBLE)
    odd = g.op("Add", g.op("Mul", numbers, [2]), [1])
    turns = g.op("Mod", g.op("Mul", g.op("Unsqueeze", numbers, [1]), odd), g.op("Mul", length, [4]))
    angles = g.op("Div", g.op("Mul", g.cast(turns, DOUBLE), np.float64(np.pi / 2)), long)
    waves = g.op("Sin", g.op("Add", angles, np.float64(np.pi / 2)))  # of Cos the runtime has no float64
    first = g.op("Equal", g.op("Unsqueeze", numbers, [1]), [0])
    scale = g.op("Sqrt", g.op("Div", g.op("Where", first, np.float64(1), np.float64(2)), long))
    matrix = g.op("Mul", waves, scale)
    frequencies = g.op("Div", n, g.op("Mul", long, np.float64(2)))
    return matrix, g.transposed(matrix, 1, 0), frequencies


def patches(g: Graph, pixels: str, window: Shape) -> tuple[str, str]:
    """(N · windows, inputs), image after image, and how many windows an image has, (1,).

    An image that is smaller than a window fails: an index beyond its last pixel.
    """
    side, _, channels = window
    places, counts = [], []
    for axis in (1, 2):
        length = g.op("Shape", pixels, start=axis, end=axis + 1)
        count = g.op("Div", g.op("Add", length, [side - 1]), [side])
        starts = g.op("Min", g.op("Mul", counted(g, count), [side]), g.op("Sub", length, [side]))
        whole = g.op("Add", g.op("Unsqueeze", g.op("Max", starts, [0]), [1]), np.arange(side)[None])
        places.append(g.shaped(whole, -1))
        counts.append(count)
    seen = g.op("Gather", g.op("Gather", pixels, places[0], axis=1), places[1], axis=2)
    number = g.op("Shape", pixels, start=0, end=1)
    shape = g.op("Concat", number, counts[0], [side], counts[1], [side], [channels], axis=0)
    split = g.transposed(g.op("Reshape", seen, shape, allowzero=1), 0, 1, 3, 2, 4, 5)
    return g.shaped(split, -1, side * side * channels), g.op("Mul", counts[0], counts[1])


def scaled(g: Graph, x: str, scale: str) -> str:
    """Each row of `x` (n, inputs) by itself."""
    if scale == "none":
        return x
    if scale == "unit-norm":
        factor = g.op("ReduceL2", x, [1], keepdims=1)
        uneven = g.op("Greater", factor, 0.0)
    else:
        shift = g.op("ReduceMean", x, [1], keepdims=1)
        x = g.op("Sub", x, shift)
        factor = g.op("Sqrt", g.op("ReduceMean", g.op("Mul", x, x), [1], keepdims=1))
        uneven = g.op("Greater", factor, g.op("Mul", g.op("Abs", shift), 1e-6))
    return g.op("Where", uneven, g.op("Div", x, g.op("Where", uneven, factor, 1.0)), 0.0)


def whitened(g: Graph, x: str, tensors: dict[str, Array]) -> str:
    return g.op("MatMul", g.op("Sub", x, tensors["preprocessing.mean"]), tensors["preprocessing.whitening"])


def averaged(g: Graph, answer: str, images: str, windows: str, columns: int) -> str:
    """The mean over the windows of each image, (N, columns), of `answer` (N · windows, columns)"""
    number = g.op("Shape", images, start=0, end=1)
    shape = g.op("Concat", number, windows, [columns], axis=0)
    split = g.op("Reshape", g.cast(answer, DOUBLE), shape, allowzero=1)
    return g.cast(g.op("ReduceMean", split, [1], keepdims=0), FLOAT)
