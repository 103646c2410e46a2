"""The pools that one unit is in, from the spec alone (the pools themselves: `pinwheel.exports.pools`).

Pools over an image are those of kernels and of a sheet: of kernels `pool` is the number of the group of maps, whose
windows lie all over the image.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pinwheel.exports.pools import sheet
from pinwheel.specs import Conv, Local, Model, Pools, Shape


def pools_of(model: Model, image: Shape, unit: int) -> list[dict[str, Any]] | None:
    """`pool`, `weight` g of the unit in it and `units`, its members; None for a model without pools. `unit` is a
    filter; of one that repeats over the image the pools are those of its first field. `image` is that of an input."""
    pools, connection = model.sparsity, model.connection
    if not isinstance(pools, Pools):
        return None
    if isinstance(connection, Conv):
        axes = [list(_windows(unit, connection.units, min(pools.size, connection.units), pools.distance, None))]
        return [_described([axis], (connection.units,)) for axis in axes[0]]
    if isinstance(connection, Local):
        return _on_sheet(pools, connection, image, unit)
    if pools.layout == "disjoint":
        first = unit // pools.size * pools.size
        return [{"pool": unit // pools.size, "weight": 1.0, "units": list(range(first, first + pools.size))}]
    sigma = None if pools.profile != "gaussian" else pools.sigma or pools.size / 4
    if pools.layout == "ring":
        found = _windows(unit, connection.units, pools.size, pools.distance, sigma)
        return [_described([axis], (connection.units,)) for axis in found]
    sides = pools.map_of(connection.units)
    down = list(_windows(unit // sides.width, sides.height, pools.size, pools.distance, sigma))
    right = list(_windows(unit % sides.width, sides.width, pools.size, pools.distance, sigma))
    across = -(-sides.width // pools.distance)
    return [_described([one, other], (sides.height, sides.width), across) for one in down for other in right]


Axis = tuple[int, float, list[int]]  # a window along one axis: its number, the weight of the unit, its places


def _windows(place: int, length: int, size: int, stride: int, sigma: float | None) -> Iterator[Axis]:
    """The windows on an axis that closes on itself that hold `place`."""
    starts = np.arange(0, length, stride)
    steps = (place - starts) % length
    for number in np.flatnonzero(steps < size).tolist():
        distance = float(steps[number]) - (size - 1) / 2
        weight = 1.0 if sigma is None else float(np.exp(-(distance**2) / (2 * sigma**2)))
        yield number, weight, ((starts[number] + np.arange(size)) % length).tolist()


def _described(axes: list[Axis], sides: tuple[int, ...], across: int = 1) -> dict[str, Any]:
    """A pool that is a window along each axis."""
    if len(axes) == 1:
        number, weight, places = axes[0]
        return {"pool": number, "weight": weight, "units": places}
    (row, above, downs), (column, beside, rights) = axes
    units = [down * sides[1] + right for down in downs for right in rights]
    return {"pool": row * across + column, "weight": above * beside, "units": units}


def _on_sheet(pools: Pools, connection: Local, image: Shape, unit: int) -> list[dict[str, Any]]:
    """Windows of the sheet over the whole image; their units by the filters that they have."""
    height, width, _ = connection.code_shape(image)
    filters_down, filters_right = connection.map_shape(image)
    down, right = (sheet(pools, length) for length in (height, width))
    row, column = divmod(unit, filters_right)
    found = []
    for above in np.flatnonzero(down[:, row]).tolist():
        for beside in np.flatnonzero(right[:, column]).tolist():
            rows, columns = (np.flatnonzero(axis) for axis in (down[above], right[beside]))
            units = rows[:, None] % filters_down * filters_right + columns % filters_right
            weight = float(down[above, row] * right[beside, column])
            found.append({"pool": above * len(right) + beside, "weight": weight, "units": units.ravel().tolist()})
    return found
