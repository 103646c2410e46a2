"""Every kind of every part, small: what the table of promises is about."""

from collections.abc import Iterable
from itertools import combinations, product
from typing import Any

from pydantic import ValidationError

from pinwheel import specs

UNITS, INPUTS_SHAPE, CLASSES = 16, (4, 3, 1), 3
IMAGE_SHAPE = (8, 6, 1)  # for filters on an image
QUICK = specs.Solver(max_iterations=20, tolerance=1e-4)
DESCENT = specs.Solver(method="coordinate-descent", max_iterations=6, tolerance=0)
BRANCHING = specs.TreeShape(branching=[3, 4])
ZEROS_AND_ONES = [[float(abs(i - j) in (3, UNITS - 3)) for j in range(UNITS)] for i in range(UNITS)]

ENCODERS: dict[str, specs.Encoder] = {
    "feedforward relu": specs.Feedforward(activation="relu"),
    "feedforward shrink": specs.Feedforward(activation="shrink"),
    "feedforward tanh without gain": specs.Feedforward(activation="tanh", gain=False),
    "feedforward linear": specs.Feedforward(activation="linear", gain=False),
    "recurrent drsae": specs.Recurrent(passes=4),
    "recurrent ista, signed": specs.Recurrent(passes=3, sign="signed", start="ista", total_step=None),
    "recurrent random": specs.Recurrent(passes=3, start="random"),
    "recurrent on exact codes": specs.Recurrent(
        passes=3, sign="signed", start="ista", total_step=None, target="exact-code", solver=QUICK
    ),
    "recurrent on exact codes, drsae": specs.Recurrent(passes=3, target="exact-code", solver=QUICK),
    "exact": specs.Exact(solver=QUICK),
    "exact, nonnegative": specs.Exact(sign="nonnegative", solver=QUICK),
    "exact by coordinates": specs.Exact(solver=DESCENT),
    "predict-refine tanh": specs.PredictRefine(activation="tanh", solver=QUICK),
    "predict-refine shrink": specs.PredictRefine(activation="shrink", solver=QUICK),
    "predict-refine relu without gain": specs.PredictRefine(activation="relu", gain=False, solver=QUICK),
}

SPARSITIES: dict[str, specs.Sparsity] = {
    "l1": specs.L1(weight=0.02),
    "disjoint pools": specs.Pools(weight=0.02, size=4),
    "pools on a ring": specs.Pools(weight=0.02, layout="ring", size=4, stride=2, smoothing=1e-5),
    "Gaussian pools on a torus": specs.Pools(
        weight=0.02, layout="torus", size=3, stride=1, profile="gaussian", sigma=1.0, smoothing=1e-5
    ),
    "tree": specs.Tree(weight=0.005, shape=BRANCHING),
    "tree of largest magnitudes": specs.Tree(weight=0.005, shape=BRANCHING, norm="linf"),
    "inhibition on a ring": specs.Inhibition(weight=0.2, structure=specs.Ring(free_radius=1)),
    "inhibition on a sheet": specs.Inhibition(
        weight=0.2, structure=specs.Sheet(map=specs.Map(height=4, width=4), free_radius=1)
    ),
    "inhibition on a tree": specs.Inhibition(weight=0.2, structure=specs.Branches(shape=BRANCHING)),
    "inhibition by a matrix": specs.Inhibition(weight=0.2, structure=specs.Matrix(values=ZEROS_AND_ONES)),
    "learned inhibition": specs.Inhibition(weight=0.2, structure=specs.Learned(rate=1.0, max_value=1.0, row_sum=4.0)),
    "noise": specs.Noise(weight=0.001),
}

CLASSIFIERS: dict[str, specs.Classifier] = {"none": specs.NoClassifier(), "softmax": specs.Softmax()}


