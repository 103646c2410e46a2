"""From a spec to a model. A fresh model and a published one are made the same way, from named tensors.

dictionary (inputs, units)   encoder (units, inputs)   bias, gain (units,)   inhibition (units, units)
explaining_away (units, units), identity included
... on the connections `conv` and `local`: dictionary, encoder, explaining_away (units, channels, height, width), where
units count filters, and for `local` positions (units, 2), top and left pixel of each field
parent (units,)              spread (units, inputs)    spread_bias (units,)
classifier (classes, features)

These are the names within one layer; in a published file those of layer i are `layers.{i}.*`, but for the classifier.
"""

import math
from typing import Any

import torch
from torch import Tensor

from pinwheel import specs
from worker.data.random import generator_for
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.classifier import Softmax, draw_weights
from worker.sparse.connections import Connection, Conv, Dense, Local
from worker.sparse.connections.dense import draw_dictionary
from worker.sparse.connections.spatial import Spatial
from worker.sparse.encoders import (
    Encoder,
    Exact,
    Feedforward,
    PredictRefine,
    Recurrent,
    RecurrentFields,
    Settings,
)
from worker.sparse.encoders.recurrent import FIRST_BIAS, drsae_matrices, ista_matrices, random_matrices
from worker.sparse.sparsity import L1, Inhibition, Noise, Penalty, PoolNorm, Pools, SpatialPools, Tree
from worker.sparse.sparsity.inhibition import (
    ring_inhibition,
    sheet_inhibition,
    tree_inhibition,
    uniform_inhibition,
)
from worker.sparse.sparsity.pools import disjoint_pools, gaussian_profile, ring_pools, torus_pools
from worker.sparse.sparsity.spatial_pools import gaussian_windows, ring_windows, windows

Tensors = dict[str, Tensor]


def fresh_model(
    spec: specs.Model, examples: Tensor, classes: int | None, seed: int, image: specs.Shape | None = None
) -> Autoencoder:
    """A model initialised from preprocessed `examples` (n, inputs) and `seed`, within its constraints.

    `image` (height, width, channels) is what an input stands for; without it a vector.
    """
    image = image or (1, examples.shape[1], 1)
    drawn = drawn_connection(spec.connection, examples, image, generator_for(seed, "dictionary"))
    drawn.project()  # what an encoder starts from is the dictionary within its constraints
    tensors = {"dictionary": drawn.dictionary.detach()}
    tensors |= encoder_tensors(spec, drawn, seed)
    tensors |= sparsity_tensors(spec, drawn)
    if isinstance(spec.classifier, specs.Softmax):
        sparsity = sparsity_from(spec.sparsity, tensors, drawn)
        pooled = spec.output == "pooled"
        features = math.prod(sparsity.pooled_shape) if isinstance(sparsity, PoolNorm) and pooled else drawn.units
        tensors["classifier"] = draw_weights(need_classes(classes), features, generator_for(seed, "classifier"))
    model = model_from(spec, tensors, image)
    model.project()
    return model


def drawn_connection(
    spec: specs.Connection, examples: Tensor, image: specs.Shape, generator: torch.Generator
) -> Connection:
    if isinstance(spec, specs.Dense):
        return connection_from(spec, draw_dictionary(examples, spec.units, generator), image)
    count = spec.units if isinstance(spec, specs.Conv) else math.prod(spec.map_shape(image))
    size = spec.kernel_size if isinstance(spec, specs.Conv) else spec.field_size
    connection = connection_from(spec, torch.zeros(count, image[2], size, size), image)
    assert isinstance(connection, Spatial)
    connection.draw(examples, generator)
    return connection


def classifier_from(spec: specs.Softmax, weights: Tensor) -> Softmax:
    """With these weights (classes, units)."""
    return Softmax(weights, weight=spec.weight, max_norm=spec.max_norm, rate_multiplier=spec.rate_multiplier)


def model_from(spec: specs.Model, tensors: Tensors, image: specs.Shape) -> Autoencoder:
    """The model made of these tensors, for inputs of this shape. Raises KeyError where one is missing."""
    connection = connection_from(spec.connection, tensors["dictionary"], image)
    classifier = None
    if isinstance(spec.classifier, specs.Softmax):
        classifier = classifier_from(spec.classifier, tensors["classifier"])
    sparsity = sparsity_from(spec.sparsity, tensors, connection)
    encoder = encoder_from(spec.encoder, tensors)
    return Autoencoder(connection, encoder, sparsity, classifier, pooling=spec.output == "pooled")


