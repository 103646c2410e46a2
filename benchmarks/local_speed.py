"""Local connections without weight sharing against the plain ways to write them, forward and backward.

    python benchmarks/local_speed.py [--threads 2] [--repeats 5]

An image of 96 × 96 pixels, fields of 15 × 15, one unit (and four) at each of 82 × 82 positions, batches of 32: codes
z = E x, reconstruction D z, and the gradients of ‖x − D z‖² in E and D, in one process and one run each.

    ours       `worker.sparse.connections.Local`: products over cells of positions
    einsum     unfold, einsum over positions, fold
    grouped    a grouped convolution with one group for each position (for fewer images, scaled up)
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv1d, fold, unfold

from worker.sparse.connections import Local

SIDE, FIELD, BATCH = 96, 15, 32
POSITIONS = SIDE - FIELD + 1
GROUPED_BATCH = 2


def ours(side: int) -> Callable[[], Tensor]:
    shape = ((POSITIONS * side) ** 2, 1, FIELD, FIELD)
    connection = Local(torch.randn(shape), (SIDE, SIDE, 1), side=side)
    encoder = torch.randn(shape, requires_grad=True)
    x = torch.randn(BATCH, SIDE * SIDE)

    def run() -> Tensor:
        code = connection.encode(encoder, x)
        return connection.errors(x, connection.decode(code)).sum()

    return backward(run)


def einsum(side: int) -> Callable[[], Tensor]:
    units = side * side
    encoder = torch.randn(POSITIONS**2, units, FIELD**2, requires_grad=True)
    dictionary = torch.randn(POSITIONS**2, units, FIELD**2, requires_grad=True)
    x = torch.randn(BATCH, 1, SIDE, SIDE)

    def run() -> Tensor:
        code = torch.einsum("puf,bfp->bpu", encoder, unfold(x, FIELD))
        fields = torch.einsum("puf,bpu->bfp", dictionary, code)
        return (x - fold(fields, (SIDE, SIDE), FIELD)).square().sum()

    return backward(run)


def grouped(side: int) -> Callable[[], Tensor]:
    units, positions = side * side, POSITIONS**2
    encoder = torch.randn(positions * units, FIELD**2, 1, requires_grad=True)
    dictionary = torch.randn(positions * FIELD**2, units, 1, requires_grad=True)
    x = torch.randn(GROUPED_BATCH, 1, SIDE, SIDE)

    def run() -> Tensor:
        fields = unfold(x, FIELD).transpose(1, 2).reshape(len(x), -1, 1)
        code = conv1d(fields, encoder, groups=positions)
        seen = conv1d(code, dictionary, groups=positions).view(len(x), positions, -1).transpose(1, 2)
        return (x - fold(seen, (SIDE, SIDE), FIELD)).square().sum()

    return backward(run)


def backward(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def both() -> Tensor:
        loss = run()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return both


def seconds(call: Callable[[], Tensor], repeats: int) -> float:
    call()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print("| units at a position | ours, ms | einsum | ratio | grouped convolution | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for side in (1, 2):
        own, plain = seconds(ours(side), given.repeats), seconds(einsum(side), given.repeats)
        groups = seconds(grouped(side), 1) * BATCH / GROUPED_BATCH
        row = [side * side, 1e3 * own, 1e3 * plain, plain / own, 1e3 * groups, groups / own]
        print("| " + " | ".join(f"{value:.3g}" for value in row) + " |", flush=True)


if __name__ == "__main__":
    main()
