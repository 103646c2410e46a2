"""Filters on an image by their definition: one loop over everything, and small connections to compare with it."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from gabors import gabors
from torch import Tensor

from worker.sparse.connections import Conv, Local
from worker.sparse.connections.spatial import Spatial

from .cases import drawn
from .oracles import Array

Image = tuple[int, int, int]


def entries(connection: Spatial) -> Iterator[tuple[int, int, tuple[int, int, int, int]]]:
    """(input, unit, entry of the filters) for every pixel that every unit sees.

    A unit of a convolution is a kernel at a position; one of a sheet has row and column there, which say its position
    and, modulo the block that repeats, its filter.
    """
    height, width, channels = connection.image
    down, right, at_position = connection.code_shape
    side, rows, columns = 1, down, right
    if isinstance(connection, Local):
        side = connection.side
        rows, columns = (connection.tile * side,) * 2 if connection.tile else (down, right)
    for unit in range(down * right * at_position):
        (row, column), number = divmod(unit // at_position, right), unit % at_position
        if isinstance(connection, Local):
            number = row % rows * columns + column % columns
        top = row // side * connection.stride - connection.padding
        left = column // side * connection.stride - connection.padding
        for channel, a, b in np.ndindex(channels, connection.size, connection.size):
            if 0 <= top + a < height and 0 <= left + b < width:
                yield ((top + a) * width + left + b) * channels + channel, unit, (number, channel, a, b)


def matrix_of(connection: Spatial, filters: Tensor | None = None) -> Tensor:
    """The dictionary, or other filters of its shape, as a matrix (inputs, units)."""
    filters = connection.dictionary.detach() if filters is None else filters
    pixels, units, places = zip(*entries(connection), strict=True)
    values = filters[tuple(torch.tensor(places).t())]
    empty = filters.new_zeros(connection.inputs, connection.units)
    return empty.index_put((torch.tensor(pixels), torch.tensor(units)), values)


def pattern_of(connection: Spatial) -> Tensor:
    """(inputs, units, entries of the filters) with matrix_of(connection, d) = pattern · d"""
    shape = connection.dictionary.shape
    pattern = torch.zeros(connection.inputs, connection.units, *shape, dtype=connection.dictionary.dtype)
    for pixel, unit, entry in entries(connection):
        pattern[(pixel, unit, *entry)] = 1
    return pattern.flatten(2)


def coverage_of(connection: Spatial) -> Tensor:
    """(inputs,) how many positions see each, counted one by one, over the largest count"""
    seen: list[set[tuple[int, int]]] = [set() for _ in range(connection.inputs)]
    _, right, at_position = connection.code_shape
    side = connection.side if isinstance(connection, Local) else 1
    for pixel, unit, _ in entries(connection):
        row, column = divmod(unit // at_position, right)
        seen[pixel].add((row // side, column // side))
    counts = torch.tensor([len(positions) for positions in seen], dtype=torch.float64)
    return counts / counts.max()


def unit_norm(filters: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(filters, dim=(1, 2, 3), keepdim=True)
    return filters / lengths


def conv(image: Image, units: int, size: int, *, seed: int = 0, stride: int = 1, padding: int = 0) -> Conv:
    return Conv(unit_norm(drawn(seed, units, image[2], size, size)), image, stride=stride, padding=padding)


def local(image: Image, size: int, *, seed: int = 0, stride: int = 1, side: int = 1, tile: int | None = None) -> Local:
    rows, columns = (tile, tile) if tile else ((length - size) // stride + 1 for length in image[:2])
    filters = unit_norm(drawn(seed, rows * columns * side * side, image[2], size, size))
    return Local(filters, image, stride=stride, side=side, tile=tile)


# Nine channels go to the library's convolutions, up to eight to products over cells.
CONVS: dict[str, Callable[[], Conv]] = {
    "conv": partial(conv, (7, 6, 1), 3, 3),
    "conv, strided": partial(conv, (9, 7, 2), 3, 3, stride=2),
    "conv, padded": partial(conv, (6, 5, 1), 4, 3, padding=1),
    "conv, fully padded": partial(conv, (5, 6, 1), 2, 3, padding=2),
    "conv, padded and strided with a rest": partial(conv, (8, 7, 3), 2, 4, stride=3, padding=2),
    "conv, side by side": partial(conv, (6, 9, 1), 5, 3, stride=3),
    "conv, cells that do not fill it": partial(conv, (12, 15, 1), 2, 3),
    "conv, one pixel": partial(conv, (3, 4, 2), 3, 1),
    "conv by the library": partial(conv, (5, 6, 9), 3, 3),
    "conv by the library, strided": partial(conv, (8, 6, 9), 2, 4, stride=2),
    "conv by the library, padded and strided with a rest": partial(conv, (8, 7, 9), 2, 4, stride=3, padding=2),
    "conv by the library, fully padded": partial(conv, (4, 5, 9), 2, 3, padding=2),
}
LOCALS: dict[str, Callable[[], Local]] = {
    "local": partial(local, (7, 6, 1), 3),
    "local, strided": partial(local, (9, 7, 2), 3, stride=2),
    "local, four at a position": partial(local, (6, 5, 1), 3, side=2),
    "local, nine at a position, strided": partial(local, (8, 4, 1), 2, stride=2, side=3),
    "local, tiled": partial(local, (6, 8, 1), 3, tile=2),
    "local, tiled, four at a position, strided": partial(local, (9, 13, 2), 3, stride=2, side=2, tile=2),
    "local, cells that do not fill it": partial(local, (13, 16, 1), 3),
    "local, a tile in one cell": partial(local, (14, 8, 1), 3, tile=6),
    "local, a tile of several cells": partial(local, (18, 10, 1), 3, side=2, tile=8),
    "local, side by side": partial(local, (6, 9, 1), 3, stride=3),
    "local, one field": partial(local, (5, 5, 1), 5, side=2),
}
CONNECTIONS: dict[str, Callable[[], Spatial]] = {**CONVS, **LOCALS}


def smooth_kernels(units: int, size: int) -> Tensor:
    """(units, 1, size, size) Gabors: what a training ends with"""
    angles = np.linspace(0, 180, units, endpoint=False)
    return torch.from_numpy(gabors(angles, np.full(units, 0.15), size)).double().permute(0, 3, 1, 2)


def weighed(connection: Spatial, x: Tensor) -> tuple[Array, Array]:
    """√c x and √c D: the plain problem whose energies are those of the connection."""
    roots = coverage_of(connection).sqrt()
    return (x * roots).numpy(), (matrix_of(connection) * roots[:, None]).numpy()
