"""Many trainings of DrSAE at once, on one GPU, each with settings of its own: which ones matter, on held-out digits.

    python benchmarks/drsae_sweep.py --mnist FOLDER --out FILE.json [--runs 64] [--epochs 60] [--units 400]
        [--passes 11] [--batch 100] [--draw SEED] [--fix NAME=VALUE …] [--choose NAME=A,B,C …] [--repeat]

Every run draws each setting from its levels (`LEVELS`), learns on the first 50 000 training digits and is asked about
the last 10 000; the test set is not opened. With `--repeat` all runs have the fixed settings and other seeds. The
model and its steps are those of the recipe `drsae`; matrices of all runs lie in one tensor, and one step of all of
them is one captured graph. Matrix products are TF32: this chooses settings, it does not measure the recipe itself.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mnist import HELD_OUT, mnist
from torch import Tensor
from torch.nn.functional import normalize

from worker.sparse.connections.dense import draw_dictionary
from worker.sparse.encoders.recurrent import drsae_matrices
from worker.sparse.measures import angles
from worker.training.prepare import ADAM_BETAS

INPUTS, CLASSES, WARM_UP, ASKED_AT_ONCE = 784, 10, 100, 500
LEVELS: dict[str, list[float]] = {
    "input_dropout": [0.1, 0.2, 0.3],
    "dropout": [0.4, 0.5, 0.6],
    "rate_multiplier": [0.05, 0.1, 0.25],
    "learning_rate": [1e-3, 2e-3, 3e-3],
    "weight": [0.1, 0.2, 0.4],
    "l1": [0.009, 0.018, 0.03],
    "smoothing": [0.0, 0.05, 0.1],
    "max_norm": [10, 20, 40],
    "unsupervised_fraction": [0.07, 0.15],
    "decay": [0.0],
    "adversarial": [0.0],
    "noise": [0.0],
}
DEFAULTS = {
    "input_dropout": 0.2,
    "dropout": 0.5,
    "rate_multiplier": 0.1,
    "learning_rate": 2e-3,
    "weight": 0.2,
    "l1": 0.018,
    "smoothing": 0.0,
    "max_norm": 20.0,
    "unsupervised_fraction": 1 / 7,
    "decay": 0.0,
    "adversarial": 0.0,
    "noise": 0.0,
}
Settings = dict[str, float]


class Sweep:
    """`runs` models side by side: E (r, units, inputs), S (r, units, units), b (r, 1, units), D (r, inputs, units),
    C (r, classes, units)."""

    def __init__(self, settings: list[Settings], given: argparse.Namespace, x: Tensor, labels: Tensor) -> None:
        self.settings, self.given, self.x, self.labels = settings, given, x, labels
        self.runs, self.batch = len(settings), given.batch
        self.steps_per_epoch = len(x) // self.batch
        self.total = given.epochs * self.steps_per_epoch
        fresh = [self._fresh(seed) for seed in range(self.runs)]
        self.parameters = [torch.stack(tensors).cuda() for tensors in zip(*fresh, strict=True)]
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]
        self.at = torch.zeros(1, dtype=torch.int64, device="cuda")  # steps done
        self.position = torch.zeros(1, dtype=torch.int64, device="cuda")  # of them in this epoch
        self.order = torch.empty(self.runs, self.steps_per_epoch, self.batch, dtype=torch.int64, device="cuda")
        self.columns = {n: torch.tensor([s[n] for s in settings], device="cuda")[:, None, None] for n in DEFAULTS}
        self.used = {name for name in DEFAULTS if any(s[name] for s in settings)}
        self.classes, self.identity = (torch.eye(size, device="cuda") for size in (CLASSES, given.units))
        self.factors, self.supervised = (table.cuda() for table in self._schedule())
        codes = (self.runs, given.passes, self.batch, given.units)
        self.codes, self.errors = (torch.empty(codes, device="cuda") for _ in range(2))

    def _fresh(self, seed: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        examples = self.x[torch.randint(len(self.x), (self.given.units,), generator=generator).cuda()].cpu()
        dictionary = draw_dictionary(examples, self.given.units, generator)
        encoder, away, bias = drsae_matrices(dictionary, self.given.passes, 1.25)
        limit = self.given.units**-0.5
        classifier = torch.empty(CLASSES, self.given.units).uniform_(-limit, limit, generator=generator)
        return encoder, away + torch.eye(self.given.units), bias[None], dictionary, classifier

    def _schedule(self) -> tuple[Tensor, Tensor]:
        """Factors on the rate and whether labels take part, both (steps, runs)."""
        step = torch.arange(self.total)[:, None].double()
        first = (self.columns["unsupervised_fraction"].cpu().double().flatten() * self.total).round()[None]
        warm = ((step + 1) / min(WARM_UP, self.total // 10)).clamp_max(1)
        falling = 0.5 * (1 + torch.cos(math.pi * (step - first) / (self.total - first)))
        return (warm * torch.where(step < first, 1.0, falling)).float(), (step >= first).float()

    def code(self, seen: Tensor, codes: Tensor) -> Tensor:
        """The last of `codes` (runs, passes, batch, units), which are filled."""
        encoder, away, bias, _, _ = self.parameters
        drive = torch.baddbmm(-bias, seen, encoder.mT)
        torch.clamp_min(drive, 0, out=codes[:, 0])
        for t in range(1, codes.shape[1]):
            codes[:, t] = torch.baddbmm(drive, codes[:, t - 1], away.mT).relu_()
        return codes[:, -1]

    def classified(self, code: Tensor, y: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the classification in the code and in C."""
        weights = self.parameters[4]
        seen = code * visible
        length = torch.linalg.vector_norm(seen, dim=2, keepdim=True).clamp_min(1e-6)
        unit = seen / length
        smoothing = self.columns["smoothing"]
        target = self.classes[y] * (1 - smoothing) + smoothing / CLASSES
        error = (torch.bmm(unit, weights.mT).softmax(2) - target) * (self.columns["weight"] / self.batch)
        at_unit = torch.bmm(error, weights)
        at_code = (at_unit - unit * (unit * at_unit).sum(2, keepdim=True)) / length
        return at_code * visible, torch.bmm(error.mT, unit)

    def back(self, at_code: Tensor) -> Tensor:
        """Fills `errors`, the gradients at the pre-activations; gives their sum over passes."""
        codes, errors, away = self.codes, self.errors, self.parameters[1]
        errors[:, -1] = at_code * (codes[:, -1] > 0)
        for t in range(codes.shape[1] - 1, 0, -1):
            errors[:, t - 1] = torch.bmm(errors[:, t], away) * (codes[:, t - 1] > 0)
        return errors.sum(1)

    def gradients(self) -> list[Tensor]:
        labelled = self.supervised.index_select(0, self.at)[0][:, None, None]
        rows = self.order.index_select(1, self.position)[:, 0]
        x, y = self.x[rows], self.labels[rows]
        kept = 1 - labelled * self.columns["input_dropout"]
        seen = x * (torch.rand_like(x) < kept) / kept
        if "noise" in self.used:
            seen = seen + labelled * self.columns["noise"] * torch.randn_like(x)
        shown = 1 - labelled * self.columns["dropout"]
        visible = (torch.rand(self.runs, self.batch, self.given.units, device="cuda") < shown).float()
        if "adversarial" in self.used:
            code = self.code(seen, self.codes)
            at_seen = torch.bmm(self.back(self.classified(code, y, visible)[0]), self.parameters[0])
            length = torch.linalg.vector_norm(at_seen, dim=2, keepdim=True).clamp_min(1e-12)
            share = torch.rand(self.runs, self.batch, 1, device="cuda")
            seen = seen + labelled * self.columns["adversarial"] * share * at_seen / length
        code = self.code(seen, self.codes)
        dictionary = self.parameters[3]
        residual = (torch.bmm(code, dictionary.mT) - x) / self.batch
        at_class, classifier = self.classified(code, y, visible)
        at_code = torch.bmm(residual, dictionary) + self.columns["l1"] / self.batch + labelled * at_class
        drive = self.back(at_code)
        later = self.errors[:, 1:].reshape(self.runs, -1, self.given.units)
        earlier = self.codes[:, :-1].reshape(self.runs, -1, self.given.units)
        bias = -drive.sum(1, keepdim=True)
        away = torch.bmm(later.mT, earlier)
        return [torch.bmm(drive.mT, seen), away, bias, torch.bmm(residual.mT, code), labelled * classifier]

    def step(self) -> None:
        gradients = self.gradients()
        factor = self.factors.index_select(0, self.at)[0][:, None, None]
        rate = factor * self.columns["learning_rate"]
        shared = rate * self.columns["rate_multiplier"]
        first, second = ADAM_BETAS
        count = (self.at + 1).double()
        correct_first, correct_second = (1 - first**count).float(), (1 - second**count).float()
        for p, g, (mean, square), r in zip(
            self.parameters, gradients, self.moments, (shared, shared, 0.1 * rate, rate, rate), strict=True
        ):
            mean.lerp_(g, 1 - first)
            square.mul_(second).addcmul_(g, g, value=1 - second)
            p.sub_(r / correct_first * mean / ((square / correct_second).sqrt_() + 1e-8))
        encoder, away, _, dictionary, classifier = self.parameters
        if "decay" in self.used:
            away.sub_(shared * self.columns["decay"] * (away - self.identity))
        for matrix, dim, most in ((encoder, 2, 1.25 / max(1, self.given.passes - 1)), (dictionary, 1, 1.0)):
            matrix.mul_((most / torch.linalg.vector_norm(matrix, dim=dim, keepdim=True)).clamp_max_(1))
        length = torch.linalg.vector_norm(classifier, dim=2, keepdim=True)
        classifier.mul_((self.columns["max_norm"] / length).clamp_max_(1))
        self.at.add_(1)
        self.position.add_(1)

    def shuffle(self) -> None:
        drawn = torch.rand(self.runs, len(self.x), device="cuda").argsort(1)
        self.order.copy_(drawn[:, : self.steps_per_epoch * self.batch].view_as(self.order))
        self.position.zero_()

    def run(self) -> None:
        self.shuffle()
        kept = [t.clone() for t in (*self.parameters, self.at, self.position)]
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(2):
                self.step()
        torch.cuda.synchronize()
        for t, first in zip((*self.parameters, self.at, self.position), kept, strict=True):
            t.copy_(first)
        for moments in self.moments:
            for moment in moments:
                moment.zero_()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        start = time.time()
        for epoch in range(self.given.epochs):
            if epoch:
                self.shuffle()
            for _ in range(self.steps_per_epoch):
                graph.replay()
            if epoch in (0, 2) or epoch % 10 == 9:
                torch.cuda.synchronize()
                print(f"epoch {epoch + 1}, {time.time() - start:.0f} s", flush=True)

    @torch.no_grad()
    def found(self, x: Tensor, labels: Tensor) -> list[dict[str, float]]:
        """Of each run: error, unexplained variance, active units, kinds of units."""
        encoder, _, _, dictionary, classifier = self.parameters
        wrong, error, active = (torch.zeros(self.runs, device="cuda", dtype=torch.float64) for _ in range(3))
        used = torch.zeros(self.runs, self.given.units, device="cuda")
        for some, y in zip(x.split(ASKED_AT_ONCE), labels.split(ASKED_AT_ONCE), strict=True):
            seen = some.expand(self.runs, -1, -1)
            codes = torch.empty(self.runs, self.given.passes, len(some), self.given.units, device="cuda")
            code = self.code(seen, codes)
            wrong += (torch.bmm(normalize(code, dim=2), classifier.mT).argmax(2) != y).sum(1)
            error += (torch.bmm(code, dictionary.mT) - some).square().sum((1, 2)).double()
            used += (code > 0).sum(1)
            active += (code > 0).sum((1, 2))
        deviation = float((x - x.mean(0)).double().square().sum())
        size = x.square().mean(0)
        kinds = [angles(encoder[r], dictionary[r].t(), size)[used[r] > 0] for r in range(self.runs)]
        return [
            {
                "error": float(wrong[r]) / len(x),
                "unexplained": float(error[r]) / deviation,
                "l0": float(active[r]) / len(x),
                "silent": int((used[r] == 0).sum()),
                "parts": int((kinds[r] < 0.5).sum()),
                "categorical": int((kinds[r] > 0.7).sum()),
            }
            for r in range(self.runs)
        ]


