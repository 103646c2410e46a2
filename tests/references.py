"""Codes of published models in plain numpy and float64: what every way to features is compared with."""

import io

import httpx2
import numpy as np
from numpy.typing import NDArray


def drsae_features(http: httpx2.Client, model: str, images: NDArray[np.uint8], passes: int) -> NDArray[np.float64]:
    """z ← max(0, E x + S z − b) from z = 0, `passes` times, for x = image / ‖image‖₂; S with its identity."""
    weights = np.load(io.BytesIO(http.get(f"/v1/models/{model}/weights?format=npz").content))
    encoder, matrix, bias = (
        weights[f"layers.0.{name}"].astype(np.float64) for name in ("encoder", "explaining_away", "bias")
    )
    x = images.reshape(len(images), -1) / 255.0
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    code = np.zeros((len(x), len(bias)))
    for _ in range(passes):
        code = np.maximum(0, x @ encoder.T + code @ matrix.T - bias)
    return code
