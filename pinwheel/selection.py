"""Which features of a row are kept: the k largest, and only those above a threshold."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def select(features: NDArray[Any], topk: int | None = None, threshold: float | None = None) -> NDArray[Any]:
    """(N, features) with only the `topk` largest of each row by amount, and only amounts above `threshold`, kept.

    Of equal amounts the one with the lower number is kept. What is dropped becomes 0.
    """
    kept = features
    if threshold is not None:
        kept = np.where(np.abs(kept) > threshold, kept, np.zeros((), kept.dtype))
    if topk is not None and topk < features.shape[1]:
        order = np.argsort(-np.abs(kept), axis=1, kind="stable")[:, :topk]
        chosen = np.zeros_like(kept)
        np.put_along_axis(chosen, order, np.take_along_axis(kept, order, axis=1), axis=1)
        kept = chosen
    return kept
