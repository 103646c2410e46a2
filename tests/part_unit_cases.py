"""A recurrent layer whose parts and categories are known by construction."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

UNITS, SIDE, PASSES, STEP = 12, 6, 4, 0.1
ANGLES = np.array([0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.6, 0.65, 1.0, 1.1, 1.2, 0.4])
PARTS, BETWEEN, CATEGORICAL, DEAD = range(6), range(6, 8), range(8, 11), 11


def planted(classes: int = 3, seed: int = 0) -> dict[str, NDArray[Any]]:
    """What a file of units holds: six parts, two units between, three categorical ones, of a class each, and one that
    is never used. S = I − τ Dᵀ D as in ISTA; examples are sums of columns of D, one unit after the other comes on."""
    chance = np.random.default_rng(seed)
    decoder = chance.normal(size=(UNITS, SIDE * SIDE))
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    overlap = decoder @ decoder.T
    usage = np.append(np.linspace(0.5, 0.1, UNITS - 1), 0.0)
    codes = np.zeros((2, PASSES, UNITS))
    for number, units in enumerate(([0, 3, 8], [1, 2, 9])):
        for place, unit in enumerate(units):
            codes[number, place:, unit] = place + 1
    tensors: dict[str, NDArray[Any]] = {
        "decoder": decoder.reshape(UNITS, SIDE, SIDE, 1),
        "encoder": chance.normal(size=(UNITS, SIDE, SIDE, 1)),
        "usage": usage,
        "angle": ANGLES,
        "plain_angle": ANGLES + 0.2,
        "mean_active": np.where(usage > 0, 2.0 * ANGLES, np.nan),
        "switched_late": 0.1 * ANGLES,
        "explaining_away": -STEP * overlap,
        "overlap": overlap,
        "example_inputs": (codes[:, -1] @ decoder).reshape(2, SIDE, SIDE, 1),
        "example_codes": codes,
        "optimal_decoders": chance.normal(size=(PASSES, 3, SIDE, SIDE, 1)),
    }
    if classes:
        classifier = np.zeros((classes, UNITS))
        classifier[0, BETWEEN] = 1
        classifier[np.arange(classes), CATEGORICAL] = 2
        tensors |= {"classifier": classifier, "class_means": chance.random((classes, SIDE, SIDE, 1))}
    found = {name: value.astype(np.float32) for name, value in tensors.items()}
    found |= {"optimal_units": np.array([0, 1, 10]), "example_passes": np.arange(1, PASSES + 1)}
    return found | ({"example_labels": np.array([0, 1])} if classes else {})
