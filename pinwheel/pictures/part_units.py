"""Parts and categories among the units of a recurrent encoder, in numbers.

J. T. Rolfe and Y. LeCun, Discriminative Recurrent Sparse Auto-Encoders, ICLR 2013, section 4. S is the matrix of one
pass; what S − I has in row i comes into unit i, what it has in column i goes out of it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.pictures.reconstruction import progressive
from pinwheel.pictures.unit_kinds import CATEGORICAL, PART, UnitKind, unit_kinds

Floats = NDArray[np.float64]
BIN_RAD = 0.1
PARTNERS, PROTOTYPES = 10, 8


@dataclass(frozen=True)
class Partners:
    """Units in use that another one is connected to, the strongest first, and the weights."""

    units: list[int]
    weights: list[float]

    def as_json(self) -> list[dict[str, float | int]]:
        return [{"unit": unit, "weight": weight} for unit, weight in zip(self.units, self.weights, strict=True)]


@dataclass(frozen=True)
class Example:
    """An input with the units of its code, that which lowers the squared error most first, and the error after each."""

    label: int | None
    squared_norm: float
    units: list[int]
    squared_error: list[float]
    probabilities: list[list[float]] | None  # (passes, classes)


@dataclass(frozen=True)
class PartUnits:
    """What a published layer tells of its units (`worker/training/part_units.py` measures it). NaN where a value does
    not exist, None where all do not: pairs of many units, classes of a model without, pictures of inputs of a layer
    above another.

    decoder, encoder (units, H, W, C).  usage, angle, plain_angle, mean_active, switched_late (units,).
    explaining_away S − I, overlap Dᵀ D (units, units).  classifier, class_means: one row for each class.
    """

    decoder: NDArray[np.floating]
    encoder: NDArray[np.floating]
    usage: Floats
    angle: Floats
    plain_angle: Floats
    mean_active: Floats
    switched_late: Floats
    explaining_away: Floats | None = None
    overlap: Floats | None = None
    classifier: Floats | None = None
    class_means: NDArray[np.floating] | None = None
    optimal_units: NDArray[np.int64] | None = None
    optimal_decoders: NDArray[np.floating] | None = None  # (passes, optimal_units, H, W, C)
    example_inputs: NDArray[np.floating] | None = None  # (examples, H, W, C)
    example_codes: Floats | None = None  # (examples, passes, units)
    example_passes: NDArray[np.int64] | None = None
    example_labels: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[Any]]) -> "PartUnits":
        """From the tensors of their file; numbers in double precision, pictures and indices as they are."""
        pictures = ("decoder", "encoder", "class_means", "optimal_decoders", "example_inputs")
        given: dict[str, Any] = {
            name: value if name in pictures or value.dtype.kind == "i" else value.astype(np.float64)
            for name, value in tensors.items()
        }
        return cls(**given)

    @cached_property
    def kinds(self) -> list[UnitKind]:
        return unit_kinds(self.angle, self.usage)

    @cached_property
    def in_use(self) -> NDArray[np.bool_]:
        return self.usage > 0

    def of_kind(self, kind: UnitKind) -> NDArray[np.int64]:
        """The units of a kind, those of the smallest angle first."""
        units = np.array([unit for unit, found in enumerate(self.kinds) if found == kind], np.int64)
        return units[np.argsort(self.angle[units], kind="stable")]

    def count(self, kind: UnitKind) -> int:
        return self.kinds.count(kind)

    @cached_property
    def connections(self) -> Floats | None:
        """(units, units) S − I without the diagonal, and without what a unit that is never used has to do with."""
        if self.explaining_away is None:
            return None
        others = ~np.eye(len(self.usage), dtype=bool) & self.in_use & self.in_use[:, None]
        return np.where(others, self.explaining_away, 0.0)

    def class_of(self, unit: int) -> int | None:
        """The class that a unit speaks for most; None for parts and without a classifier."""
        if self.classifier is None or self.kinds[unit] in ("part", "dead"):
            return None
        return int(self.classifier[:, unit].argmax())

    def prototypes(self, label: int) -> list[int]:
        """The units in use that speak for a class most, strongest first."""
        assert self.classifier is not None
        weights = np.where(self.in_use, self.classifier[label], -np.inf)
        order = np.argsort(-weights, kind="stable")[:PROTOTYPES]
        return [int(unit) for unit in order if weights[unit] > 0]

    def incoming(self, unit: int, most: int = PARTNERS) -> Partners:
        assert self.connections is not None
        return _strongest(self.connections[unit], most)

    def outgoing(self, unit: int, most: int = PARTNERS) -> Partners:
        assert self.connections is not None
        return _strongest(self.connections[:, unit], most)

    @cached_property
    def columns(self) -> dict[str, Floats]:
        """Of each unit what the curves and scatters show, (units,) each; those that exist."""
        found = {
            "mean_active": self.mean_active,
            "switched_late": self.switched_late,
            "mean_decoder": self.decoder.reshape(len(self.usage), -1).mean(axis=1, dtype=np.float64),
        }
        if self.explaining_away is not None and self.connections is not None:
            strength = np.abs(self.connections)
            total = strength.sum(axis=1)
            found["afferent_angle_rad"] = np.divide(
                strength @ self.angle, total, out=np.full(len(total), np.nan), where=total > 0
            )
            found["explaining_away_norm"] = np.linalg.norm(self.explaining_away, axis=1)
        if self.classifier is not None:
            found["classifier_norm"] = np.linalg.norm(self.classifier, axis=0)
        return found


def part_units_numbers(found: PartUnits) -> dict[str, Any]:
    """All of it for JSON; what does not exist is null."""
    classes = None if found.classifier is None else len(found.classifier)
    return {
        "part_below_rad": PART,
        "categorical_above_rad": CATEGORICAL,
        "counts": {kind: found.count(kind) for kind in ("part", "intermediate", "categorical", "dead")},
        "units": [unit_numbers(found, unit) for unit in range(len(found.usage))],
        "curves": curves(found),
        "correlation": {
            "part_to_part": correlation(found, "part"),
            "categorical_to_part": correlation(found, "categorical"),
        },
        "prototypes": None if classes is None else [_prototypes(found, label) for label in range(classes)],
        "passes": None if found.example_passes is None else found.example_passes.tolist(),
        "examples": None if found.example_codes is None else [vars(example) for example in examples(found)],
    }


def unit_numbers(found: PartUnits, unit: int, most: int = PARTNERS) -> dict[str, Any]:
    """Those of one unit, with at most so many of its connections each way."""
    columns = {name: _number(found.columns[name][unit]) if name in found.columns else None for name in COLUMNS}
    told = found.connections is not None
    return {
        "unit": unit,
        "kind": found.kinds[unit],
        "class": found.class_of(unit),
        "angle_rad": _number(found.angle[unit]),
        "plain_angle_rad": _number(found.plain_angle[unit]),
        "usage": float(found.usage[unit]),
        **columns,
        "self_connection": None if found.explaining_away is None else float(found.explaining_away[unit, unit]),
        "incoming": found.incoming(unit, most).as_json() if told else None,
        "outgoing": found.outgoing(unit, most).as_json() if told else None,
    }


COLUMNS = (
    "mean_active",
    "switched_late",
    "mean_decoder",
    "explaining_away_norm",
    "classifier_norm",
    "afferent_angle_rad",
)
CURVES = ("mean_active", "afferent_angle_rad", "switched_late", "mean_decoder")


def curves(found: PartUnits) -> list[dict[str, float | int | None]]:
    """Means over the units in use whose angles lie from `from_rad` to `to_rad`, of every bin with a unit in it."""
    place = np.floor(found.angle / BIN_RAD).astype(np.int64)
    rows: list[dict[str, float | int | None]] = []
    for number in np.unique(place[found.in_use]).tolist():
        here = found.in_use & (place == number)
        row = {"from_rad": round(number * BIN_RAD, 6), "to_rad": round((number + 1) * BIN_RAD, 6)}
        means = {name: _mean(found.columns[name][here]) if name in found.columns else None for name in CURVES}
        rows.append({**row, "units": int(here.sum()), **means})
    return rows


def pairs(found: PartUnits, source: UnitKind) -> tuple[Floats, Floats]:
    """D_i · D_j and S_ij of all pairs of a part i and another unit j of the kind `source`, both (pairs,)."""
    if found.explaining_away is None or found.overlap is None:
        return np.zeros(0), np.zeros(0)
    kinds = np.array(found.kinds)
    chosen = (kinds == "part")[:, None] & (kinds == source) & ~np.eye(len(kinds), dtype=bool)
    return found.overlap[chosen], found.explaining_away[chosen]


def correlation(found: PartUnits, source: UnitKind) -> float | None:
    """Of both numbers of `pairs`: −1 where S takes away what is explained, as in ISTA; None where one is constant."""
    overlap, weights = pairs(found, source)
    if len(weights) < 2 or np.ptp(overlap) == 0 or np.ptp(weights) == 0:
        return None
    return float(np.corrcoef(overlap, weights)[0, 1])


def examples(found: PartUnits) -> list[Example]:
    """The examples, each rebuilt unit by unit from the code of its last pass."""
    assert found.example_codes is not None
    assert found.example_inputs is not None
    decoder = found.decoder.reshape(len(found.usage), -1).astype(np.float64)
    rows = []
    for number, codes in enumerate(found.example_codes):
        x = found.example_inputs[number].astype(np.float64).ravel()
        order, errors = progressive(x, codes[-1], decoder)
        label = None if found.example_labels is None else int(found.example_labels[number])
        rows.append(Example(label, float(x @ x), order, errors, probabilities(codes, found.classifier)))
    return rows


def probabilities(codes: Floats, classifier: Floats | None) -> list[list[float]] | None:
    """(passes, classes) softmax(C z / ‖z‖) of `codes` (passes, units); a code of zeros gives equal ones."""
    if classifier is None:
        return None
    norms = np.linalg.norm(codes, axis=1, keepdims=True)
    logits = np.divide(codes, norms, out=np.zeros_like(codes), where=norms > 0) @ classifier.T
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: list[list[float]] = (shares / shares.sum(axis=1, keepdims=True)).tolist()
    return found


def _prototypes(found: PartUnits, label: int) -> dict[str, Any]:
    assert found.classifier is not None
    units = found.prototypes(label)
    return {"class": label, "units": [{"unit": unit, "weight": float(found.classifier[label, unit])} for unit in units]}


def _strongest(weights: Floats, most: int) -> Partners:
    order = np.argsort(-np.abs(weights), kind="stable")[:most]
    order = order[weights[order] != 0]
    return Partners(order.tolist(), weights[order].tolist())


def _mean(values: Floats) -> float | None:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else None


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
