"""What a training will cost, roughly: counted from its spec, part by part.

An operation is one multiplication and addition of a matrix product. Learned parts are gone through three times, once
forward and twice for the gradients; solvers once per iteration. Half of a solver's iterations are taken to be used.
"""

import math
from typing import Any

from app.geometry import Geometry, pooled_shape
from pinwheel.specs import (
    Dense,
    Exact,
    Feedforward,
    Inhibition,
    Learned,
    Model,
    Pools,
    PredictRefine,
    Preprocessing,
    Recurrent,
    Shape,
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
# With filters on an image: the share of all multiplications that ours are, and what an iteration takes beside them.
SHARE_ON_IMAGE, ITERATION_SECONDS = 0.5, 1e-3


def estimate(spec: TrainSpec, shape: Shape, images: int, classes: int) -> dict[str, Any]:
    """For inputs of `shape` (H, W, C) from this many training images; `classes` is 0 without labels. Raises ValueError
    where the filters do not fit into them."""
    found, samples = Geometry.of(spec.model, shape), spec.preprocessing.inputs_from(images)
    classes = classes if spec.model.classifier.kind != "none" else 0
    per_sample = LEARNED * learned_operations(spec.model, found, classes)
    per_sample += FORWARD * solver_operations(spec.model, found)
    operations = float(per_sample) * samples * spec.training.epochs
    operations += FORWARD * preprocessing_operations(spec.preprocessing, found.inputs, samples)
    return {
        "parameters": parameters(spec.model, found, classes),
        "total_steps": total_steps(spec, images),
        "memory_bytes": memory_bytes(spec, found, samples, classes),
        "operations": operations,
        "seconds": operations / flops_per_second(spec.model) + total_steps(spec, images) * beside_seconds(spec, found),
    }


def flops_per_second(model: Model) -> float:
    return FLOPS_PER_SECOND * (1.0 if isinstance(model.connection, Dense) else SHARE_ON_IMAGE)


def beside_seconds(spec: TrainSpec, found: Geometry) -> float:
    """Of one step, besides its matrix products."""
    solver = solver_of(spec.model.encoder)
    if solver is None:
        return STEP_SECONDS
    once = found.units * UNIT_SECONDS if solver.method == "coordinate-descent" else 0.0
    once += spec.training.batch_size * found.units * ENTRY_SECONDS
    once += 0.0 if isinstance(spec.model.connection, Dense) else ITERATION_SECONDS
    return STEP_SECONDS + mean_iterations(solver) * once


def total_steps(spec: TrainSpec, images: int) -> int:
    """Updates of the whole training on this many images."""
    return spec.training.epochs * math.ceil(spec.preprocessing.inputs_from(images) / spec.training.batch_size)


def parameters(model: Model, found: Geometry, classes: int) -> int:
    """Numbers that are learned; units that share a filter count once."""
    filters, weights = found.filters, found.weights
    inhibition = isinstance(model.sparsity, Inhibition) and isinstance(model.sparsity.structure, Learned)
    noise = weights + filters if model.sparsity.kind == "noise" else 0
    structure = filters * filters if inhibition else noise
    return weights + encoder_parameters(model, found) + structure + classes * found.features


def encoder_parameters(model: Model, found: Geometry) -> int:
    encoder, filters, weights = model.encoder, found.filters, found.weights
    if isinstance(encoder, Exact):
        return 0
    if isinstance(encoder, Recurrent):
        explaining_away = filters * filters if isinstance(model.connection, Dense) else weights
        return weights + explaining_away + filters
    return weights + filters + (filters if encoder.gain else 0)


def learned_operations(model: Model, found: Geometry, classes: int) -> int:
    """Of one input: encoder, decoder and classifier, forward."""
    return encoder_operations(model, found) + found.products + classes * found.features


def encoder_operations(model: Model, found: Geometry) -> int:
    encoder = model.encoder
    if isinstance(encoder, Feedforward | PredictRefine):
        return found.products
    if isinstance(encoder, Recurrent):
        # on an image what is explained away is decoded and encoded again
        again = found.units**2 if isinstance(model.connection, Dense) else 2 * found.products
        return found.products + (encoder.passes - 1) * again
    return 0


def solver_operations(model: Model, found: Geometry) -> int:
    """Of the codes that a solver finds while training, for one input."""
    solver = solver_of(model.encoder)
    if solver is None:
        return 0
    step = 2 * found.products
    if isinstance(model.connection, Dense):
        step = min(found.units**2, step)
    if isinstance(model.sparsity, Inhibition):
        step += found.units**2
    if isinstance(model.sparsity, Pools):
        step += pool_operations(model.sparsity, found)
    return found.products + mean_iterations(solver) * step


def pool_operations(pools: Pools, found: Geometry) -> int:
    """The norms of all pools of one code, and back to its units."""
    if pools.layout == "disjoint":
        return 0
    if pools.layout not in ("maps", "sheet"):
        return 2 * found.units**2
    rows, columns, units = found.code
    down, right, groups = pooled_shape(pools, found.code)
    along = groups * units if units > 1 else 0
    return 2 * (rows * columns * along + down * rows * columns * groups + down * right * columns * groups)


def mean_iterations(solver: Solver) -> int:
    """All of them where nothing stops them sooner."""
    return solver.max_iterations if solver.tolerance == 0 else math.ceil(solver.max_iterations / 2)


def preprocessing_operations(preprocessing: Preprocessing, inputs: int, samples: int) -> float:
    """Of the fit and the whitening, once for the whole training."""
    if preprocessing.whiten != "zca":
        return 0.0
    return 2.0 * samples * inputs * inputs + 10.0 * inputs**3


def structure_numbers(model: Model, found: Geometry) -> int:
    """Of matrices besides the weights: the Gram matrix of a solver, an inhibition, profiles and members of pools. On an
    image there are the matrices of the fields instead, made anew for each use, as measured."""
    units, sparsity = found.units, model.sparsity
    if not isinstance(model.connection, Dense):
        uses = encoder_operations(model, found) // found.products + 1
        return found.weights * (8 + 3 * uses)
    numbers = units * units if solver_of(model.encoder) else 0
    if isinstance(sparsity, Inhibition):
        numbers += 2 * units * units
    if isinstance(sparsity, Pools) and sparsity.layout != "disjoint":
        numbers += sparsity.num_pools(units) * (2 * units + 3 * sparsity.members)
    return numbers


def memory_bytes(spec: TrainSpec, found: Geometry, samples: int, classes: int) -> int:
    """Weights with gradients and Adam's moments, the inputs, and the codes of a batch."""
    encoder, inputs = spec.model.encoder, found.inputs
    kept = encoder.passes + 2 if isinstance(encoder, Recurrent) else 6
    whitening = 3 * inputs * inputs if spec.preprocessing.whiten == "zca" else 0
    numbers = 4 * parameters(spec.model, found, classes) + samples * inputs + whitening
    numbers += 3 * kept * min(spec.training.batch_size, samples) * found.units
    numbers += structure_numbers(spec.model, found)
    return 4 * numbers + LEAST_MEMORY_BYTES