def connection_from(spec: specs.Connection, dictionary: Tensor, image: specs.Shape) -> Connection:
    rate = spec.update_rate if spec.update == "diagonal-hessian" else None
    fixed = spec.norm == "fixed"
    if isinstance(spec, specs.Dense):
        return Dense(dictionary, spec.max_norm, fixed=fixed, update_rate=rate, image=image)
    spec.code_shape(image)  # raises where the image does not fit
    if isinstance(spec, specs.Conv):
        return Conv(
            dictionary,
            image,
            stride=spec.stride,
            padding=spec.padding,
            max_norm=spec.max_norm,
            fixed=fixed,
            update_rate=rate,
        )
    return Local(
        dictionary,
        image,
        stride=spec.field_stride,
        side=spec.side,
        tile=spec.tile,
        max_norm=spec.max_norm,
        fixed=fixed,
        update_rate=rate,
    )


def need_classes(classes: int | None) -> int:
    if classes is None:
        raise ValueError("the classifier `softmax` needs labels and the data set has none; `none` needs no labels")
    return classes


def restart_encoder(model: Autoencoder, spec: specs.Model, seed: int) -> None:
    """Let the encoder begin anew from the dictionary as it is now."""
    tensors = encoder_tensors(spec, model.connection, seed)
    model.encoder.load_state_dict(encoder_from(spec.encoder, tensors).state_dict())


def encoder_tensors(spec: specs.Model, connection: Connection, seed: int) -> Tensors:
    """First tensors of the encoder for the dictionary as it is."""
    encoder = spec.encoder
    if isinstance(encoder, specs.Recurrent):
        if isinstance(connection, Dense):
            return recurrent_tensors(spec, encoder, connection.dictionary.detach().cpu(), seed)
        return recurrent_fields_tensors(spec, encoder, connection, seed)
    if isinstance(encoder, specs.Feedforward | specs.PredictRefine):
        first = Feedforward.from_connection(connection, activation=encoder.activation, gain=encoder.gain)
        return feedforward_tensors(first)
    return {}


def recurrent_tensors(spec: specs.Model, encoder: specs.Recurrent, dictionary: Tensor, seed: int) -> Tensors:
    if encoder.start == "ista":
        assert isinstance(spec.sparsity, specs.L1)  # the spec's own check
        matrices = ista_matrices(dictionary, spec.sparsity.weight)
    elif encoder.start == "drsae":
        assert encoder.total_step is not None  # the spec's own check
        matrices = drsae_matrices(dictionary, encoder.passes, encoder.total_step)
    else:
        matrices = random_matrices(dictionary.shape[0], dictionary.shape[1], generator_for(seed, "encoder"))
    first, explaining_away, bias = matrices
    full = explaining_away + torch.eye(len(bias), dtype=bias.dtype)
    return {"encoder": first, "explaining_away": full, "bias": bias}


def recurrent_fields_tensors(spec: specs.Model, encoder: specs.Recurrent, connection: Connection, seed: int) -> Tensors:
    filters = connection.first_encoder().cpu()
    if encoder.start == "ista":
        assert isinstance(spec.sparsity, specs.L1)  # the spec's own check
        step = 1 / connection.known()[1]
        first, away, threshold = step * filters, filters, step * spec.sparsity.weight
    else:
        limit = filters[0].numel() ** -0.5
        first = torch.empty_like(filters).uniform_(-limit, limit, generator=generator_for(seed, "encoder"))
        away, threshold = torch.zeros_like(filters), FIRST_BIAS
    bias = filters.new_full((len(filters),), threshold)
    return {"encoder": first, "explaining_away": away, "bias": bias}


def feedforward_tensors(encoder: Feedforward) -> Tensors:
    tensors: Tensors = {"encoder": encoder.encoder, "bias": encoder.bias}
    if encoder.gain is not None:
        tensors["gain"] = encoder.gain
    return tensors


def encoder_from(spec: specs.Encoder, tensors: Tensors) -> Encoder:
    if isinstance(spec, specs.Exact):
        return Exact(settings_of(spec.solver, spec.sign))
    if isinstance(spec, specs.Feedforward):
        return feedforward_from(spec, tensors)
    if isinstance(spec, specs.PredictRefine):
        sign = "nonnegative" if spec.activation == "relu" else "signed"
        return PredictRefine(feedforward_from(spec, tensors), settings_of(spec.solver, sign), weight=spec.weight)
    recurrent = recurrent_from(spec, tensors)
    if spec.target == "energy":
        return recurrent
    return PredictRefine(recurrent, settings_of(spec.solver, spec.sign), weight=1.0, coupled=False)


def settings_of(solver: specs.Solver, sign: str) -> Settings:
    return Settings(sign, solver.method, solver.max_iterations, solver.tolerance)


def feedforward_from(spec: specs.Feedforward | specs.PredictRefine, tensors: Tensors) -> Feedforward:
    return Feedforward(
        tensors["encoder"],
        tensors["bias"],
        tensors["gain"] if spec.gain else None,
        activation=spec.activation,
        rate_multiplier=spec.rate_multiplier,
    )


