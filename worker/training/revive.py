"""Silent units, found and cured.

A unit is silent where it has not been active for the last `after` inputs. It begins anew: its dictionary column becomes
the direction of what is left of a badly reconstructed input (drawn with probability in proportion to ‖x − x̂‖²), its
encoder row follows, and the optimiser forgets what it knew of both. As in the resampling of sparse auto-encoders
(Bricken et al., Towards Monosemanticity, 2023).
"""

import torch
from torch import Tensor

from worker.data.random import generator_for
from worker.sparse.autoencoder import Autoencoder, Energy

CHECK_EVERY = 50
# No unit begins anew in the last part of a training: it would not have the time to learn.
LAST_SHARE = 0.8


class Revival:
    """`ages` (filters,): inputs since each filter was last active anywhere."""

    def __init__(self, after: int, model: Autoencoder, seed: int, total_steps: int) -> None:
        self.after = after
        self.model = model
        self.seed = seed
        self.last_step = LAST_SHARE * total_steps
        self.ages = torch.zeros(model.filters, dtype=torch.int64, device=model.connection.dictionary.device)

    def note(self, energy: Energy) -> None:
        """Count the inputs of a batch."""
        active = self.model.connection.gathered(self.model.active(energy).any(0)) > 0
        self.ages.add_(len(energy.code)).masked_fill_(active, 0)

    def cure(self, optimizer: torch.optim.Optimizer, x: Tensor, energy: Energy, step: int) -> int:
        """Let silent units begin anew from the batch `x` (batch, inputs) of update `step`; returns their number."""
        if step % CHECK_EVERY or step > self.last_step:
            return 0
        silent = self.ages >= self.after
        if self.model.kept is not None:
            silent &= self.model.kept
        units = silent.nonzero().reshape(-1)[: len(x)]
        if len(units) == 0:
            return 0
        left = x - self.model.connection.decode(energy.decoded.detach())
        errors = left.square().sum(1).cpu() + torch.finfo(x.dtype).tiny
        if not bool(torch.isfinite(errors).all()):
            return 0  # the loop is about to say so
        chosen = torch.multinomial(errors, len(units), generator=generator_for(self.seed, "revive", step))
        self.model.revive(units, left[chosen.to(left.device)])
        forget(optimizer, self.model, units)
        self.ages[units] = 0
        return len(units)


@torch.no_grad()
def forget(optimizer: torch.optim.Optimizer, model: Autoencoder, units: Tensor) -> None:
    """Clear the optimiser's averages of these units' entries."""
    for parameter, dimension in model.per_unit():
        for key, value in optimizer.state.get(parameter, {}).items():
            if key != "step":
                value.index_fill_(dimension, units, 0)
