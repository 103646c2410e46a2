"""Inhibition, usage and colours in numbers."""

import numpy as np
import pytest
from gabors import gabors

from pinwheel.pictures.inhibition import inhibition_numbers, most_inhibited
from pinwheel.pictures.orientation import bars, orientation_colors
from pinwheel.pictures.usage import effective_units, gini, usage_numbers

MATRIX = np.array([[0, 1, 0, 0.5], [1, 0, 0, 0], [0, 0, 0, 0], [0.5, 0, 0, 0]])
TOGETHER = np.array([[0.5, 0.02, 0.3, 0.06], [0.02, 0.5, 0.1, 0.1], [0.3, 0.1, 0.5, 0.3], [0.06, 0.1, 0.3, 0.5]])


def test_pairs_with_and_without_inhibition_are_told_apart() -> None:
    found = inhibition_numbers(MATRIX, TOGETHER)
    assert (found.units, found.symmetric, found.min, found.max) == (4, True, 0, 1)
    assert found.row_sum == {"mean": 0.75, "min": 0.0, "max": 1.5}
    assert (found.inhibited_pairs, found.free_pairs) == (2, 4)
    assert found.coactivation is not None
    assert found.coactivation.inhibited == pytest.approx(0.04)
    assert found.coactivation.free == pytest.approx(0.2)
    assert found.coactivation.ratio == pytest.approx(0.2)
    pairs = np.triu_indices(4, 1)
    expected = np.corrcoef(MATRIX[pairs], TOGETHER[pairs])[0, 1]
    assert found.coactivation.correlation == pytest.approx(expected)


def test_what_cannot_be_compared_is_none() -> None:
    everywhere = 1 - np.eye(4)
    found = inhibition_numbers(everywhere, TOGETHER).coactivation
    assert found is not None
    assert (found.free, found.ratio, found.correlation) == (None, None, None)
    assert found.inhibited == pytest.approx(TOGETHER[np.triu_indices(4, 1)].mean())
    assert inhibition_numbers(MATRIX).coactivation is None
    assert inhibition_numbers(np.zeros((1, 1)), np.ones((1, 1))).max == 0


def test_a_matrix_that_is_not_symmetric_is_seen() -> None:
    assert not inhibition_numbers(np.triu(MATRIX)).symmetric


def test_partners_come_by_strength_and_then_by_similarity() -> None:
    """Units 1 and 2 inhibit unit 0 alike; unit 2 is the more similar one. Unit 3 inhibits it less."""
    filters = gabors(np.array([0.0, 90.0, 5.0, 0.0]), np.full(4, 0.2), seed=3)
    filters[2] = 0.8 * filters[0] + 0.2 * filters[2]
    matrix = np.zeros((4, 4))
    matrix[0, 1:] = matrix[1:, 0] = [1, 1, 0.5]
    found = {entry.unit: entry for entry in most_inhibited(matrix, filters, np.array([0.5, 0.5, 0.5, 0.0]))}
    assert found[0].partners == [2, 1, 3]
    assert found[0].inhibition == [1, 1, 0.5]
    assert found[1].partners == [0]
    assert 3 not in found  # never used


def test_usage_of_equal_units_is_even_and_of_one_unit_is_not() -> None:
    assert gini(np.full(10, 0.3)) == pytest.approx(0)
    assert effective_units(np.full(10, 0.3)) == pytest.approx(10)
    alone = np.array([0.0] * 9 + [0.4])
    assert gini(alone) == pytest.approx(0.9)
    assert effective_units(alone) == pytest.approx(1)


def test_gini_is_the_mean_difference_of_all_pairs() -> None:
    usage = np.random.default_rng(0).uniform(size=50)
    expected = np.abs(usage[:, None] - usage).mean() / (2 * usage.mean())
    assert gini(usage) == pytest.approx(expected)


def test_dead_units_are_counted_and_a_dead_model_has_no_spread() -> None:
    found = usage_numbers(np.array([0.0, 0.1, 0.3, 0.0], np.float32))
    assert found["dead_units"] == 2
    assert found["quantiles"]["1"] == pytest.approx(0.3)
    dead = usage_numbers(np.zeros(3))
    assert (dead["gini"], dead["effective_units"], dead["dead_units"]) == (None, None, 3)


def test_opposite_ends_of_the_scale_of_orientations_have_one_colour() -> None:
    around = orientation_colors(np.array([0.0, 180.0, 179.9, 90.0, np.nan]))
    assert (around[0] == around[1]).all()
    assert np.abs(around[0].astype(int) - around[2]).max() <= 2
    assert np.abs(around[0].astype(int) - around[3]).max() > 100
    assert len(set(around[4].tolist())) == 1  # gray


def test_bars_stand_as_the_eye_sees_them() -> None:
    lying, standing, rising = bars(np.zeros(3), np.zeros(3), np.array([0.0, 90.0, 45.0]), 2)
    assert lying[1] == pytest.approx([1, 0])
    assert standing[1] == pytest.approx([0, -1])  # rows count downwards
    assert rising[1] == pytest.approx([np.sqrt(0.5), -np.sqrt(0.5)])
