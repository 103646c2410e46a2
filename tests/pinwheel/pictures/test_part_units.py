"""Parts and categories in numbers, on a layer whose numbers are known by construction."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from part_unit_cases import ANGLES, BETWEEN, CATEGORICAL, DEAD, PARTS, PASSES, STEP, UNITS, planted

from pinwheel.pictures.part_units import (
    PartUnits,
    correlation,
    curves,
    examples,
    pairs,
    part_units_numbers,
    probabilities,
    unit_numbers,
)
from pinwheel.pictures.reconstruction import progressive
from pinwheel.pictures.unit_kinds import CATEGORICAL as CATEGORICAL_ABOVE
from pinwheel.pictures.unit_kinds import PART as PART_BELOW
from pinwheel.pictures.unit_kinds import unit_kinds
from pinwheel.pictures.unit_sheet import one_unit_numbers

FOUND = PartUnits.of(planted())
EXAMPLES = ("example_inputs", "example_codes", "example_passes")


def test_kinds_follow_from_the_angle_and_from_use() -> None:
    angles = np.array([0.0, PART_BELOW - 1e-9, PART_BELOW, CATEGORICAL_ABOVE, CATEGORICAL_ABOVE + 1e-9, 1.5, 0.1])
    usage = np.array([1, 0.1, 1, 1, 1, 1, 0])
    part, between, categorical = "part", "intermediate", "categorical"
    assert unit_kinds(angles, usage) == [part, part, between, between, categorical, categorical, "dead"]


def test_units_of_every_kind_are_found_and_counted() -> None:
    for kind, expected in (("part", PARTS), ("intermediate", BETWEEN), ("categorical", CATEGORICAL), ("dead", [DEAD])):
        assert FOUND.of_kind(kind).tolist() == list(expected)  # type: ignore[arg-type]
    assert sum(part_units_numbers(FOUND)["counts"].values()) == UNITS


@pytest.mark.parametrize("source", ["part", "categorical"])
def test_ista_takes_away_what_is_explained(source: Any) -> None:
    overlap, weights = pairs(FOUND, source)
    assert len(overlap) == (30 if source == "part" else 18)
    np.testing.assert_allclose(weights, -STEP * overlap, atol=1e-7)
    assert correlation(FOUND, source) == pytest.approx(-1)
    assert FOUND.explaining_away is not None
    assert correlation(replace(FOUND, explaining_away=-FOUND.explaining_away), source) == pytest.approx(1)


def test_what_does_not_vary_has_no_correlation() -> None:
    assert correlation(replace(FOUND, explaining_away=np.full((UNITS, UNITS), 0.5)), "part") is None
    assert correlation(replace(FOUND, angle=np.full(UNITS, 0.1)), "categorical") is None
    assert correlation(replace(FOUND, explaining_away=None), "part") is None


def test_strongest_connections_come_by_magnitude_without_the_unit_itself_and_the_dead() -> None:
    matrix = np.zeros((UNITS, UNITS))
    matrix[2, [0, 2, 5, 9, DEAD]] = [0.3, 9.0, -0.7, 0.1, 8.0]
    matrix[7, 2] = -0.2
    found = replace(FOUND, explaining_away=matrix)
    assert found.incoming(2).as_json() == [
        {"unit": 5, "weight": -0.7}, {"unit": 0, "weight": 0.3}, {"unit": 9, "weight": 0.1},
    ]  # fmt: skip
    assert found.outgoing(2).as_json() == [{"unit": 7, "weight": -0.2}]
    assert found.outgoing(DEAD).units == []
    told = unit_numbers(found, 2, 2)
    assert [entry["unit"] for entry in told["incoming"]] == [5, 0]
    assert told["self_connection"] == 9
    assert told["explaining_away_norm"] == pytest.approx(np.sqrt(81 + 64 + 0.3**2 + 0.7**2 + 0.1**2))


def test_afferents_count_by_their_strength() -> None:
    matrix = np.zeros((UNITS, UNITS))
    matrix[0, [8, 4]] = [-3.0, 1.0]
    found = replace(FOUND, explaining_away=matrix).columns["afferent_angle_rad"]
    assert found[0] == pytest.approx((3 * ANGLES[8] + ANGLES[4]) / 4)
    assert np.isnan(found[1:]).all()


def test_curves_are_means_over_the_units_in_use_of_a_bin() -> None:
    rows = curves(FOUND)
    assert sum(row["units"] for row in rows) == UNITS - 1  # type: ignore[misc]
    last = rows[-1]
    assert (last["from_rad"], last["to_rad"], last["units"]) == (1.2, 1.3, 1)
    assert last["mean_active"] == pytest.approx(2.4)
    second = rows[0]
    assert (second["from_rad"], second["units"]) == (0.1, 2)
    assert second["mean_active"] == pytest.approx(0.25)
    assert second["switched_late"] == pytest.approx(0.0125)
    assert second["mean_decoder"] == pytest.approx(FOUND.decoder[:2].mean(), rel=1e-5)


def test_the_class_of_a_unit_is_its_largest_weight_and_parts_have_none() -> None:
    assert [FOUND.class_of(unit) for unit in range(UNITS)] == [None] * 6 + [0, 0, 0, 1, 2, None]
    assert FOUND.prototypes(0) == [8, 6, 7]
    assert [FOUND.prototypes(label) for label in (1, 2)] == [[9], [10]]


def test_an_example_is_rebuilt_by_the_units_of_its_code() -> None:
    first, second = examples(FOUND)
    assert (first.label, sorted(first.units), sorted(second.units)) == (0, [0, 3, 8], [1, 2, 9])
    assert first.squared_error[-1] == pytest.approx(0, abs=1e-9)
    assert first.squared_norm > first.squared_error[0] > first.squared_error[1]


def test_greedy_reconstruction_never_gets_worse_where_the_code_does_not_explain_twice() -> None:
    """Codes of least squares under a penalty leave something in every direction that they use."""
    chance = np.random.default_rng(1)
    decoder = chance.normal(size=(20, 50))
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    code = np.where(chance.random(20) < 0.6, chance.uniform(0.5, 2, 20), 0)
    x = 1.2 * code @ decoder
    order, errors = progressive(x, code, decoder)
    assert sorted(order) == np.flatnonzero(code).tolist()
    assert (np.diff([float(x @ x), *errors]) < 0).all()
    assert errors[-1] == pytest.approx(float(np.sum((x - code @ decoder) ** 2)))
    first = [np.sum((x - code[unit] * decoder[unit]) ** 2) for unit in np.flatnonzero(code)]
    assert errors[0] == pytest.approx(min(first))
    assert progressive(x, np.zeros(20), decoder) == ([], [])


def test_probabilities_of_a_pass_are_those_of_its_direction() -> None:
    classifier = np.array([[2.0, 0.0], [0.0, 1.0]])
    codes = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 0.1]])
    found = np.array(probabilities(codes, classifier))
    np.testing.assert_allclose(found[0], [0.5, 0.5])
    np.testing.assert_allclose(found[1], np.exp([2, 0]) / np.exp([2, 0]).sum())
    np.testing.assert_allclose(found[2], np.exp([0, 1]) / np.exp([0, 1]).sum())
    assert probabilities(codes, None) is None


@pytest.mark.parametrize("classes", [3, 0])
@pytest.mark.parametrize("lost", [(), ("explaining_away", "overlap"), EXAMPLES])
def test_all_numbers_are_finite_or_null(classes: int, lost: tuple[str, ...]) -> None:
    tensors = {name: value for name, value in planted(classes).items() if name not in lost}
    found = PartUnits.of(tensors)
    numbers = part_units_numbers(found)
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
    assert (numbers["prototypes"] is None) == (classes == 0)
    assert (numbers["examples"] is None) == ("example_codes" in lost)
    assert (numbers["units"][0]["incoming"] is None) == ("explaining_away" in lost)
    dead = numbers["units"][DEAD]
    assert (dead["kind"], dead["mean_active"], dead["class"]) == ("dead", None, None)
    if numbers["examples"] is not None:
        shares = numbers["examples"][0]["probabilities"]
        assert (shares is None) == (classes == 0)
        assert numbers["passes"] == list(range(1, PASSES + 1))
        assert shares is None or np.shape(shares) == (PASSES, classes)
    one = one_unit_numbers(found, 9)["unit"]
    json.dumps(one, allow_nan=False)
    assert one["class_weights"] == ([0, 2, 0] if classes else None)
