"""Which tensors a model needs to encode, and their shapes: what a file is checked against.

A dense tree may have fewer units than its spec says, where branches were cut: the dictionary tells how many.
"""

import math
from collections.abc import Iterator, Mapping

from pinwheel.exports.pools import feature_shape
from pinwheel.specs import (
    Conv,
    Dense,
    Exact,
    Inhibition,
    Model,
    NoClassifier,
    Recurrent,
    Shape,
    StackSpec,
    TrainSpec,
    Tree,
    as_image,
    classifier_of,
    layers,
    tree_shape,
)

Sizes = tuple[int, ...]


def wrong_shape(spec: TrainSpec | StackSpec, image: Shape, shapes: Mapping[str, Sizes]) -> str | None:
    """What is wrong with the `shapes` of a file, or None. `image` is that of one input."""
    inputs, below = math.prod(image), 0
    needed: list[tuple[str, Sizes]] = []
    if spec.preprocessing.whiten == "zca":
        needed += [("preprocessing.mean", (inputs,)), ("preprocessing.whitening", (inputs, inputs))]
    for number, layer in enumerate(layers(spec)):
        dictionary = shapes.get(f"layers.{number}.dictionary")
        if dictionary is None:
            return f"the tensor layers.{number}.dictionary is missing"
        if number > 0:
            needed += [(f"layers.{number}.input_mean", (below,)), (f"layers.{number}.input_scale", ())]
        try:
            units = _units(layer.model, dictionary)
            found = list(_of_layer(layer.model, image, units))
            image = as_image(feature_shape(layer.model, image, units))
        except ValueError as error:
            return f"layer {number} does not fit inputs of {image}: {error}"
        needed += [(f"layers.{number}.{name}", shape) for name, shape in found]
        below = image[2]
    for name, shape in needed:
        if name not in shapes:
            return f"the tensor {name} is missing"
        if tuple(shapes[name]) != shape:
            return f"the tensor {name} has the shape {list(shapes[name])}; the spec makes it {list(shape)}"
    return None if isinstance(classifier_of(spec.stages[-1]), NoClassifier) else _classifier(shapes, math.prod(image))


def _classifier(shapes: Mapping[str, Sizes], features: int) -> str | None:
    found = shapes.get("classifier")
    if found is None:
        return "the tensor classifier is missing"
    if len(found) != 2 or found[0] < 1 or found[1] != features:
        return f"the tensor classifier has the shape {list(found)}; the spec makes it [classes, {features}]"
    return None


def _units(model: Model, dictionary: Sizes) -> int:
    if not isinstance(model.connection, Dense):
        return 0
    wanted = model.connection.units
    cut = isinstance(model.sparsity, Tree) and len(dictionary) == 2 and 0 < dictionary[1] < wanted
    return dictionary[1] if cut else wanted


def _of_layer(model: Model, image: Shape, units: int) -> Iterator[tuple[str, Sizes]]:
    connection, encoder = model.connection, model.encoder
    if isinstance(connection, Dense):
        inputs = math.prod(image)
        yield "dictionary", (inputs, units)
        rows: Sizes = (units, inputs)
    else:
        connection.code_shape(image)  # raises where the image does not fit
        units = connection.units if isinstance(connection, Conv) else math.prod(connection.map_shape(image))
        size = connection.kernel_size if isinstance(connection, Conv) else connection.field_size
        rows = (units, image[2], size, size)
        yield "dictionary", rows
    if not isinstance(encoder, Exact):
        yield "encoder", rows
        yield "bias", (units,)
        if isinstance(encoder, Recurrent):
            yield "explaining_away", (units, units) if isinstance(connection, Dense) else rows
        elif encoder.gain:
            yield "gain", (units,)
    if tree_shape(model) is not None:
        yield "parent", (units,)
    if isinstance(model.sparsity, Inhibition):
        yield "inhibition", (units, units)
