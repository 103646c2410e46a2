"""What is measured of a model on a set of inputs.

    unexplained_variance = Σ (x − x̂)² / Σ (x − mean x)²       l0 = mean number of active units
    active_fraction = l0 / units                             dead_units = units active for none of the inputs

Where units share a filter, `usage` and `dead_units` are about filters, wherever on the image they are on.

The mean of the first is per input dimension over the whole set. The functions take whole tensors; `Tally` gathers the
same numbers batch by batch in float64.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def unexplained_variance(x: Tensor, reconstruction: Tensor) -> float:
    """Both (n, inputs). 0 is perfect, 1 as good as the mean; NaN where the inputs do not vary."""
    error = (x - reconstruction).double().square().sum()
    return float(error / (x.double() - x.double().mean(0)).square().sum())


def l0(code: Tensor) -> float:
    return float((code != 0).sum(1).double().mean())


def active_fraction(code: Tensor) -> float:
    return l0(code) / code.shape[1]


def dead_units(code: Tensor) -> int:
    return int((code == 0).all(0).sum())


def angles(first: Tensor, second: Tensor, mean_square: Tensor | None = None) -> Tensor:
    """Radians between the rows of both (rows, inputs), float64 (rows,); a row of zeros is at a right angle to others.

    With `mean_square` (inputs,) of the inputs that rows are multiplied with, entries count by what comes in there.
    2 atan2(‖u − v‖, ‖u + v‖) of unit vectors u, v: the arc cosine of u · v loses half of the digits near 0.
    """
    size = 1.0 if mean_square is None else mean_square.double().sqrt()
    u, v = (torch.nn.functional.normalize(rows.double() * size, dim=1) for rows in (first, second))
    return 2 * torch.atan2(torch.linalg.vector_norm(u - v, dim=1), torch.linalg.vector_norm(u + v, dim=1))


def classification_error(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(1) != labels).double().mean())


class Tally:
    """Sums over batches, kept on the device until they are asked for."""

    def __init__(
        self, inputs: int, units: int, device: torch.device, gathered: Callable[[Tensor], Tensor] = lambda sums: sums
    ) -> None:
        """`gathered` sums what is counted of each unit over the units with one filter: (units,) → (filters,)."""
        self.count = 0
        self.gathered = gathered
        self.active = torch.zeros(units, dtype=torch.float64, device=device)
        self.first = torch.zeros(inputs, dtype=torch.float64, device=device)
        self.second = torch.zeros(inputs, dtype=torch.float64, device=device)
        self.error = torch.zeros((), dtype=torch.float64, device=device)
        self.wrong: Tensor | None = None

    def add(
        self,
        x: Tensor,
        reconstruction: Tensor,
        code: Tensor,
        logits: Tensor | None = None,
        labels: Tensor | None = None,
        active: Tensor | None = None,
    ) -> None:
        """`active` (batch, units) says which units are on, where that is not where the code differs from zero."""
        self.count += len(x)
        self.active += (code != 0 if active is None else active).sum(0)
        self.first += x.sum(0, dtype=torch.float64)
        self.second += x.double().square().sum(0)
        self.error += (x - reconstruction).square().sum(dtype=torch.float64)
        if logits is not None and labels is not None:
            wrong = (logits.argmax(1) != labels).sum()
            self.wrong = wrong if self.wrong is None else self.wrong + wrong

    def usage(self) -> Tensor:
        """(filters,) share of the inputs, and of the places in them, that switch each filter on"""
        used = self.gathered(self.active)
        return (used * len(used) / len(self.active) / self.count).float()

    def mean_square(self) -> Tensor:
        """(inputs,) of the inputs"""
        return self.second / self.count

    def values(self, kept: Tensor | None = None) -> dict[str, float]:
        """Every measure that is defined: inputs that do not vary have no unexplained variance.

        Units that are not `kept` (units,) are no longer part of the model: neither dead nor counted.
        """
        mean_active = float(self.active.sum()) / self.count
        there = torch.ones_like(self.active, dtype=torch.bool) if kept is None else kept
        values = {
            "l0": mean_active,
            "active_fraction": mean_active / float(there.sum()),
            "dead_units": float((self.gathered(there & (self.active > 0)) == 0).sum() - (~there).sum()),
        }
        if kept is not None:
            values["pruned_units"] = float((~kept).sum())
        second = self.second.sum()
        deviation = float(second - self.first.square().sum() / self.count)
        if deviation > 1e-12 * float(second):
            values["unexplained_variance"] = float(self.error) / deviation
        if self.wrong is not None:
            values["classification_error"] = float(self.wrong) / self.count
        return values
