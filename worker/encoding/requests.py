"""Interactive requests: what they ask, and how those that wait together are answered together."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.encoding.engine import Engine

Arrays = dict[str, NDArray[Any]]
Parameters = dict[str, Any]


@dataclass
class Request:
    """One request with its images, (N, H, W, C), of so many `callers`. `parameters` are those of the operation;
    `deadline` is monotonic."""

    id: str
    reply: str
    model: str
    version: int
    operation: str
    parameters: Parameters
    callers: int
    received: float
    deadline: float
    images: NDArray[Any]

    @property
    def group(self) -> tuple[Any, ...]:
        """Requests of one group run as one batch: same model, same operation and parameters, same kind of array."""
        kind = (str(self.images.dtype), self.images.shape[1:])
        return (self.model, self.version, self.operation, *sorted(self.parameters.items()), *kind)


def _encode(engine: Engine, images: NDArray[Any], parameters: Parameters) -> Arrays:
    return {"features": engine.encode(images, **parameters)}


def _reconstruct(engine: Engine, images: NDArray[Any], parameters: Parameters) -> Arrays:
    reconstructions, unexplained = engine.reconstruct(images, **parameters)
    return {"reconstructions": reconstructions, "unexplained_variance": unexplained}


def _classify(engine: Engine, images: NDArray[Any], parameters: Parameters) -> Arrays:
    return {"probabilities": engine.classify(images, **parameters)}


OPERATIONS: dict[str, Callable[[Engine, NDArray[Any], Parameters], Arrays]] = {
    "encode": _encode,
    "reconstruct": _reconstruct,
    "classify": _classify,
}


def grouped(requests: list[Request]) -> list[list[Request]]:
    """Requests by group, in the order in which the groups came."""
    groups: dict[tuple[Any, ...], list[Request]] = {}
    for request in requests:
        groups.setdefault(request.group, []).append(request)
    return list(groups.values())


def answer(engine: Engine, group: list[Request]) -> list[tuple[Request, dict[str, Any], Arrays]]:
    """Run one group as one batch and hand each request its rows, with the times it took.

    Raises `ValueError` when the images do not fit the model.
    """
    first = group[0]
    start = time.monotonic()
    images = first.images if len(group) == 1 else np.concatenate([request.images for request in group])
    result = OPERATIONS[first.operation](engine, images, first.parameters)
    for values in result.values():
        if not np.isfinite(values).all():
            raise ValueError("the pixels are so large that the model's numbers overflow; scale them down")
    seconds = time.monotonic() - start
    answers = []
    callers = sum(request.callers for request in group)
    row = 0
    for request in group:
        rows = slice(row, row + len(request.images))
        row = rows.stop
        header = {"queue_seconds": start - request.received, "compute_seconds": seconds, "batch": callers}
        answers.append((request, header, {name: array[rows] for name, array in result.items()}))
    return answers
