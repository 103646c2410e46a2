"""Filters that are known by construction: Gabor gratings, on smooth maps and on trees."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def gabors(
    orientation_deg: Floats, frequency: Floats, side: int = 16, width: Floats | float = 0.22, seed: int = 0
) -> NDArray[np.float32]:
    """(units, side, side, 1) One grating under a bell for each orientation of its bars, at places and phases by chance.

    `frequency` is in cycles per pixel, `width` the bell's σ as a share of the side.
    """
    units = len(orientation_deg)
    chance = np.random.default_rng(seed)
    down, right = np.mgrid[:side, :side] - (side - 1) / 2
    shift = chance.uniform(-0.12 * side, 0.12 * side, (2, units, 1, 1))
    down, right = down - shift[0], right - shift[1]
    # Bars along the angle: the wave goes across. Rows count downwards.
    across = np.radians(np.asarray(orientation_deg) + 90)[:, None, None]
    along_wave = right * np.cos(across) - down * np.sin(across)
    phase = chance.uniform(0, 2 * np.pi, (units, 1, 1))
    bell = np.exp(-(down**2 + right**2) / (2 * (np.broadcast_to(width, units)[:, None, None] * side) ** 2))
    waves = np.cos(2 * np.pi * np.asarray(frequency)[:, None, None] * along_wave + phase)
    values = bell * (waves - (bell * waves).sum((1, 2), keepdims=True) / bell.sum((1, 2), keepdims=True))
    values /= np.linalg.norm(values, axis=(1, 2), keepdims=True)
    return np.asarray(values[..., None], np.float32)


def smooth_torus(height: int, width: int, low: float, high: float, seed: int = 0) -> NDArray[np.complex128]:
    """(height, width) Noise of the spatial frequencies `low` to `high` (cycles per map) that closes on itself."""
    chance = np.random.default_rng(seed)
    noise = chance.normal(size=(height, width)) + 1j * chance.normal(size=(height, width))
    radius = np.hypot(np.fft.fftfreq(height, 1 / height)[:, None], np.fft.fftfreq(width, 1 / width))
    return np.fft.ifft2(np.fft.fft2(noise) * ((radius >= low) & (radius <= high)))


def pinwheel_map(height: int, width: int, side: int = 16, seed: int = 0) -> NDArray[np.float32]:
    """(height · width, side, side, 1) Gabors whose orientation and frequency change slowly over a torus."""
    orientation = np.degrees(np.angle(smooth_torus(height, width, 1, 2, seed))) / 2
    slow = smooth_torus(height, width, 0.5, 1.5, seed + 1).real
    frequency = 0.16 * 2 ** (0.6 * slow / np.abs(slow).max())
    return gabors(orientation.ravel(), frequency.ravel(), side, seed=seed)
