"""From a plan to all that a training works with. Whatever does not fit together raises ValueError here."""

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from pinwheel.specs import Local, Softmax, TrainSpec
from worker.data.inputs import Inputs
from worker.data.preprocess import Preprocessor, input_shape
from worker.data.random import permutation
from worker.data.reader import Dataset, open_dataset
from worker.data.sampler import Sampler, split
from worker.sparse.autoencoder import Autoencoder
from worker.training.build import fresh_model
from worker.training.plan import Plan
from worker.training.schedule import Schedule, evaluation_inputs, final_inputs

ADAM_BETAS = (0.9, 0.99)
MOST_EXAMPLES = 256  # images that first filters with fields of their own are drawn from


@dataclass
class Prepared:
    device: torch.device
    dataset: Dataset
    train: Inputs
    sampler: Sampler
    schedule: Schedule
    evaluated: Inputs
    part: Tensor  # indices into `evaluated` for the metrics on the way
    whole: Tensor  # ... and for those at the end
    model: Autoencoder
    optimizer: torch.optim.Optimizer
    preprocessor: Preprocessor


def prepare(plan: Plan) -> Prepared:
    torch.set_num_threads(plan.threads or len(os.sched_getaffinity(0)))
    spec = plan.spec
    device = chosen_device(spec)
    dataset = open_dataset(plan.dataset)
    seed = spec.training.seed
    train_rows, held_out = split(len(dataset), plan.split, seed) if plan.split else (None, None)
    preprocessor = Preprocessor.fitted(spec.preprocessing, dataset, train_rows, seed)
    train = Inputs(dataset, preprocessor, train_rows, device, seed=seed)
    evaluated = train
    if held_out is not None:
        evaluated = Inputs(dataset, preprocessor, held_out, device, seed=seed, side="validation")
    if plan.validation is not None:
        validation = fitting_validation(open_dataset(plan.validation), dataset, spec)
        evaluated = Inputs(validation, preprocessor, None, device, seed=seed, side="validation")
    sampler = Sampler(len(train), spec.training.batch_size, seed, device)
    schedule = Schedule.of(spec.training, spec.training.epochs * sampler.steps_per_epoch)
    whole = permutation(len(evaluated), seed, "evaluation").to(device)
    part = whole[: evaluation_inputs(schedule.total_steps, sampler.batch_size)]
    model = drawn_model(spec, train, dataset.classes).to(device)
    return Prepared(
        device=device,
        dataset=dataset,
        train=train,
        sampler=sampler,
        schedule=schedule,
        evaluated=evaluated,
        part=part,
        whole=whole[: final_inputs(model.units)] if evaluated is train else whole,
        model=model,
        optimizer=adam(model),
        preprocessor=preprocessor,
    )


def chosen_device(spec: TrainSpec) -> torch.device:
    wanted = spec.resources.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ValueError("resources.device is `cuda` and this worker has no GPU; `auto` and `cpu` run here")
    device = torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
    if device.type == "cuda" and spec.resources.precision == "auto":
        torch.set_float32_matmul_precision("high")
    return device


def fitting_validation(validation: Dataset, train: Dataset, spec: TrainSpec) -> Dataset:
    shapes = input_shape(spec.preprocessing, validation), input_shape(spec.preprocessing, train)
    if shapes[0] != shapes[1]:
        raise ValueError(f"the validation data give inputs of {shapes[0]}, the training data inputs of {shapes[1]}")
    if not isinstance(spec.model.classifier, Softmax) or train.classes is None:
        return validation
    if validation.labels is None:
        raise ValueError("the classifier `softmax` needs labels and the validation data have none")
    if validation.labels.max() >= train.classes:
        raise ValueError(
            f"the validation labels go up to {validation.labels.max()}, the training data have {train.classes} classes"
        )
    return validation


def drawn_model(spec: TrainSpec, train: Inputs, classes: int | None) -> Autoencoder:
    seed = spec.training.seed
    wanted = MOST_EXAMPLES if isinstance(spec.model.connection, Local) else spec.model.connection.units
    examples, _ = train.take(permutation(len(train), seed, "examples")[:wanted].to(train.device))
    return fresh_model(spec.model, examples.cpu(), classes, seed, train.shape)


def adam(model: Autoencoder) -> torch.optim.Optimizer:
    """Adam with one group per learning-rate multiplier; the rates themselves are set before every step."""
    multipliers = sorted({multiplier for _, multiplier in model.rates()})
    groups = [
        {"params": [p for p, m in model.rates() if m == multiplier], "multiplier": multiplier}
        for multiplier in multipliers
    ]
    if not groups:
        # torch refuses an optimiser of nothing, which is right where second-order steps do all of the learning
        groups = [{"params": [torch.nn.Parameter(torch.empty(0))], "multiplier": 1.0}]
    return torch.optim.Adam(groups, betas=ADAM_BETAS, fused=True)
