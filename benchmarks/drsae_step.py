"""One training step of DrSAE against a literal eager port, and against bare matrix products.

    python benchmarks/drsae_step.py [--batch 100] [--units 400] [--passes 11] [--device cpu]

The port is what one would write first: x·E inside the loop over passes, gradients by autograd, Adam without fusing;
it computes the same losses. The three are timed in turns in one process, so that the ratios hold on a busy machine.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from worker.sparse.autoencoder import Autoencoder
from worker.sparse.classifier import Softmax, draw_weights
from worker.sparse.connections import Dense
from worker.sparse.connections.dense import draw_dictionary
from worker.sparse.encoders import Recurrent
from worker.sparse.encoders.recurrent import drsae_matrices
from worker.sparse.sparsity import L1
from worker.training.captured import Captured
from worker.training.prepare import ADAM_BETAS, adam

INPUTS, CLASSES = 784, 10
RATE = 2e-3
MATMUL = 1024


def model_of(units: int, passes: int, device: str) -> Autoencoder:
    generator = torch.Generator().manual_seed(0)
    dictionary = draw_dictionary(torch.rand(1000, INPUTS, generator=generator), units, generator)
    encoder = Recurrent(*drsae_matrices(dictionary, passes, 1.25), passes=passes, total_step=1.25)
    classifier = Softmax(draw_weights(CLASSES, units, generator))
    return Autoencoder(Dense(dictionary), encoder, L1(0.018), classifier).to(device)


def our_step(model: Autoencoder, x: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    optimizer = adam(model.rates())
    for group in optimizer.param_groups:
        rate = RATE * group["multiplier"]
        group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate

    def learn(x: Tensor, labels: Tensor) -> Tensor:
        loss = model.energy(x, labels).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        model.project()
        return loss.detach()

    learn_captured = Captured(learn) if x.is_cuda else learn
    return lambda: learn_captured(x, labels)


def eager_step(model: Autoencoder, x: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """The literal port; it starts from the weights of `model`."""
    tensors = [parameter.detach().clone().requires_grad_() for parameter, _ in model.rates()]
    dictionary, encoder, explaining_away, bias, weights = tensors
    groups = [{"params": [t], "lr": RATE * m} for t, (_, m) in zip(tensors, model.rates(), strict=True)]
    optimizer = torch.optim.Adam(groups, betas=ADAM_BETAS)
    passes, row_bound = model.encoder.passes, model.encoder.max_norm

    def bound(matrix: Tensor, dim: int, maximum: float) -> None:
        with torch.no_grad():
            matrix.mul_((maximum / matrix.norm(dim=dim, keepdim=True)).clamp(max=1))

    def step() -> Tensor:
        code = torch.zeros(len(x), len(bias), device=x.device)
        for _ in range(passes):
            code = torch.relu(x @ encoder.t() + code + code @ explaining_away.t() - bias)
        logits = torch.nn.functional.normalize(code, dim=1) @ weights.t()
        loss = 0.5 * (x - code @ dictionary.t()).square().sum(1).mean() + 0.018 * code.abs().sum(1).mean()
        loss = loss + 0.2 * torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bound(dictionary, 0, 1.0)
        bound(encoder, 1, row_bound)
        bound(weights, 1, 20.0)
        return loss.detach()

    return step


def products(batch: int, units: int, passes: int) -> int:
    """Floating-point operations in the matrix products of one step, classifier left out."""
    dense = 2 * batch * units * INPUTS  # E x, D z and their gradients, without the one for x
    return 5 * dense + 3 * (passes - 1) * 2 * batch * units * units


def seconds(step: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (("batch", 100), ("units", 400), ("passes", 11), ("rounds", 60), ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    x = torch.nn.functional.normalize(torch.rand(given.batch, INPUTS, device=given.device), dim=1)
    labels = torch.randint(CLASSES, (given.batch,), device=given.device)
    model = model_of(given.units, given.passes, given.device)
    eager, ours = eager_step(model, x, labels), our_step(model, x, labels)
    a, b, out = (torch.rand(MATMUL, MATMUL, device=given.device) for _ in range(3))
    steps: dict[str, Callable[[], object]] = {"ours": ours, "eager": eager, "matmul": lambda: torch.mm(a, b, out=out)}
    for _ in range(5):
        first, second = float(ours()), float(eager())
        assert abs(first - second) < 1e-3 * abs(second), (first, second)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(given.rounds):
        for name, step in steps.items():
            times[name].append(seconds(step, given.device))
    ours_s, eager_s, matmul_s = (median(times[name]) for name in steps)
    rate, bare = products(given.batch, given.units, given.passes) / ours_s, 2 * MATMUL**3 / matmul_s
    print(f"batch {given.batch}, {given.units} units, {given.passes} passes, {torch.get_num_threads()} threads")
    print(f"ours {ours_s * 1e3:.2f} ms ({given.batch / ours_s:.0f} inputs/s), eager port {eager_s * 1e3:.2f} ms")
    print(f"ratio to the eager port: {eager_s / ours_s:.2f}")
    print(f"fraction of the bare matmul rate ({bare / 1e9:.0f} GFLOP/s): {rate / bare:.2f}")


if __name__ == "__main__":
    main()
