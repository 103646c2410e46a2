"""From a spec to a model. A fresh model and a published one are made the same way, from named tensors.

layers.0.dictionary (inputs, units)   layers.0.encoder (units, inputs)   layers.0.bias, layers.0.gain (units,)
layers.0.explaining_away (units, units), identity included               layers.0.inhibition (units, units)
layers.0.parent (units,)              layers.0.spread (units, inputs)    layers.0.spread_bias (units,)
classifier (classes, units)
"""

import torch
from torch import Tensor

from pinwheel import specs
from worker.data.random import generator_for
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.classifier import Softmax, draw_weights
from worker.sparse.connections import Dense, draw_dictionary
from worker.sparse.encoders import Encoder, Exact, Feedforward, PredictRefine, Recurrent, Settings
from worker.sparse.encoders.recurrent import drsae_matrices, ista_matrices, random_matrices
from worker.sparse.sparsity import L1, Inhibition, Noise, Penalty, Pools, Tree
from worker.sparse.sparsity.inhibition import (
    ring_inhibition,
    sheet_inhibition,
    tree_inhibition,
    uniform_inhibition,
)
from worker.sparse.sparsity.pools import disjoint_pools, gaussian_profile, ring_pools, torus_pools

Tensors = dict[str, Tensor]


def fresh_model(spec: specs.Model, examples: Tensor, classes: int | None, seed: int) -> Autoencoder:
    """A model initialised from preprocessed `examples` (n, inputs) and `seed`, within its constraints."""
    units = spec.connection.units
    drawn = connection_from(spec.connection, draw_dictionary(examples, units, generator_for(seed, "dictionary")))
    drawn.project()  # what an encoder starts from is the dictionary within its constraints
    dictionary = drawn.dictionary.detach()
    tensors = {"layers.0.dictionary": dictionary}
    tensors |= encoder_tensors(spec, dictionary, seed)
    tensors |= sparsity_tensors(spec, dictionary)
    if isinstance(spec.classifier, specs.Softmax):
        tensors["classifier"] = draw_weights(need_classes(classes), units, generator_for(seed, "classifier"))
    model = model_from(spec, tensors)
    model.project()
    return model


def model_from(spec: specs.Model, tensors: Tensors) -> Autoencoder:
    """The model made of these tensors. Raises KeyError where one is missing."""
    dictionary = tensors["layers.0.dictionary"]
    connection = connection_from(spec.connection, dictionary)
    classifier = None
    if isinstance(spec.classifier, specs.Softmax):
        classifier = Softmax(tensors["classifier"], weight=spec.classifier.weight, max_norm=spec.classifier.max_norm)
    sparsity = sparsity_from(spec.sparsity, tensors, dictionary.shape[1])
    return Autoencoder(connection, encoder_from(spec.encoder, tensors), sparsity, classifier)


def connection_from(spec: specs.Connection, dictionary: Tensor) -> Dense:
    rate = spec.update_rate if spec.update == "diagonal-hessian" else None
    return Dense(dictionary, spec.max_norm, fixed=spec.norm == "fixed", update_rate=rate)


def need_classes(classes: int | None) -> int:
    if classes is None:
        raise ValueError("the classifier `softmax` needs labels and the data set has none; `none` needs no labels")
    return classes


def restart_encoder(model: Autoencoder, spec: specs.Model, seed: int) -> None:
    """Let the encoder begin anew from the dictionary as it is now."""
    tensors = encoder_tensors(spec, model.connection.dictionary.detach().cpu(), seed)
    model.encoder.load_state_dict(encoder_from(spec.encoder, tensors).state_dict())


def encoder_tensors(spec: specs.Model, dictionary: Tensor, seed: int) -> Tensors:
    """First tensors of the encoder for `dictionary` (inputs, units)."""
    encoder = spec.encoder
    if isinstance(encoder, specs.Recurrent):
        return recurrent_tensors(spec, encoder, dictionary, seed)
    if isinstance(encoder, specs.Feedforward | specs.PredictRefine):
        first = Feedforward.from_dictionary(dictionary, activation=encoder.activation, gain=encoder.gain)
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
    return {"layers.0.encoder": first, "layers.0.explaining_away": full, "layers.0.bias": bias}


def feedforward_tensors(encoder: Feedforward) -> Tensors:
    tensors: Tensors = {"layers.0.encoder": encoder.encoder, "layers.0.bias": encoder.bias}
    if encoder.gain is not None:
        tensors["layers.0.gain"] = encoder.gain
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
        tensors["layers.0.encoder"],
        tensors["layers.0.bias"],
        tensors["layers.0.gain"] if spec.gain else None,
        activation=spec.activation,
        rate_multiplier=spec.rate_multiplier,
    )


def recurrent_from(spec: specs.Recurrent, tensors: Tensors) -> Recurrent:
    encoder = tensors["layers.0.encoder"]
    return Recurrent(
        encoder,
        tensors["layers.0.explaining_away"] - torch.eye(len(encoder), dtype=encoder.dtype),
        tensors["layers.0.bias"],
        passes=spec.passes,
        total_step=spec.total_step,
        signed=spec.sign == "signed",
        rate_multiplier=spec.rate_multiplier,
        bias_rate_multiplier=spec.bias_rate_multiplier,
    )


def sparsity_tensors(spec: specs.Model, dictionary: Tensor) -> Tensors:
    """First tensors of the sparsity, structure included, for `dictionary` (inputs, units)."""
    inputs, units = dictionary.shape
    tensors: Tensors = {}
    parent = parents(spec)
    if parent is not None:
        tensors["layers.0.parent"] = parent
    if isinstance(spec.sparsity, specs.Inhibition):
        tensors["layers.0.inhibition"] = first_inhibition(spec.sparsity.structure, units)
    if isinstance(spec.sparsity, specs.Noise):
        fresh = Noise.fresh(units, inputs, spec.sparsity.weight)
        tensors |= {"layers.0.spread": fresh.spread, "layers.0.spread_bias": fresh.bias}
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


def sparsity_from(spec: specs.Sparsity, tensors: Tensors, units: int) -> Penalty:
    if isinstance(spec, specs.L1):
        return L1(spec.weight)
    if isinstance(spec, specs.Pools):
        return pools_from(spec, units)
    if isinstance(spec, specs.Tree):
        return Tree(tensors["layers.0.parent"], spec.weight, spec.norm)
    if isinstance(spec, specs.Noise):
        return Noise(tensors["layers.0.spread"], tensors["layers.0.spread_bias"], spec.weight)
    matrix = tensors["layers.0.inhibition"]
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
