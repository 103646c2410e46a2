"""Batches, splits and draws as functions of the seed."""

import pytest
import torch

from worker.data.random import generator_for, keep_mask
from worker.data.sampler import Sampler, split


def test_an_epoch_visits_every_input_once_and_drops_none() -> None:
    sampler = Sampler(23, 5, seed=1)
    assert sampler.steps_per_epoch == 5
    batches = [sampler.indices(step) for step in range(5)]
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    assert torch.cat(batches).sort().values.tolist() == list(range(23))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(Sampler(50, 50, seed).indices(epoch).tolist()) for seed in (0, 1) for epoch in (0, 1, 2)}
    assert len(orders) == 6


def test_a_batch_depends_on_the_step_alone() -> None:
    walked = Sampler(23, 5, seed=1)
    for step in range(12):
        walked.indices(step)
    assert torch.equal(walked.indices(12), Sampler(23, 5, seed=1).indices(12))


def test_a_batch_larger_than_the_data_is_all_of_them() -> None:
    assert len(Sampler(3, 100, seed=0).indices(0)) == 3


def test_a_split_is_disjoint_complete_and_of_the_seed() -> None:
    train, held_out = split(100, 0.1, seed=4)
    assert len(held_out) == 10
    assert sorted(train.tolist() + held_out.tolist()) == list(range(100))
    assert torch.equal(split(100, 0.1, seed=4)[1], held_out)
    assert not torch.equal(split(100, 0.1, seed=5)[1], held_out)


def test_a_split_leaves_something_on_both_sides() -> None:
    assert [len(part) for part in split(2, 0.999, seed=0)] == [1, 1]
    assert [len(part) for part in split(2, 0.001, seed=0)] == [1, 1]
    with pytest.raises(ValueError, match="1 image cannot be split"):
        split(1, 0.5, seed=0)


@pytest.mark.parametrize("dropped", [0.0, 0.1, 0.5, 0.9])
def test_a_mask_drops_the_share_it_is_asked_for(dropped: float) -> None:
    mask = keep_mask((401, 501), dropped, generator_for(0, "test"))
    assert mask.shape == (401, 501)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert float(mask.mean()) == pytest.approx(1 - dropped, abs=0.005)
    # no position within a 64-bit draw is treated otherwise
    assert mask.flatten()[: 401 * 500].view(-1, 4).mean(0).tolist() == pytest.approx([1 - dropped] * 4, abs=0.01)


def test_draws_of_two_purposes_differ_and_are_repeatable() -> None:
    def drawn(purpose: str, index: int) -> list[float]:
        return torch.rand(3, generator=generator_for(7, purpose, index)).tolist()

    assert drawn("dropout", 5) == drawn("dropout", 5)
    assert drawn("dropout", 5) != drawn("dropout", 6)
    assert drawn("dropout", 5) != drawn("epoch", 5)
