"""The measures by hand, and the tally over batches against the whole."""

import math

import pytest
import torch

from worker.sparse import measures


def test_the_mean_leaves_all_variance_unexplained_and_the_input_itself_none() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert measures.unexplained_variance(x, x) == 0
    assert measures.unexplained_variance(x, x.mean(0).expand(2, 2)) == 1
    assert measures.unexplained_variance(x, x + 1) == pytest.approx(4 / 10)


def test_units_are_counted_as_active_where_they_are_not_zero() -> None:
    code = torch.tensor([[0.0, 2.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]])
    assert measures.l0(code) == 1.5
    assert measures.active_fraction(code) == 1.5 / 4
    assert measures.dead_units(code) == 2


def test_the_error_is_the_share_of_wrong_largest_logits() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 2.0]])
    assert measures.classification_error(logits, torch.tensor([0, 0, 1])) == pytest.approx(2 / 3)


def test_angles_are_between_directions_whatever_their_length() -> None:
    first = torch.tensor([[2.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 1e-5], [0.0, 0.0]])
    second = torch.tensor([[3.0, 3.0], [0.0, 9.0], [-1.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    expected = torch.tensor([math.pi / 4, math.pi / 2, math.pi, 1e-5, math.pi / 2], dtype=torch.float64)
    torch.testing.assert_close(measures.angles(first, second), expected, rtol=1e-6, atol=1e-12)


def test_angles_count_an_input_by_what_comes_in_there() -> None:
    first, second = torch.tensor([[1.0, 1.0, 5.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    alone = measures.angles(first, second, torch.tensor([1.0, 1.0, 0.0]))
    assert float(alone) == pytest.approx(math.pi / 4)
    assert float(measures.angles(first, second, torch.tensor([1.0, 3.0, 0.0]))) == pytest.approx(math.pi / 3)
    same = measures.angles(first, second, torch.full((3,), 0.3))
    torch.testing.assert_close(same, measures.angles(first, second))


def test_a_tally_over_batches_is_the_measure_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    x, rebuilt = (torch.rand(101, 7, generator=generator) for _ in range(2))
    code = torch.rand(101, 5, generator=generator) * (torch.rand(101, 5, generator=generator) < 0.1)
    code[:, 3] = 0
    logits, labels = torch.rand(101, 3, generator=generator), torch.randint(3, (101,), generator=generator)
    tally = measures.Tally(7, 5, torch.device("cpu"))
    for rows in torch.arange(101).split(20):
        tally.add(x[rows], rebuilt[rows], code[rows], logits[rows], labels[rows])
    assert tally.values() == pytest.approx(
        {
            "unexplained_variance": measures.unexplained_variance(x, rebuilt),
            "l0": measures.l0(code),
            "active_fraction": measures.active_fraction(code),
            "dead_units": measures.dead_units(code),
            "classification_error": measures.classification_error(logits, labels),
        },
        rel=1e-6,
    )
    torch.testing.assert_close(tally.usage(), (code != 0).float().mean(0))
    torch.testing.assert_close(tally.mean_square(), x.double().square().mean(0))


def test_units_that_share_a_filter_are_counted_as_one_that_is_dead_where_none_is_on() -> None:
    """Three filters at four places each: on at places 0 and 2, nowhere, and once."""
    code = torch.zeros(5, 4, 3)
    code[:, 0, 0], code[:3, 2, 0], code[4, 3, 2] = 1.0, -2.0, 0.5
    tally = measures.Tally(7, 12, torch.device("cpu"), lambda sums: sums.view(4, 3).sum(0))
    x = torch.rand(5, 7, generator=torch.Generator().manual_seed(0))
    for rows in torch.arange(5).split(2):
        tally.add(x[rows], x[rows], code[rows].flatten(1))
    torch.testing.assert_close(tally.usage(), torch.tensor([8.0, 0.0, 1.0]) / 20)
    values = tally.values()
    assert (values["dead_units"], values["l0"]) == (1, 9 / 5)
    assert values["active_fraction"] == pytest.approx(9 / 5 / 12)


def test_inputs_that_do_not_vary_have_no_unexplained_variance() -> None:
    x = torch.full((4, 3), 0.1)
    assert math.isnan(measures.unexplained_variance(x, x))
    tally = measures.Tally(3, 2, torch.device("cpu"))
    tally.add(x, x, torch.zeros(4, 2))
    assert "unexplained_variance" not in tally.values()
