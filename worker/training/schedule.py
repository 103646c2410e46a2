"""What changes over a training, as functions of the step.

    rate = base · multiplier · warm · 1                                      in the unsupervised phase
           base · multiplier · warm · 1/2 (1 + cos π (s − s₀) / (S − s₀))    after it, `cosine`
           base · multiplier / (1 + decay s)                                in both, `inverse`
    warm = min(1, (s + 1) / min(100, S / 10))

with s finished steps of S, s₀ of them unsupervised. Most of the classification error falls while the rate decays.
Without `warm` the first updates of Adam, all of full size, switch off some units for good: 10 of 400 on digits within
10 steps, none with it. Where a dictionary is learned before its encoder, each of both has such a rise and fall.
"""

import math
from dataclasses import dataclass

from pinwheel.specs import Training
from worker.sparse.autoencoder import Phase

EVALUATION_INPUTS = 2000
FEWEST_EVALUATION_INPUTS = 200
MOST_EVALUATED_CODES = 2**23  # numbers of all codes of the last evaluation together
WARM_UP_STEPS = 100
# An evaluated input costs a third of a trained one: 0.15 trained inputs are 5 % of the time of one evaluated.
EVALUATED_PER_TRAINED = 0.15


@dataclass(frozen=True)
class Schedule:
    total_steps: int
    unsupervised_steps: int
    decays: bool
    dictionary_steps: int = 0
    inverse_decay: float | None = None

    @classmethod
    def of(cls, training: Training, total_steps: int) -> "Schedule":
        return cls(
            total_steps,
            round(training.unsupervised_fraction * total_steps),
            training.schedule == "cosine",
            dictionary_steps(training.dictionary_fraction, total_steps),
            training.decay if training.schedule == "inverse" else None,
        )

    def phase(self, step: int) -> Phase:
        """What the update after `step` finished ones learns."""
        if self.dictionary_steps == 0:
            return "joint"
        return "dictionary" if step < self.dictionary_steps else "encoder"

    def supervised(self, step: int) -> bool:
        """Whether the update after `step` finished ones belongs to the supervised phase."""
        return step >= self.unsupervised_steps

    def rate(self, step: int) -> float:
        """Factor on the base rate of the update after `step` finished ones, in 0..1."""
        phase = self.phase(step)
        first = self.dictionary_steps if phase == "encoder" else 0
        if self.inverse_decay is not None:
            return 1 / (1 + self.inverse_decay * (step - first))
        steps = (self.dictionary_steps if phase == "dictionary" else self.total_steps) - first
        warm_up = min(WARM_UP_STEPS, steps // 10)
        warm = min(1.0, (step - first + 1) / max(1, warm_up))
        falls_from = self.unsupervised_steps if phase == "joint" else first
        if not self.decays or step < falls_from:
            return warm
        done = (step - falls_from) / (first + steps - falls_from)
        return warm * 0.5 * (1 + math.cos(math.pi * done))


def dictionary_steps(fraction: float, total_steps: int) -> int:
    """At least one for the dictionary and one for the encoder, where there are two phases."""
    return 0 if fraction == 0 else min(max(1, round(fraction * total_steps)), max(0, total_steps - 1))


def metrics_interval(total_steps: int, batch_size: int) -> int:
    """Steps from one evaluation to the next: about 200 over the training, fewer (at least about 40) where evaluations
    would take more than 5 % of the time."""
    affordable = math.ceil(EVALUATION_INPUTS / (EVALUATED_PER_TRAINED * batch_size))
    return max(1, total_steps // 200, min(affordable, total_steps // 40))


def evaluation_inputs(total_steps: int, batch_size: int) -> int:
    """Inputs of one evaluation on the way: up to 2000, fewer where that would take more than 5 % of the time."""
    affordable = int(EVALUATED_PER_TRAINED * batch_size * metrics_interval(total_steps, batch_size))
    fewest = min(FEWEST_EVALUATION_INPUTS, 4 * batch_size)
    return min(EVALUATION_INPUTS, max(fewest, affordable))


def final_inputs(units: int) -> int:
    """Training inputs of the last evaluation, where none are held out, for codes of this length."""
    return min(EVALUATION_INPUTS, max(FEWEST_EVALUATION_INPUTS, MOST_EVALUATED_CODES // units))


def preview_steps(total_steps: int, count: int) -> frozenset[int]:
    """Step 0 and `count` later ones, the last included; their distances grow linearly, as filters form early."""
    if count == 0:
        return frozenset()
    return frozenset({0, *(math.ceil(total_steps * (i / count) ** 2) for i in range(1, count + 1))})
