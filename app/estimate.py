"""What a training will cost, roughly: counted from its spec, part by part.

An operation is one multiplication and addition of a matrix product. Learned parts are gone through three times, once
forward and twice for the gradients; solvers once per iteration. Half of a solver's iterations are taken to be used.
"""

import math
from typing import Any

from pinwheel.specs import (
    Encoder,
    Exact,
    Feedforward,
    Inhibition,
    Learned,
    Model,
    Pools,
    PredictRefine,
    Preprocessing,
    Recurrent,
    Solver,
    TrainSpec,
    solver_of,
)

FLOPS_PER_SECOND = 50e9  # of two CPU cores
LEAST_MEMORY_BYTES = 400 * 1024 * 1024
FORWARD, LEARNED = 2, 6  # floating-point operations for each of ours
# What is not a matrix product, as measured on such cores: of a step, of an entry of the code in an iteration of a
# solver, and of one unit in a sweep of coordinate descent.
STEP_SECONDS, ENTRY_SECONDS, UNIT_SECONDS = 1e-3, 6e-9, 3e-5


def estimate(spec: TrainSpec, shape: tuple[int, int, int], images: int, classes: int) -> dict[str, Any]:
    """For inputs of `shape` (H, W, C) from this many training images; `classes` is 0 without labels."""
    inputs, samples = math.prod(shape), spec.preprocessing.inputs_from(images)
    classes = classes if spec.model.classifier.kind != "none" else 0
    per_sample = LEARNED * learned_operations(spec.model, inputs, classes)
    per_sample += FORWARD * solver_operations(spec.model, inputs)
    operations = float(per_sample) * samples * spec.training.epochs
    operations += FORWARD * preprocessing_operations(spec.preprocessing, inputs, samples)
    return {
        "parameters": parameters(spec.model, inputs, classes),
        "total_steps": total_steps(spec, images),
        "memory_bytes": memory_bytes(spec, inputs, samples, classes),
        "operations": operations,
        "seconds": operations / FLOPS_PER_SECOND + total_steps(spec, images) * beside_seconds(spec),
    }


def beside_seconds(spec: TrainSpec) -> float:
    """Of one step, besides its matrix products."""
    solver, units = solver_of(spec.model.encoder), spec.model.connection.units
    if solver is None:
        return STEP_SECONDS
    once = units * UNIT_SECONDS if solver.method == "coordinate-descent" else 0.0
    once += spec.training.batch_size * units * ENTRY_SECONDS
    return STEP_SECONDS + mean_iterations(solver) * once


def total_steps(spec: TrainSpec, images: int) -> int:
    """Updates of the whole training on this many images."""
    return spec.training.epochs * math.ceil(spec.preprocessing.inputs_from(images) / spec.training.batch_size)


def parameters(model: Model, inputs: int, classes: int) -> int:
    units = model.connection.units
    inhibition = isinstance(model.sparsity, Inhibition) and isinstance(model.sparsity.structure, Learned)
    noise = inputs * units + units if model.sparsity.kind == "noise" else 0
    structure = units * units if inhibition else noise
    return inputs * units + encoder_parameters(model.encoder, inputs, units) + structure + classes * units


def encoder_parameters(encoder: Encoder, inputs: int, units: int) -> int:
    if isinstance(encoder, Exact):
        return 0
    if isinstance(encoder, Recurrent):
        return inputs * units + units * units + units
    return inputs * units + units + (units if encoder.gain else 0)


def learned_operations(model: Model, inputs: int, classes: int) -> int:
    """Of one input: encoder, decoder and classifier, forward."""
    units = model.connection.units
    return encoder_operations(model.encoder, inputs, units) + inputs * units + classes * units


def encoder_operations(encoder: Encoder, inputs: int, units: int) -> int:
    if isinstance(encoder, Feedforward | PredictRefine):
        return inputs * units
    if isinstance(encoder, Recurrent):
        return inputs * units + (encoder.passes - 1) * units * units
    return 0


def solver_operations(model: Model, inputs: int) -> int:
    """Of the codes that a solver finds while training, for one input."""
    solver = solver_of(model.encoder)
    if solver is None:
        return 0
    units = model.connection.units
    step = min(units * units, 2 * inputs * units)
    if isinstance(model.sparsity, Inhibition):
        step += units * units
    if isinstance(model.sparsity, Pools) and model.sparsity.layout != "disjoint":
        step += 2 * units * units  # the norms of the pools, and back
    return inputs * units + mean_iterations(solver) * step


def mean_iterations(solver: Solver) -> int:
    """All of them where nothing stops them sooner."""
    return solver.max_iterations if solver.tolerance == 0 else math.ceil(solver.max_iterations / 2)


def preprocessing_operations(preprocessing: Preprocessing, inputs: int, samples: int) -> float:
    """Of the fit and the whitening, once for the whole training."""
    if preprocessing.whiten != "zca":
        return 0.0
    return 2.0 * samples * inputs * inputs + 10.0 * inputs**3


def structure_numbers(model: Model) -> int:
    """Of matrices besides the weights: the Gram matrix of a solver, an inhibition, profiles and members of pools."""
    units, sparsity = model.connection.units, model.sparsity
    numbers = units * units if solver_of(model.encoder) else 0
    if isinstance(sparsity, Inhibition):
        numbers += 2 * units * units
    if isinstance(sparsity, Pools) and sparsity.layout != "disjoint":
        numbers += sparsity.num_pools(units) * (2 * units + 3 * sparsity.members)
    return numbers


def memory_bytes(spec: TrainSpec, inputs: int, samples: int, classes: int) -> int:
    """Weights with gradients and Adam's moments, the inputs, and the codes of a batch."""
    encoder, units = spec.model.encoder, spec.model.connection.units
    kept = encoder.passes + 2 if isinstance(encoder, Recurrent) else 6
    whitening = 3 * inputs * inputs if spec.preprocessing.whiten == "zca" else 0
    numbers = 4 * parameters(spec.model, inputs, classes) + samples * inputs + whitening
    numbers += 3 * kept * min(spec.training.batch_size, samples) * units
    numbers += structure_numbers(spec.model)
    return 4 * numbers + LEAST_MEMORY_BYTES
