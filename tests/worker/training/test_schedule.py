"""Rates, metrics and previews as functions of the step."""

import itertools

import pytest
import torch

from pinwheel.specs import Training
from worker.training.prepare import optimizer_of
from worker.training.schedule import Schedule, evaluation_inputs, metrics_interval, preview_steps


def test_the_rate_warms_up_is_constant_and_then_falls_to_zero() -> None:
    schedule = Schedule.of(Training(unsupervised_fraction=0.25), 100)
    rates = [schedule.rate(step) for step in range(101)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10:26] == [1.0] * 16
    assert rates[26:] == sorted(rates[26:], reverse=True)
    assert rates[62] == pytest.approx(0.5, abs=0.03)
    assert rates[100] == pytest.approx(0)
    assert [schedule.supervised(24), schedule.supervised(25)] == [False, True]


def test_a_constant_schedule_and_a_wholly_unsupervised_one_do_not_fall() -> None:
    constant = Schedule.of(Training(schedule="constant"), 20)
    unsupervised = Schedule.of(Training(unsupervised_fraction=1.0), 20)
    assert {s.rate(step) for s in (constant, unsupervised) for step in range(1, 20)} == {1.0}


def test_an_inverse_schedule_falls_from_the_first_step_on() -> None:
    schedule = Schedule.of(Training(schedule="inverse", decay=0.5, unsupervised_fraction=0.5), 20)
    assert [schedule.rate(step) for step in (0, 1, 2, 10)] == pytest.approx([1, 1 / 1.5, 1 / 2, 1 / 6])
    apart = Schedule.of(Training(schedule="inverse", decay=0.5, dictionary_fraction=0.5), 20)
    assert [apart.rate(step) for step in (9, 10, 11)] == pytest.approx([1 / 5.5, 1, 1 / 1.5])


def test_plain_gradients_move_each_parameter_by_its_own_rate() -> None:
    first, second = (torch.nn.Parameter(torch.tensor([value])) for value in (1.0, 2.0))
    optimizer = optimizer_of(Training(optimizer="sgd"), [(first, 1.0), (second, 0.25)])
    for group in optimizer.param_groups:
        group["lr"] = 0.1 * group["multiplier"]
    for _ in range(2):
        optimizer.zero_grad()
        (3 * first + 4 * second).sum().backward()
        optimizer.step()
    assert [first.item(), second.item()] == pytest.approx([1 - 2 * 0.1 * 3, 2 - 2 * 0.025 * 4])


@pytest.mark.parametrize("total", [1, 7, 100, 2_700, 36_000, 10**6])
@pytest.mark.parametrize("batch_size", [1, 10, 100, 5000])
def test_evaluations_stay_cheap_and_curves_have_points(total: int, batch_size: int) -> None:
    interval, inputs = metrics_interval(total, batch_size), evaluation_inputs(total, batch_size)
    assert interval >= 1
    fewest = min(200, 4 * batch_size)  # whole images come in small batches, and each costs as much as many patches
    assert fewest <= inputs <= 2000
    assert min(total, 40) <= total / interval <= max(400, 200 + total % 200)
    # an evaluated input costs a third of a trained one; the smallest trainings may cost more
    if inputs > fewest:
        assert inputs / 3 <= 0.051 * interval * batch_size


def test_previews_grow_apart_between_both_ends() -> None:
    steps = sorted(preview_steps(10_000, 40))
    gaps = [b - a for a, b in itertools.pairwise(steps)]
    assert (steps[0], steps[-1], len(steps)) == (0, 10_000, 41)
    assert gaps == sorted(gaps)
    assert preview_steps(3, 40) == {0, 1, 2, 3}
    assert preview_steps(100, 0) == frozenset()
