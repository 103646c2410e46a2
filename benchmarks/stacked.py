"""The recipe `stacked` on MNIST: few labels on fixed features, all labels with fine-tuning, against controls.

    python benchmarks/stacked.py --mnist FOLDER [--out DIR] [--threads 2] [--fine-tune 15] [--test]

FOLDER has the four IDX files of MNIST, gzipped. The stack learns on the 60 000 training images without their labels.

* 300 labels (30 a class, five draws by seed): a linear classifier on the top features, as `learn: classifier` learns
  it; the same on features of random filters and on pixels. Random filters are Gaussian, each as long as the trained
  one, with the bias that switches it on as often.
* all labels: `learn: all`, all encoders with the classifier.

Without `--test` labels come from the first 50 000 and errors are those of the last 10 000 training digits: settings
were chosen so. With it errors are those of the test set, read once. DIR keeps what was trained and is used again.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mnist import HELD_OUT, mnist, run, stored
from numpy.typing import NDArray
from torch import Tensor

from pinwheel.recipes import find
from pinwheel.specs import ANY_SPEC, Softmax, StackSpec, Supervised, Training, layers
from worker.data.random import generator_for, keep_mask
from worker.data.sampler import Sampler
from worker.encoding.engine import Engine
from worker.sparse.classifier import Softmax as Classifier
from worker.sparse.classifier import draw_weights
from worker.sparse.labelled import Labelled
from worker.sparse.stack import Stack
from worker.training.bundle import Bundle
from worker.training.features import between_of
from worker.training.prepare import adam
from worker.training.schedule import Schedule

DRAWS, PER_CLASS, CLASSES = 5, 30, 10
FEW = Supervised(
    classifier=Softmax(weight=1.0, max_norm=20.0),
    learn="classifier",
    training=Training(epochs=200, batch_size=50, learning_rate=1e-2, previews=0),
)
ALL = Supervised(
    classifier=Softmax(weight=1.0, max_norm=20.0, dropout=0.5),
    learn="all",
    training=Training(epochs=15, batch_size=100, learning_rate=1e-3, previews=0),
)
CHUNK = 500


def few_labels(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Rows of 30 images of each class."""
    draw = np.random.default_rng(seed)
    return np.concatenate([draw.choice(np.flatnonzero(labels == c), PER_CLASS, replace=False) for c in range(CLASSES)])


def unsupervised() -> StackSpec:
    """The recipe, with one epoch for each layer: there are three times as many digits."""
    given = json.loads(find("stacked").spec.model_dump_json())
    for stage in given["stages"]:
        stage["training"]["epochs"] = 1
    spec = ANY_SPEC.validate_json(json.dumps(given))
    assert isinstance(spec, StackSpec)
    return spec


def on_top(bundle: Path, stage: Supervised) -> StackSpec:
    """The spec of a stage of labels on the layers of a bundle."""
    spec = Bundle.load(bundle).spec
    taken = [layer.model_copy(update={"taken_from": "stacked@1"}) for layer in layers(spec)]
    return StackSpec(preprocessing=spec.preprocessing, stages=(*taken, stage), resources=spec.resources)


@torch.no_grad()
def features(stack: Stack, x: Tensor) -> Tensor:
    return torch.cat([stack.features(x[start : start + CHUNK]) for start in range(0, len(x), CHUNK)])


