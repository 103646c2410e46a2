"""How far apart columns of one orientation stand: the peak of the radial spectrum of a complex orientation map.

With P(k) the power of the map's waves of k cycles per unit, in units of the mean power of all waves, the fit

    P(k) ≈ a₀ exp(−(k − a₁)² / (2 a₂²)) + a₃ + a₄ k + a₅ k²

gives the spacing Λ = 1 / a₁ (M. Kaschube and others, Universality in the evolution of orientation columns in the visual
cortex, Science 330, 2010, supplement). We fit single waves, each with the weight 1 / k so that all k count alike: means
over rings as wide as a step between waves would move the peak of a map of few columns. Units at places by chance have
P = 1 at all k. There is no spacing where the map has no peak: where the bell does not stand out of such chance, where
longer waves are about as strong, or where fewer than two columns or so would lie on the map.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
HIGHEST = 0.5  # cycles per unit
POINTS = 4  # of the drawn curve, for each step between waves
RINGS = 16  # of waves taken as one by the fit, for each step
MIDDLES, WIDTHS, ZOOMS = 100, 16, 2  # bells that are tried, and how often again more finely
NARROW, WIDE, WIDEST = 0.05, 0.6, 0.125  # a₂ as a share of a₁, and at most: a wider bell looks like the background
CLEAR = 10.0  # a₀, in standard errors of the power of places by chance
LONG, LOW = 0.6, 0.5  # waves of k < LONG a₁ have less than LOW of the power at the peak
FEWEST = 12  # rings; the fit has six factors
COLUMNS = 1.8  # at least that many along the side of a square of the map's area


@dataclass(frozen=True)
class Spectrum:
    """The radial spectrum. All arrays (points,).

    frequency: cycles per unit.  power: mean over waves of about that length, 1 where places are by chance.
    fitted: the same means of the fit.  spacing: Λ in units, None where there is no peak.
    """

    frequency: Floats
    power: Floats
    fitted: Floats
    spacing: float | None

    @property
    def peak(self) -> float | None:
        """The highest power; None for a map that is the same everywhere."""
        return float(self.power.max()) if self.power.any() else None


@dataclass(frozen=True)
class Rings:
    """The waves of a map, those of nearly one length as one: their cycles per unit, mean power, and number (rings,)."""

    radius: Floats
    power: Floats
    waves: Floats


@dataclass(frozen=True)
class Fit:
    """a₁, a₂, and (a₀, a₃, a₄, a₅)."""

    middle: float
    width: float
    factors: Floats

    def bell(self, frequency: Floats) -> Floats:
        return np.exp(-np.square((frequency - self.middle) / self.width) / 2)

    def at(self, frequency: Floats) -> Floats:
        parts = np.stack([self.bell(frequency), *_background(frequency)], axis=1)
        return np.asarray(parts @ self.factors, np.float64)


def spectrum(field: NDArray[np.complex128], wrap: bool) -> Spectrum:
    """The spectrum of the complex map `field` (height, width), not smoothed, with 0 where nothing is known."""
    radius, power = _waves(field, wrap)
    step = 1 / math.sqrt(field.size)
    frequency = np.arange(1 / max(field.shape), HIGHEST + 1e-9, step / POINTS)
    rings = _rings(radius, power, step / RINGS)
    near = rings.waves * np.maximum(1 - np.abs(frequency[:, None] - rings.radius) / step, 0)
    near /= np.maximum(near.sum(axis=1, keepdims=True), 1e-9)
    curve = near @ rings.power
    if not power.any() or len(rings.radius) < FEWEST:
        return Spectrum(frequency, curve, curve, None)
    found = fit(rings, step)
    spacing = 1 / found.middle if _stands_out(found, rings, step, wrap) else None
    return Spectrum(frequency, curve, near @ found.at(rings.radius), spacing)


def _waves(field: NDArray[np.complex128], wrap: bool) -> tuple[Floats, Floats]:
    """Cycles per unit and power of each wave, (waves,), without the mean of the map; the mean power is 1."""
    # With edges, waves that do not fit are seen between those that do. A window over the map would lose more by the
    # units that it hides than it wins by the softer edge: spacings of random columns scatter half as much again.
    size = field.shape if wrap else (2 * field.shape[0], 2 * field.shape[1])
    centred = field - field.mean()
    power = np.square(np.abs(np.fft.fft2(centred, s=size))).ravel()[1:]
    radius = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])).ravel()[1:]
    nothing = power.mean() <= 1e-20 * np.square(np.abs(field)).sum()
    return radius, np.zeros_like(power) if nothing else power / power.mean()


def _rings(radius: Floats, power: Floats, thickness: float) -> Rings:
    """The waves of at most `HIGHEST`."""
    kept = radius < HIGHEST + 1e-9
    ring = np.unique(np.rint(radius[kept] / thickness), return_inverse=True)[1]
    waves = np.bincount(ring).astype(np.float64)
    return Rings(np.bincount(ring, radius[kept]) / waves, np.bincount(ring, power[kept]) / waves, waves)


def fit(rings: Rings, step: float) -> Fit:
    """Least squares. For each middle and width of the bell the other factors are linear, so all of these are tried."""
    lowest, narrowest = rings.radius[0], step / 2
    middles = np.linspace(lowest, HIGHEST, MIDDLES)
    shares = np.geomspace(NARROW, WIDE, WIDTHS)
    weight = np.sqrt(rings.waves / rings.radius)
    background = np.linalg.qr((weight * _background(rings.radius)).T)[0]
    for zoom in range(ZOOMS + 1):
        each = np.repeat(middles, len(shares))
        widths = np.clip(np.outer(middles, shares).ravel(), narrowest, WIDEST)
        best = _best(weight * bells(rings.radius, each, widths), weight * rings.power, background)
        middle, width = float(each[best]), float(widths[best])
        around = np.linspace(-1, 1, 2 * ZOOMS + 11) / 6**zoom
        middles = np.clip(middle + around * (HIGHEST - lowest) / MIDDLES, lowest, HIGHEST)
        shares = np.clip(width / middle * (WIDE / NARROW) ** (around / WIDTHS), None, WIDE)
    parts = weight * np.stack([*bells(rings.radius, each[[best]], widths[[best]]), *_background(rings.radius)])
    return Fit(middle, width, np.linalg.lstsq(parts.T, weight * rings.power, rcond=None)[0])


def _best(parts: Floats, values: Floats, background: Floats) -> int:
    """Which of `parts`, upright, explains most of what `background` leaves over of `values`."""
    parts = parts - parts @ background @ background.T
    along = np.maximum(parts @ values, 0)
    return int(np.argmax(np.square(along) / np.maximum(np.square(parts).sum(axis=1), 1e-12)))


def _stands_out(found: Fit, rings: Rings, step: float, wrap: bool) -> bool:
    """Whether the map has a peak there."""
    # Of four waves between edges only one fits and says something of its own.
    waves = float(rings.waves @ found.bell(rings.radius)) / (1 if wrap else 4)
    long = rings.radius < LONG * found.middle
    low = np.average(rings.power[long], weights=rings.waves[long]) if long.any() else 0.0
    top = float(found.at(np.array([found.middle]))[0])
    inside = COLUMNS * step < found.middle < HIGHEST
    return bool(inside and found.factors[0] * math.sqrt(waves) > CLEAR and low < LOW * top)


def bells(frequency: Floats, middles: Floats, widths: Floats) -> Floats:
    """(bells, points)"""
    return np.asarray(np.exp(-np.square((frequency - middles[:, None]) / widths[:, None]) / 2))


def _background(frequency: Floats) -> Floats:
    """(3, points)"""
    return np.stack([np.ones_like(frequency), frequency, np.square(frequency)])
