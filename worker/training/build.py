"""From a spec to a model: fresh, or empty for a checkpoint to fill."""

import torch
from torch import Tensor

from pinwheel import specs
from worker.data.random import generator_for
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.classifier import Softmax, draw_weights
from worker.sparse.connections import Dense, draw_dictionary
from worker.sparse.encoders import Recurrent
from worker.sparse.sparsity import L1


def fresh_model(spec: specs.Model, examples: Tensor, classes: int | None, seed: int) -> Autoencoder:
    """A model initialised from scaled `examples` (n, inputs) and `seed`, within its constraints."""
    units = spec.connection.units
    dictionary = draw_dictionary(examples, units, generator_for(seed, "dictionary"))
    encoder = Recurrent.from_dictionary(
        dictionary,
        passes=spec.encoder.passes,
        total_step=spec.encoder.total_step,
        rate_multiplier=spec.encoder.rate_multiplier,
        bias_rate_multiplier=spec.encoder.bias_rate_multiplier,
    )
    classifier = None
    if isinstance(spec.classifier, specs.Softmax):
        weights = draw_weights(need_classes(classes), units, generator_for(seed, "classifier"))
        classifier = Softmax(weights, weight=spec.classifier.weight, max_norm=spec.classifier.max_norm)
    connection = Dense(dictionary, spec.connection.max_norm)
    model = Autoencoder(connection, encoder, L1(spec.sparsity.weight), classifier)
    model.project()
    return model


def loaded_model(spec: specs.Model, weights: dict[str, Tensor]) -> Autoencoder:
    """The model whose published tensors are `weights` (`publish.published_weights` has their names)."""
    encoder = weights["layers.0.encoder"]
    recurrent = Recurrent(
        encoder,
        weights["layers.0.explaining_away"] - torch.eye(len(encoder), dtype=encoder.dtype),
        weights["layers.0.bias"],
        passes=spec.encoder.passes,
        total_step=spec.encoder.total_step,
    )
    classifier = None
    if isinstance(spec.classifier, specs.Softmax):
        classifier = Softmax(weights["classifier"], weight=spec.classifier.weight, max_norm=spec.classifier.max_norm)
    connection = Dense(weights["layers.0.dictionary"], spec.connection.max_norm)
    return Autoencoder(connection, recurrent, L1(spec.sparsity.weight), classifier)


def need_classes(classes: int | None) -> int:
    if classes is None:
        raise ValueError("the classifier `softmax` needs labels and the data set has none; `none` needs no labels")
    return classes