@torch.no_grad()
def random_filters(stack: Stack, x: Tensor, seed: int) -> Stack:
    """The same architecture with Gaussian filters, as long and as often on as the trained ones."""
    between: list[Any] = []
    models = []
    for number in range(len(stack)):
        model, generator = stack.layer(number), generator_for(seed, "random filters", number)
        below = Stack(models, between) if models else None
        if below is not None:
            between.append(between_of(_Rows(x), below, torch.arange(len(x))))
        seen = x if below is None else between[-1].up(features(below, x))
        trained_seen = x if number == 0 else stack.under(number).up(features(stack.up_to(number), x))
        share = model.connection.gathered((model.encode(trained_seen) > 0).double().mean(0)) / model.connection.uses
        predictor: Any = model.encoder.predictor  # type: ignore[union-attr]
        drawn = torch.randn(predictor.encoder.shape, generator=generator)
        lengths = predictor.encoder.flatten(1).norm(dim=1) / drawn.flatten(1).norm(dim=1)
        predictor.encoder.copy_(drawn * lengths[:, None, None, None])
        drive = model.connection.encode(predictor.encoder, seen).view(-1, model.connection.filters)
        for unit in range(len(share)):
            predictor.bias[unit] = -torch.quantile(drive[:: max(1, len(drive) // 10**6), unit], 1 - float(share[unit]))
        models.append(model)
    return Stack(models, between)


class _Rows:
    """Inputs that are all there."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.device = x, x.device

    def batches(self, indices: Tensor, most: int | None = None) -> Any:
        return ((self.x[start : start + CHUNK], None) for start in range(0, len(self.x), CHUNK))


def linear(x: Tensor, labels: Tensor, stage: Supervised) -> Labelled:
    """A classifier on these inputs, as a stage of labels learns it."""
    training = stage.training
    weights = draw_weights(CLASSES, x.shape[1], generator_for(training.seed, "classifier"))
    model = Labelled(Classifier(weights, weight=stage.classifier.weight, max_norm=stage.classifier.max_norm))
    optimizer, sampler = adam(model.rates()), Sampler(len(x), training.batch_size, training.seed)
    schedule = Schedule.of(training, training.total_steps(len(x)))
    for step in range(schedule.total_steps):
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * schedule.rate(step) * group["multiplier"]
        rows = sampler.indices(step)
        visible = None
        if stage.classifier.dropout > 0:
            visible = keep_mask((len(rows), x.shape[1]), stage.classifier.dropout, generator_for(0, "dropout", step))
        loss = model.energy(x[rows], labels[rows], visible).loss
        model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        model.project()
    return model


@torch.no_grad()
def error(model: Labelled, x: Tensor, labels: Tensor) -> float:
    return float((model.classifier.logits(x).argmax(1) != labels).double().mean())


def with_few(name: str, x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor, stage: Supervised) -> list[float]:
    found = []
    for seed in range(DRAWS):
        rows = torch.from_numpy(few_labels(y.numpy(), seed))
        found.append(error(linear(x[rows], y[rows], stage), x_test, y_test))
    shown = " ".join(f"{value:.2%}" for value in found)
    print(f"| {name} | {statistics.mean(found):.2%} | {shown} |", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("stacked-benchmark"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fine-tune", type=int, default=0, metavar="EPOCHS")
    parser.add_argument("--test", action="store_true", help="errors of the test set, in place of the last 10 000")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    images, labels = mnist(given.mnist, "train")
    data = stored((images, labels), given.out / "mnist")
    spec = unsupervised()
    bundle, seconds = run(spec, data, given.out / "unsupervised", given.threads)
    print(f"without labels: {seconds:.0f} s")
    known = (images, labels) if given.test else (images[:-HELD_OUT], labels[:-HELD_OUT])
    asked = mnist(given.mnist, "t10k") if given.test else (images[-HELD_OUT:], labels[-HELD_OUT:])
    loaded = Bundle.load(bundle)
    preprocess = loaded.preprocessor.inputs
    drawn = np.unique(np.concatenate([few_labels(known[1], seed) for seed in range(DRAWS)]))
    # only images that are drawn are needed: the others become rows of zeros
    y, y_test = torch.from_numpy(known[1]), torch.from_numpy(asked[1])
    x, x_test = preprocess(known[0][drawn]).x, preprocess(asked[0]).x

    def spread(rows: Tensor) -> Tensor:
        whole = torch.zeros(len(y), rows.shape[1])
        whole[torch.from_numpy(drawn)] = rows
        return whole

    print("| features | error, 300 labels | draws |\n| --- | --- | --- |")
    pixels = (torch.from_numpy(part[0].reshape(len(part[0]), -1)).float() / 255 for part in ((known[0][drawn],), asked))
    few, many = pixels
    with_few("pixels", spread(few), y, many, y_test, FEW)
    with_few("pixels, normalised", spread(x), y, x_test, y_test, FEW)
    first = loaded.stack.up_to(1)
    with_few("layer 0", spread(features(first, x)), y, features(first, x_test), y_test, FEW)
    with_few("stacked", spread(features(loaded.stack, x)), y, features(loaded.stack, x_test), y_test, FEW)
    random = random_filters(Bundle.load(bundle).stack, x, 0)
    with_few("random filters", spread(features(random, x)), y, features(random, x_test), y_test, FEW)
    if given.fine_tune:
        part = "all" if given.test else "fifty"
        trained_on = data if given.test else stored(known, given.out / "mnist-50000")
        update = {"training": ALL.training.model_copy(update={"epochs": given.fine_tune})}
        whole = on_top(bundle, ALL.model_copy(update=update))
        out = given.out / f"fine-tuned-{part}-{given.fine_tune}"
        tuned, seconds = run(whole, trained_on, out, given.threads, base=bundle)
        found = float((Engine.load(tuned).classify(asked[0]).argmax(1) != asked[1]).mean())
        print(f"all labels, fine-tuned for {given.fine_tune} epochs in {seconds:.0f} s: {found:.2%}")


if __name__ == "__main__":
    main()
