"""From a plan to all that a training works with. Whatever does not fit together raises ValueError here."""

import os
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from pinwheel.specs import Resources, StackSpec, Training, TrainSpec, classifier_of, trained
from worker.data.inputs import Inputs, Source
from worker.data.preprocess import Preprocessor, input_shape
from worker.data.random import permutation
from worker.data.reader import Dataset, open_dataset
from worker.data.sampler import Sampler, split
from worker.sparse.bounds import Rates
from worker.sparse.stack import Between, Stack
from worker.training.bundle import Bundle
from worker.training.features import FeatureInputs
from worker.training.plan import Plan
from worker.training.schedule import Schedule, evaluation_inputs, final_inputs

ADAM_BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class Opened:
    """What all stages of a training have in common. `evaluated` is what the metrics are computed on."""

    device: torch.device
    dataset: Dataset
    preprocessor: Preprocessor
    train: Source
    evaluated: Source

    def through(self, stack: Stack, between: Between | None) -> "Opened":
        """The same inputs as a layer above `stack` sees them."""
        train = FeatureInputs(self.train, stack, between)
        same = self.evaluated is self.train
        return replace(self, train=train, evaluated=train if same else FeatureInputs(self.evaluated, stack, between))


@dataclass(frozen=True)
class Prepared(Opened):
    """A stage, ready to learn: `model` on the inputs `train`. Of those of `evaluated`, `part` are the indices for the
    metrics on the way, `whole` for those at the end."""

    sampler: Sampler
    schedule: Schedule
    part: Tensor
    whole: Tensor


def open_plan(plan: Plan, base: Bundle | None) -> Opened:
    """The data of a plan, preprocessed as its spec says, or as `base` was, the model that a stack is put on."""
    torch.set_num_threads(plan.threads or len(os.sched_getaffinity(0)))
    spec, seed = plan.spec, data_seed(plan.spec)
    device = chosen_device(spec.resources)
    dataset = open_dataset(plan.dataset)
    train_rows, held_out = split(len(dataset), plan.split, seed) if plan.split else (None, None)
    if base is None:
        preprocessor = Preprocessor.fitted(spec.preprocessing, dataset, train_rows, seed)
    else:
        preprocessor = base.preprocessor
    train = Inputs(dataset, preprocessor, train_rows, device, seed=seed)
    evaluated = train
    if held_out is not None:
        evaluated = Inputs(dataset, preprocessor, held_out, device, seed=seed, side="validation")
    if plan.validation is not None:
        validation = fitting_validation(open_dataset(plan.validation), dataset, spec)
        evaluated = Inputs(validation, preprocessor, None, device, seed=seed, side="validation")
    return Opened(device, dataset, preprocessor, train, evaluated)


def data_seed(spec: TrainSpec | StackSpec) -> int:
    """What patches are drawn and data are split by: the seed of the first stage that is trained."""
    return trained(spec)[0].training.seed


def chosen_device(resources: Resources) -> torch.device:
    wanted = resources.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("resources.device is `cuda` and this worker has no GPU; `auto` and `cpu` run here")
    device = torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
    if device.type == "cuda" and resources.precision == "auto":
        torch.set_float32_matmul_precision("high")
    return device


def fitting_validation(validation: Dataset, train: Dataset, spec: TrainSpec | StackSpec) -> Dataset:
    shapes = input_shape(spec.preprocessing, validation), input_shape(spec.preprocessing, train)
    if shapes[0] != shapes[1]:
        raise ValueError(f"the validation data give inputs of {shapes[0]}, the training data inputs of {shapes[1]}")
    if classifier_of(spec.stages[-1]).kind == "none" or train.classes is None:
        return validation
    if validation.labels is None:
        raise ValueError("the classifier `softmax` needs labels and the validation data have none")
    if validation.labels.max() >= train.classes:
        raise ValueError(
            f"the validation labels go up to {validation.labels.max()}, the training data have {train.classes} classes"
        )
    return validation


def prepared(opened: Opened, training: Training, units: int) -> Prepared:
    """For codes of `units` numbers."""
    seed = training.seed
    sampler = Sampler(len(opened.train), training.batch_size, seed, opened.device)
    schedule = Schedule.of(training, training.total_steps(len(opened.train)))
    whole = permutation(len(opened.evaluated), seed, "evaluation").to(opened.device)
    part = whole[: evaluation_inputs(schedule.total_steps, sampler.batch_size)]
    if opened.evaluated is opened.train:
        whole = whole[: final_inputs(units)]
    common = {field.name: getattr(opened, field.name) for field in fields(Opened)}
    return Prepared(**common, sampler=sampler, schedule=schedule, part=part, whole=whole)


def optimizer_of(training: Training, rates: Rates) -> torch.optim.Optimizer:
    """What updates these parameters; the rates themselves are set before every step."""
    return torch.optim.SGD(grouped(rates), fused=True) if training.optimizer == "sgd" else adam(rates)


def adam(rates: Rates) -> torch.optim.Optimizer:
    """On a GPU each rate is a tensor there, so that an update can be captured (`worker.training.captured`)."""
    groups = grouped(rates)
    on_gpu = groups[0]["params"][0].is_cuda
    if on_gpu:
        groups = [group | {"lr": torch.zeros((), device=group["params"][0].device)} for group in groups]
    return torch.optim.Adam(groups, betas=ADAM_BETAS, fused=True, capturable=on_gpu)


def grouped(rates: Rates) -> list[dict[str, Any]]:
    """One group per learning-rate multiplier."""
    groups = [
        {"params": [p for p, m in rates if m == multiplier], "multiplier": multiplier}
        for multiplier in sorted({multiplier for _, multiplier in rates})
    ]
    # torch refuses an optimiser of nothing, which is right where second-order steps do all of the learning
    return groups or [{"params": [torch.nn.Parameter(torch.empty(0))], "multiplier": 1.0}]
