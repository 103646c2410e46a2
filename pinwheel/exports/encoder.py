"""The encoder of a published model as an ONNX file: the user's images in, `features` out, preprocessing included.

Made of the named tensors and the spec alone, without torch. Standard operators only, batches of any size.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from onnx import ValueInfoProto, helper

from pinwheel.exports import images
from pinwheel.exports.connections import Maps, maps_of
from pinwheel.exports.graph import FLOAT, INT64, UINT8, Array, Graph
from pinwheel.exports.penalties import L1, Groups, Inhibition, Penalty
from pinwheel.exports.pools import is_disjoint, pooling_of
from pinwheel.exports.solvers import solved
from pinwheel.exports.trees import Tree
from pinwheel.exports.weights import Weights
from pinwheel.specs import L1 as L1Spec
from pinwheel.specs import (
    Dense,
    Exact,
    Feedforward,
    Model,
    Pools,
    PredictRefine,
    Preprocessing,
    Recurrent,
    Shape,
    as_image,
    layers,
)
from pinwheel.specs import Inhibition as InhibitionSpec
from pinwheel.specs import Tree as TreeSpec

Pixels: TypeAlias = Literal["float32", "uint8"]
MOST_BYTES = 2**31 - 2**24  # of a file of this format, with room for the operators


def onnx_bytes(
    weights: Weights, *, layer: int | None = None, topk: int | None = None, pixels: Pixels = "float32"
) -> bytes:
    """The file. `layer` of a stack, from 0; `topk` adds the k largest features by amount; `pixels` are the images'.

    Raises ValueError for what cannot be exported, and says why.
    """
    last = len(layers(weights.spec)) - 1
    chosen = last if layer is None else layer
    if not 0 <= chosen <= last:
        raise ValueError(f"layer is {layer}; this model has {last + 1}, 0 to {last}")
    kind = UINT8 if pixels == "uint8" else FLOAT
    g = Graph()
    found = _features(g, weights, chosen, kind)
    if topk is not None and not 1 <= topk <= found.columns:
        raise ValueError(f"topk is {topk}; 1 to {found.columns} features are there")
    if g.constant_bytes > MOST_BYTES:
        raise ValueError(f"the tensors take {g.constant_bytes} bytes; an ONNX file holds at most {MOST_BYTES}")
    values = [found.name]
    outputs = [helper.make_tensor_value_info("features", FLOAT, ["batch", found.columns])]
    if topk is not None:
        # of equal amounts the lower number comes first, as in the answers of the service
        _, indices = g.ops("TopK", [g.op("Abs", found.name), [topk]], 2, axis=1)
        values += [indices, g.op("GatherElements", found.name, indices, axis=1)]
        outputs.append(helper.make_tensor_value_info("topk_indices", INT64, ["batch", topk]))
        outputs.append(helper.make_tensor_value_info("topk_values", FLOAT, ["batch", topk]))
    about = {"pinwheel": "encoder", "layer": str(chosen), "spec": weights.spec.model_dump_json()}
    model = g.model([_input(weights, kind)], outputs, values, about)
    return bytes(model.SerializeToString(deterministic=True))


@dataclass(frozen=True)
class Features:
    """The value `name` (batch, columns)."""

    name: str
    columns: int


def _input(weights: Weights, kind: int) -> ValueInfoProto:
    """Images of any size of patch models, and of 1 or 3 channels where they are made gray."""
    spec, (height, width, channels) = weights.spec.preprocessing, weights.image
    sides = [height, width] if spec.patch_size is None else ["height", "width"]
    shape = ["batch", *sides, "channels" if spec.color == "gray" else channels]
    return helper.make_tensor_value_info("images", kind, shape)


def _features(g: Graph, weights: Weights, last: int, kind: int) -> Features:
    spec = weights.spec.preprocessing
    pixels = images.pixels_of(g, "images", kind)
    pixels = images.normalised(g, images.gray(g, pixels) if spec.color == "gray" else pixels, spec)
    windows = None
    if spec.patch_size is None:
        x = g.shaped(pixels, -1, math.prod(weights.image))
    else:
        x, windows = images.patches(g, pixels, weights.image)
    found = _stacked(g, _given(g, x, spec, weights), weights, last)
    if windows is None:
        return found
    return Features(images.averaged(g, found.name, "images", windows, found.columns), found.columns)


def _given(g: Graph, x: str, spec: Preprocessing, weights: Weights) -> str:
    x = images.scaled(g, x, spec.scale)
    return images.whitened(g, x, weights.tensors) if spec.whiten == "zca" else x


def _stacked(g: Graph, x: str, weights: Weights, last: int) -> Features:
    """Layer by layer: each sees what the features below differ from their mean, times one number."""
    image = weights.image
    for number, layer in enumerate(layers(weights.spec)[: last + 1]):
        tensors = weights.of_layer(number)
        if number > 0:
            mean = tensors["input_mean"]
            at = g.op("Sub", g.shaped(x, -1, math.prod(image) // len(mean), len(mean)), mean)
            x = g.shaped(g.op("Mul", at, tensors["input_scale"]), -1, math.prod(image))
        x, shape = _layer(g, x, layer.model, tensors, image)
        image = as_image(shape)
    return Features(x, math.prod(image))


def _layer(g: Graph, x: str, model: Model, tensors: dict[str, Array], image: Shape) -> tuple[str, tuple[int, ...]]:
    """The features of `x` (batch, inputs) and their shape."""
    dictionary = tensors["dictionary"]
    dense = isinstance(model.connection, Dense)
    maps = maps_of(model.connection, image, dictionary.shape[1])
    encoder = model.encoder
    if isinstance(encoder, Exact):
        rows = np.ascontiguousarray(dictionary.T) if dense else dictionary
        penalty = _penalty(model, tensors, maps)
        code = solved(g, maps, rows, penalty, x, encoder.solver, nonnegative=encoder.sign == "nonnegative")
    elif isinstance(encoder, Recurrent):
        code = _recurrent(g, x, encoder, tensors, maps)
    else:
        code = _feedforward(g, x, encoder, tensors, maps)
    if model.output == "code":
        return code, maps.code_shape
    pooling = pooling_of(model, maps.code_shape)
    return pooling.norms(g, code), pooling.pooled


def _feedforward(g: Graph, x: str, encoder: Feedforward | PredictRefine, tensors: dict[str, Array], maps: Maps) -> str:
    """z = g · act(E x + b)"""
    code, bias = maps.correlate(g, tensors["encoder"], x), maps.spread(tensors["bias"])
    if encoder.activation == "shrink":
        code = _shrunk(g, code, bias)
    else:
        code = g.op("Add", code, bias)
        if encoder.activation != "linear":
            code = g.op("Relu" if encoder.activation == "relu" else "Tanh", code)
    return g.op("Mul", code, maps.spread(tensors["gain"])) if encoder.gain else code


def _shrunk(g: Graph, value: str, threshold: Array) -> str:
    """sign(v) max(0, |v| − θ)"""
    return g.op("Sub", value, g.op("Max", g.op("Min", value, threshold), -threshold))


def _recurrent(g: Graph, x: str, encoder: Recurrent, tensors: dict[str, Array], maps: Maps) -> str:
    """z¹ = h(E c x), zᵗ⁺¹ = h(E c x + S zᵗ), with S zᵗ = zᵗ − E c B zᵗ on an image"""
    rows, away, bias = tensors["encoder"], tensors["explaining_away"], maps.spread(tensors["bias"])
    drive = maps.correlate(g, rows, maps.weighed(g, x))

    def shrunk(value: str) -> str:
        return _shrunk(g, value, bias) if encoder.sign == "signed" else g.op("Relu", g.op("Sub", value, bias))

    code = shrunk(drive)
    for _ in range(encoder.passes - 1):
        if away.ndim == 2:
            code = shrunk(g.op("Add", drive, g.op("MatMul", code, np.ascontiguousarray(away.T))))
            continue
        explained = maps.correlate(g, rows, maps.weighed(g, maps.decode(g, away, code)))
        code = shrunk(g.op("Sub", g.op("Add", drive, code), explained))
    return code


def _penalty(model: Model, tensors: dict[str, Array], maps: Maps) -> Penalty:
    spec = model.sparsity
    if isinstance(spec, L1Spec):
        return L1(spec.weight)
    if isinstance(spec, Pools):
        pooling = pooling_of(model, maps.code_shape)
        return Groups(pooling, spec.weight, spec.smoothing, disjoint=is_disjoint(spec))
    if isinstance(spec, TreeSpec):
        return Tree(tensors["parent"], spec.weight, spec.norm)
    assert isinstance(spec, InhibitionSpec)  # noise is predicted, not searched for: the spec's own check
    return Inhibition(tensors["inhibition"], spec.weight)
