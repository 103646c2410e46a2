"""How large a model is on inputs of one shape: its filters, its codes and what it answers, counted from its spec."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pinwheel.files import layers_of
from pinwheel.specs import ANY_SPEC, Conv, Dense, Model, Pools, Shape, as_image, layers

Sides: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Geometry:
    """`filters` are learned, each of `field` numbers; units that share one count once there and each time in a code.

    `code` is (rows, columns, units at a position), 1 × 1 positions on a dense connection; `answer` is what encoding
    gives for one input, a code or its pools.
    """

    inputs: int
    filters: int
    field: int
    code: Shape
    answer: Sides

    @classmethod
    def of(cls, model: Model, image: Shape) -> "Geometry":
        """For inputs of this (height, width, channels). Raises ValueError where filters do not fit into them."""
        connection, inputs = model.connection, math.prod(image)
        code = connection.code_shape(image)
        answer: Sides = (connection.units,) if isinstance(connection, Dense) else code
        if model.output == "pooled" and isinstance(model.sparsity, Pools):
            answer = pooled_shape(model.sparsity, code)
        if isinstance(connection, Dense):
            return cls(inputs, connection.units, inputs, code, answer)
        if isinstance(connection, Conv):
            return cls(inputs, connection.units, connection.kernel_size**2 * image[2], code, answer)
        filters = math.prod(connection.map_shape(image))
        return cls(inputs, filters, connection.field_size**2 * image[2], code, answer)

    @property
    def units(self) -> int:
        """Length of a code."""
        return math.prod(self.code)

    @property
    def features(self) -> int:
        """Numbers that encoding gives for one input."""
        return math.prod(self.answer)

    @property
    def weights(self) -> int:
        """Numbers of the dictionary, and of an encoder like it."""
        return self.filters * self.field

    @property
    def products(self) -> int:
        """Multiplications of one input with all its filters, or of one code."""
        return self.units * self.field


def feature_shape(record: Mapping[str, Any], layer: int | None = None) -> list[int]:
    """What encoding gives for one input of a published model, by its top layer or by another. Older records know
    their units alone."""
    told = record if layer is None else layers_of(record)[layer]
    return list(told.get("feature_shape") or [told["units"]])


def code_length(record: Mapping[str, Any], layer: int | None = None) -> int:
    """Numbers of the code that a layer of a published model, the top one without, finds for one input."""
    told = layers_of(record)
    number = len(told) - 1 if layer is None else layer
    image: Shape = tuple(record["input_shape"])
    if number > 0:
        image = as_image(tuple(told[number - 1]["feature_shape"]))
    spec = ANY_SPEC.validate_python(record["spec"])
    return Geometry.of(layers(spec)[number].model, image).units


def pooled_shape(pools: Pools, code: Shape) -> Sides:
    """How many pools there are along each axis of a code (rows, columns, units)."""
    rows, columns, units = code
    if pools.layout == "maps":
        step = pools.window_distance
        down, right = (_windows(length, pools.window, step) for length in (rows, columns))
        return down, right, math.ceil(units / pools.distance)
    if pools.layout == "sheet":
        return _on_sheet(pools, rows), _on_sheet(pools, columns), 1
    return (pools.num_pools(units),)


def _on_sheet(pools: Pools, length: int) -> int:
    if pools.profile == "gaussian":
        # one around every unit that a stride reaches, and one more where the last unit is too far from them
        needed = math.ceil((length - 1 - pools.size // 2) / pools.distance) + 1
        return max(math.ceil(length / pools.distance), needed)
    return _windows(length, pools.size, pools.distance)


def _windows(length: int, size: int, stride: int) -> int:
    """Windows from the first place on until the last one is in one."""
    return max(0, math.ceil((length - size) / stride)) + 1
