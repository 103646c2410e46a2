"""Orientation maps that are known by construction: columns by chance, and single pinwheels."""

import numpy as np
from gabors import gabors
from numpy.typing import NDArray

Field = NDArray[np.complex128]


def columns(height: int, width: int, spacing: float, seed: int = 0, spread: float = 0.06) -> Field:
    """(height, width) A Gaussian random field that closes on itself: waves of k · spacing within `spread` of 1."""
    chance = np.random.default_rng(seed)
    noise = chance.normal(size=(height, width)) + 1j * chance.normal(size=(height, width))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    return np.fft.ifft2(np.fft.fft2(noise) * (np.abs(radius * spacing - 1) <= spread))


def open_columns(height: int, width: int, spacing: float, seed: int = 0, spread: float = 0.06) -> Field:
    """The same without the closing: a part of a larger map."""
    return columns(2 * height + 1, 2 * width + 1, spacing, seed, spread)[:height, :width]


def pinwheel(height: int, width: int, row: float, column: float, sign: int) -> Field:
    """One pinwheel. Bars turn by half the angle that one has walked around it, as the eye sees it, rows downwards.

    Within a unit of it, selectivity falls to nothing.
    """
    down, right = np.mgrid[:height, :width] - np.array([row, column])[:, None, None]
    return np.minimum(np.hypot(down, right), 1) * np.exp(1j * sign * np.arctan2(-down, right))


def gabor_filters(field: Field, side: int = 16, frequency: float = 0.2, seed: int = 0) -> NDArray[np.float32]:
    """(units, side, side, 1) For each place a grating along the orientation of the field."""
    degrees = np.degrees(np.angle(field)).ravel() / 2
    return gabors(degrees, np.full(degrees.size, frequency), side, 0.18, seed)
