"""What a training will cost, roughly: counted from its spec, part by part.

An operation is one multiplication and addition of a matrix product. Learned parts are gone through three times, once
forward and twice for the gradients; solvers once per iteration. Half of a solver's iterations are taken to be used.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.geometry import Geometry, pooled_shape
from pinwheel.specs import (
    Dense,
    Exact,
    Feedforward,
    Inhibition,
    Layer,
    Learned,
    Model,
    Pools,
    PredictRefine,
    Preprocessing,
    Recurrent,
    Shape,
    Solver,
    StackSpec,
    Supervised,
    Training,
    TrainSpec,
    as_image,
    solver_of,
    trained,
)

FLOPS_PER_SECOND = 50e9  # of two CPU cores
LEAST_MEMORY_BYTES = 400 * 1024 * 1024
FORWARD, LEARNED = 2, 6  # floating-point operations for each of ours
# What is not a matrix product, as measured on such cores: of a step, of an entry of the code in an iteration of a
# solver, and of one unit in a sweep of coordinate descent.
STEP_SECONDS, ENTRY_SECONDS, UNIT_SECONDS = 1e-3, 6e-9, 3e-5
# With filters on an image: the share of all multiplications that ours are, and what an iteration takes beside them.
SHARE_ON_IMAGE, ITERATION_SECONDS = 0.5, 1e-3


def estimate(
    spec: TrainSpec | StackSpec, shape: Shape, images: int, classes: int, taken: Sequence[Shape] = ()
) -> dict[str, Any]:
    """For inputs of `shape` (H, W, C) from this many training images; `classes` is 0 without labels, `taken` what the
    layers answer that are there already. Raises ValueError where filters do not fit into their inputs."""
    samples = spec.preprocessing.inputs_from(images)
    cost = Cost(memory_bytes=LEAST_MEMORY_BYTES)
    cost.operations += FORWARD * preprocessing_operations(spec.preprocessing, math.prod(shape), samples)
    kept = samples * math.prod(shape) + whitening_numbers(spec.preprocessing, math.prod(shape))
    below = 0  # operations of one input through the layers below
    for number, stage in enumerate(spec.stages):
        if isinstance(stage, Supervised):
            through = below * (LEARNED * stage.training.epochs if stage.learn == "all" else FORWARD)
            weights = classes * math.prod(shape)
            cost.add(stage.training, samples, through, LEARNED * weights, weights, FLOPS_PER_SECOND, STEP_SECONDS)
            cost.reach(4 * (kept + samples * math.prod(shape) + 4 * weights))
            continue
        found = Geometry.of(stage.model, shape)
        if number < len(taken):
            shape, below = taken[number], below + encoder_operations(stage.model, found)
            continue
        labels = classes if stage.model.classifier.kind != "none" else 0
        weights = parameters(stage.model, found, labels)
        each = LEARNED * learned_operations(stage.model, found, labels)
        each += FORWARD * solver_operations(stage.model, found)
        through, beside = FORWARD * below, beside_seconds(stage.model, stage.training, found)
        cost.add(stage.training, samples, through, each, weights, flops_per_second(stage.model), beside)
        seen = kept if number == 0 else kept + samples * found.inputs
        cost.reach(4 * (seen + layer_numbers(stage, found, samples, labels)))
        shape, below = as_image(found.answer), below + encoder_operations(stage.model, found)
    return asdict(cost)


@dataclass
class Cost:
    """Of all stages together."""

    parameters: int = 0
    total_steps: int = 0
    memory_bytes: int = 0
    operations: float = 0.0
    seconds: float = 0.0

    def add(
        self, training: Training, samples: int, once: float, each: float, weights: int, rate: float, beside: float
    ) -> None:
        """A stage: operations of an input `once` and `each` time it is learned from, their `rate` per second, seconds
        `beside` them of a step."""
        steps = training.total_steps(samples)
        operations = samples * (once + float(each) * training.epochs)
        self.parameters += weights
        self.total_steps += steps
        self.operations += operations
        self.seconds += operations / rate + steps * beside

    def reach(self, size: int) -> None:
        """Stages come one after the other: the largest one needs the most memory."""
        self.memory_bytes = max(self.memory_bytes, size + LEAST_MEMORY_BYTES)


def flops_per_second(model: Model) -> float:
    return FLOPS_PER_SECOND * (1.0 if isinstance(model.connection, Dense) else SHARE_ON_IMAGE)


def beside_seconds(model: Model, training: Training, found: Geometry) -> float:
    """Of one step, besides its matrix products."""
    solver = solver_of(model.encoder)
    if solver is None:
        return STEP_SECONDS
    once = found.units * UNIT_SECONDS if solver.method == "coordinate-descent" else 0.0
    once += training.batch_size * found.units * ENTRY_SECONDS
    once += 0.0 if isinstance(model.connection, Dense) else ITERATION_SECONDS
    return STEP_SECONDS + mean_iterations(solver) * once


def all_steps(spec: TrainSpec | StackSpec, images: int) -> int:
    """Updates of the whole training on this many images."""
    samples = spec.preprocessing.inputs_from(images)
    return sum(stage.training.total_steps(samples) for stage in trained(spec))


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


def whitening_numbers(preprocessing: Preprocessing, inputs: int) -> int:
    return 3 * inputs * inputs if preprocessing.whiten == "zca" else 0


def layer_numbers(layer: Layer, found: Geometry, samples: int, classes: int) -> int:
    """Weights with gradients and Adam's moments, and the codes of a batch."""
    encoder = layer.model.encoder
    kept = encoder.passes + 2 if isinstance(encoder, Recurrent) else 6
    codes = 3 * kept * min(layer.training.batch_size, samples) * found.units
    return 4 * parameters(layer.model, found, classes) + codes + structure_numbers(layer.model, found)
