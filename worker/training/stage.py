"""What the loop asks of a stage: something that learns on prepared inputs, and what is told of it."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from pinwheel.specs import Training
from worker.training.checkpoint import Carried
from worker.training.evaluate import Evaluation
from worker.training.prepare import Prepared


class Loss(Protocol):
    @property
    def loss(self) -> Tensor: ...


class Stage(ABC):
    """`number` counts from the images, 0 first. Every `step` is that of the stage."""

    number: int
    training: Training
    parts: Prepared
    model: nn.Module
    optimizer: torch.optim.Optimizer
    carried: Carried

    @abstractmethod
    def turn(self, step: int) -> None:
        """What happens once, between two updates, after `step` of them."""

    @abstractmethod
    def energy(self, x: Tensor, labels: Tensor | None, step: int) -> Loss:
        """The energy of a batch (batch, inputs), with what is hidden from its parts in this step."""

    def update(self, x: Tensor, labels: Tensor | None, step: int, factor: float) -> Tensor:
        """Learn from a batch; `factor` is that of the schedule on every rate. Gives the loss before the update."""
        self.set_rates(factor)
        energy = self.energy(x, labels, step)
        self.model.zero_grad(set_to_none=True)
        energy.loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.learned(x, energy, step, factor)
        return energy.loss.detach()

    def set_rates(self, factor: float) -> None:
        """A rate that is a tensor stays where it is: a captured update reads it there."""
        for group in self.optimizer.param_groups:
            rate = self.training.learning_rate * factor * group["multiplier"]
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    @abstractmethod
    def learned(self, x: Tensor, energy: Loss, step: int, factor: float) -> None:
        """After the optimiser's update: what learns by other means, and the constraints. `factor` on every rate."""

    @abstractmethod
    def evaluate(self, indices: Tensor, step: int, *, published: bool = False) -> Evaluation:
        """On these of the evaluated inputs: as the model learns now, or as it encodes once it is `published`."""

    @abstractmethod
    def preview(self, out: Path, step: int, evaluation: Evaluation) -> Path | None:
        """The filters as they are now, into a file named by `step` of the whole training; None: there are none."""

    @abstractmethod
    def cut_short(self, step: int) -> None:
        """Bring what has not begun to learn by now to where it would start from: the model is published as it is."""

    @abstractmethod
    def write(self, folder: Path, evaluation: Evaluation, step: int) -> None:
        """The bundle of all layers up to here; `step` is that of the whole training."""
