"""Which inputs a step gets: a function of (seed, step) and of nothing else.

Epoch e goes through the data in a permutation drawn from (seed, e). Nothing is dropped: the last batch of an epoch is
smaller where the batch size does not divide the count.
"""

import torch
from torch import Tensor

from worker.data.random import permutation


class Sampler:
    def __init__(self, count: int, batch_size: int, seed: int, device: torch.device | str = "cpu") -> None:
        self.count = count
        self.batch_size = min(batch_size, count)
        self.seed = seed
        self.device = device
        self.steps_per_epoch = -(-count // self.batch_size)
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def indices(self, step: int) -> Tensor:
        """Indices (batch,), int64, of the step that follows `step` finished ones."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._order = permutation(self.count, self.seed, "epoch", epoch).to(self.device)
            self._epoch = epoch
        return self._order[position * self.batch_size : (position + 1) * self.batch_size]


def split(count: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices, in ascending order, of the training part and of the held-out `share` (each at least one)."""
    if count < 2:
        raise ValueError(f"a data set of {count} image cannot be split; at least 2 are needed")
    held_out = min(count - 1, max(1, round(share * count)))
    order = permutation(count, seed, "split")
    return order[:-held_out].sort().values, order[-held_out:].sort().values