def inputs(images: np.ndarray[Any, Any]) -> Tensor:
    return normalize(torch.tensor(images.reshape(len(images), -1), dtype=torch.float32), dim=1).cuda()


def drawn(given: argparse.Namespace) -> list[Settings]:
    fixed = dict(DEFAULTS)
    fixed |= {name: float(value) for name, value in (pair.split("=") for pair in given.fix)}
    levels = {} if given.repeat else {n: v for n, v in LEVELS.items() if n not in {p.split("=")[0] for p in given.fix}}
    levels |= {n: [float(v) for v in values.split(",")] for n, values in (pair.split("=") for pair in given.choose)}
    generator = random.Random(given.draw)
    columns = {}
    for name, values in levels.items():  # every level equally often
        column = [values[i % len(values)] for i in range(given.runs)]
        generator.shuffle(column)
        columns[name] = column
    return [fixed | {name: column[r] for name, column in columns.items()} for r in range(given.runs)]


def told(settings: list[Settings], found: list[dict[str, float]]) -> None:
    """Mean of each measure at every level of every setting."""
    names = [name for name in settings[0] if len({s[name] for s in settings}) > 1]
    for name in names:
        for level in sorted({s[name] for s in settings}):
            rows = [f for s, f in zip(settings, found, strict=True) if s[name] == level]
            means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            deviation = float(np.std([row["error"] for row in rows]) / len(rows) ** 0.5)
            told = " ".join(f"{key} {value:.4g}" for key, value in means.items() if key != "error")
            print(f"{name:22} {level:<8g} n {len(rows):3} error {means['error']:.3%} ± {deviation:.3%} {told}")
    errors = [row["error"] for row in found]
    print(f"all: mean {np.mean(errors):.3%}, median {np.median(errors):.3%}, deviation {np.std(errors):.3%}")
    for s, f in sorted(zip(settings, found, strict=True), key=lambda pair: pair[1]["error"])[:5]:
        print({name: s[name] for name in names}, f)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    for name, default in (("runs", 64), ("epochs", 60), ("units", 400), ("passes", 11), ("batch", 100), ("draw", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--fix", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--choose", nargs="*", default=[], metavar="NAME=A,B,C")
    parser.add_argument("--repeat", action="store_true", help="the fixed settings for all, but for what is chosen")
    given = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.cuda.manual_seed(given.draw)
    images, labels = mnist(given.mnist, "train")
    x, y = inputs(images), torch.tensor(labels).cuda()
    settings = drawn(given)
    sweep = Sweep(settings, given, x[:-HELD_OUT], y[:-HELD_OUT])
    sweep.run()
    found = sweep.found(x[-HELD_OUT:], y[-HELD_OUT:])
    given.out.write_text(json.dumps([s | f for s, f in zip(settings, found, strict=True)]))
    told(settings, found)


if __name__ == "__main__":
    main()