SPATIAL: dict[str, specs.Conv | specs.Local] = {
    "conv": specs.Conv(units=4, kernel_size=3),
    "conv, strided and padded": specs.Conv(units=4, kernel_size=4, stride=2, padding=1),
    "local": specs.Local(field_size=3),
    "local, tiled, four at a position": specs.Local(field_size=3, tile=2, units_per_position=4),
}

SPATIAL_SPARSITIES: dict[str, specs.Sparsity] = {
    "l1": specs.L1(weight=0.02),
    "pairs of maps": specs.Pools(weight=0.02, layout="maps", size=2, window=2),
    "overlapping maps": specs.Pools(
        weight=0.02, layout="maps", size=2, stride=1, window=3, window_stride=2, smoothing=1e-5
    ),
    "a sheet of pools": specs.Pools(weight=0.02, layout="sheet", size=3, stride=2, smoothing=1e-5),
    "a sheet under bells": specs.Pools(
        weight=0.02, layout="sheet", size=4, stride=1, profile="gaussian", sigma=1.0, smoothing=1e-5
    ),
}

OUTPUTS = ("code", "pooled")


def combined() -> dict[str, dict[str, Any]]:
    """Every combination of the parts on a dense connection, valid or not, by a name."""
    return {
        f"{encoder} · {sparsity} · {classifier}": {
            "connection": learning(specs.Dense(units=UNITS), classifier),
            "encoder": ENCODERS[encoder].model_dump(),
            "sparsity": SPARSITIES[sparsity].model_dump(),
            "classifier": CLASSIFIERS[classifier].model_dump(),
        }
        for encoder, sparsity, classifier in product(ENCODERS, SPARSITIES, CLASSIFIERS)
    }


def combined_on_images() -> dict[str, dict[str, Any]]:
    """The same on filters over an image, with each form of the output."""
    return {
        f"{connection} · {encoder} · {sparsity} · {classifier} · {output}": {
            "connection": learning(SPATIAL[connection], classifier),
            "encoder": quickly(ENCODERS[encoder]),
            "sparsity": SPATIAL_SPARSITIES[sparsity].model_dump(),
            "classifier": CLASSIFIERS[classifier].model_dump(),
            "output": output,
        }
        for connection, encoder, sparsity, classifier, output in product(
            SPATIAL, ENCODERS, SPATIAL_SPARSITIES, CLASSIFIERS, OUTPUTS
        )
    }


def quickly(encoder: specs.Encoder) -> dict[str, Any]:
    """With fewer iterations of the solver, where it has one: codes on an image are longer."""
    given = encoder.model_dump()
    return given | {"solver": given["solver"] | {"max_iterations": 8}} if "solver" in given else given


def learning(connection: specs.Connection, classifier: str) -> dict[str, Any]:
    """With labels by Adam, without them by second-order steps."""
    update = "adam" if classifier == "softmax" else "diagonal-hessian"
    return connection.model_dump() | {"norm": "fixed", "update": update}


def valid() -> dict[str, specs.Model]:
    """The combinations on a dense connection that the spec accepts."""
    return accepted(combined())


def valid_on_images() -> dict[str, specs.Model]:
    """Of those on an image as many as bring every two parts together that can be."""
    found = accepted(combined_on_images())
    return {name: found[name] for name in every_pair(found)}


def accepted(given: dict[str, dict[str, Any]]) -> dict[str, specs.Model]:
    found = {}
    for name, parts in given.items():
        try:
            found[name] = specs.Model.model_validate(parts)
        except ValidationError:
            continue
    return found


def every_pair(names: Iterable[str]) -> list[str]:
    """Few of the names, each the one with most new pairs of parts, until every pair that occurs is in one of them."""
    pairs = {name: set(combinations(enumerate(name.split(" · ")), 2)) for name in names}
    missing, chosen = set().union(*pairs.values()), []
    while missing:
        chosen.append(max(pairs, key=lambda name: len(pairs[name] & missing)))
        missing -= pairs[chosen[-1]]
    return chosen