def recurrent_from(spec: specs.Recurrent, tensors: Tensors) -> Recurrent | RecurrentFields:
    encoder, away = tensors["encoder"], tensors["explaining_away"]
    told: dict[str, Any] = {
        "passes": spec.passes,
        "total_step": spec.total_step,
        "signed": spec.sign == "signed",
        "tied": spec.tied_without_labels,
        "rate_multiplier": spec.rate_multiplier,
        "bias_rate_multiplier": spec.bias_rate_multiplier,
    }
    if encoder.dim() > 2:
        return RecurrentFields(encoder, away, tensors["bias"], **told)
    identity = torch.eye(len(encoder), dtype=encoder.dtype)
    return Recurrent(encoder, away - identity, tensors["bias"], **told)


def sparsity_tensors(spec: specs.Model, connection: Connection) -> Tensors:
    """First tensors of the sparsity, structure included."""
    inputs, units = connection.inputs, connection.units
    tensors: Tensors = {}
    parent = parents(spec)
    if parent is not None:
        tensors["parent"] = parent
    if isinstance(spec.sparsity, specs.Inhibition):
        tensors["inhibition"] = first_inhibition(spec.sparsity.structure, units)
    if isinstance(spec.sparsity, specs.Noise):
        fresh = Noise.fresh(units, inputs, spec.sparsity.weight)
        tensors |= {"spread": fresh.spread, "spread_bias": fresh.bias}
    return tensors


def parents(spec: specs.Model) -> Tensor | None:
    """(units,) the parent of each unit, where they form a tree"""
    shape = specs.tree_shape(spec)
    return None if shape is None else torch.tensor(shape.parent_of_each())


def first_inhibition(structure: specs.Structure, units: int) -> Tensor:
    """S (units, units)"""
    if isinstance(structure, specs.Ring):
        return ring_inhibition(units, structure.free_radius, structure.radius)
    if isinstance(structure, specs.Sheet):
        size = structure.map
        return sheet_inhibition(size.height, size.width, structure.free_radius, structure.radius)
    if isinstance(structure, specs.Branches):
        return tree_inhibition(torch.tensor(structure.shape.parent_of_each()))
    if isinstance(structure, specs.Matrix):
        return torch.tensor(structure.values)
    return uniform_inhibition(units, structure.max_value, structure.row_sum)


def sparsity_from(spec: specs.Sparsity, tensors: Tensors, connection: Connection) -> Penalty:
    if isinstance(spec, specs.L1):
        return L1(spec.weight)
    if isinstance(spec, specs.Pools):
        return pools_from(spec, connection.units) if isinstance(connection, Dense) else spatial_pools(spec, connection)
    if isinstance(spec, specs.Tree):
        return Tree(tensors["parent"], spec.weight, spec.norm)
    if isinstance(spec, specs.Noise):
        return Noise(tensors["spread"], tensors["spread_bias"], spec.weight)
    matrix = tensors["inhibition"]
    if isinstance(spec.structure, specs.Learned):
        learned = spec.structure
        return Inhibition(matrix, spec.weight, rate=learned.rate, max_value=learned.max_value, row_sum=learned.row_sum)
    return Inhibition(matrix, spec.weight)


def pools_from(spec: specs.Pools, units: int) -> Pools:
    profile, dimensions = None, 2 if spec.layout == "torus" else 1
    if spec.profile == "gaussian":
        profile = gaussian_profile(spec.size, spec.sigma or spec.size / 4, dimensions)
    if spec.layout == "torus":
        sides = spec.map_of(units)
        members = torus_pools(sides.height, sides.width, spec.size, spec.distance)
    elif spec.layout == "ring":
        members = ring_pools(units, spec.size, spec.distance)
    else:
        members = disjoint_pools(units, spec.size)
    disjoint = spec.layout == "disjoint"
    return Pools(members, units, profile=profile, weight=spec.weight, smoothing=spec.smoothing, disjoint=disjoint)


def spatial_pools(spec: specs.Pools, connection: Connection) -> SpatialPools:
    rows, columns, units = connection.code_shape
    if spec.layout == "sheet":
        down, right = (sheet_windows(spec, length) for length in (rows, columns))
        return SpatialPools(down, right, torch.ones(1, 1), weight=spec.weight, smoothing=spec.smoothing)
    step = spec.window_distance
    down, right = (windows(length, spec.window, step) for length in (rows, columns))
    groups = ring_windows(units, spec.size, spec.distance)
    disjoint = spec.distance == spec.size and step == spec.window
    return SpatialPools(down, right, groups, weight=spec.weight, smoothing=spec.smoothing, disjoint=disjoint)


def sheet_windows(spec: specs.Pools, length: int) -> Tensor:
    if spec.profile == "gaussian":
        return gaussian_windows(length, spec.size, spec.distance, spec.sigma or spec.size / 4)
    return windows(length, spec.size, spec.distance)
