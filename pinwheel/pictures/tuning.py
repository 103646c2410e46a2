"""What a filter answers to sine gratings: the orientation and frequency it prefers, and how selective it is.

A grating of bars along θ with f cycles per pixel is shown at all phases; the largest answer of filter w to it is the
length of its answers to two phases that stand a quarter of a cycle apart, r(θ, f) = |Σ_p w(p) e^{2πi f k(θ)·p}|, with
k(θ) the unit vector across the bars. At the frequency of the largest answer,

    orientation = ½ arg Σ_θ r² e^{2iθ}        selectivity = |Σ_θ r e^{2iθ}| / Σ_θ r

(one minus the circular variance of D. L. Ringach, R. M. Shapley and M. J. Hawken, Orientation selectivity in macaque
V1, Journal of Neuroscience 22, 2002). The square is ours: the edges of the frame answer a little to all gratings,
which turns Σ r e^{2iθ} by up to 5° where bars fill the frame, and the sum of squares by about 1°. Gratings have no mean
inside the frame, so that a filter's mean does not count; colours count as in `statistics`, by the sum of r² over
channels. Between the frequencies shown, the parabola through log r around the largest decides.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinwheel.pictures.statistics import NO_DIRECTION

Floats = NDArray[np.float64]
ORIENTATIONS = 36
NYQUIST = 0.5  # cycles per pixel
CHUNK_ANSWERS = 8_000_000  # bounds the memory of answers


@dataclass(frozen=True)
class Tuning:
    """One value for each unit, arrays of shape (units,). NaN where a filter is constant or not finite.

    orientation_deg: direction of the bars, 0 ≤ o < 180, 0 lies, 90 stands, counted against the clock; NaN also where no
    direction is preferred.  selectivity: 0, all alike, to 1, one orientation.  frequency: cycles per pixel.
    """

    orientation_deg: Floats
    selectivity: Floats
    frequency: Floats

    @property
    def vectors(self) -> NDArray[np.complex128]:
        """(units,) selectivity · e^{2iθ}; NaN where a unit has no orientation."""
        return np.asarray(self.selectivity * np.exp(2j * np.radians(self.orientation_deg)))


def tuning(filters: NDArray[np.floating]) -> Tuning:
    """The tuning of `filters` (units, height, width, channels)."""
    units, height, width, channels = filters.shape
    found = Tuning(*np.full((3, units), np.nan))
    if min(height, width) < 2:
        return found
    bank = gratings(height, width)
    step = max(1, CHUNK_ANSWERS // (bank.shape[1] * channels))
    for start in range(0, units, step):
        part = slice(start, start + step)
        values, shaped = _without_mean(filters[part])
        measured = _measured(_answers(values, bank, max(height, width)), max(height, width))
        for into, values_of in zip((found.orientation_deg, found.selectivity, found.frequency), measured, strict=True):
            into[part] = np.where(shaped, values_of, np.nan)
    return found


def gratings(height: int, width: int) -> NDArray[np.float32]:
    """(height · width, gratings) Two phases × frequencies × `ORIENTATIONS`, as columns without a mean."""
    down, right = (axis.ravel() for axis in np.mgrid[:height, :width] - np.array([[[height - 1]], [[width - 1]]]) / 2)
    # Rows count downwards; bars along θ mean a wave across, along θ + 90°.
    across = np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS + np.pi / 2
    place = right[:, None] * np.cos(across) - down[:, None] * np.sin(across)
    wave = np.exp(2j * np.pi * _frequencies(max(height, width))[:, None] * place[:, None, :])
    wave -= wave.mean(axis=0)
    return np.stack([wave.real, wave.imag], axis=1).reshape(height * width, -1).astype(np.float32)


def _frequencies(side: int) -> Floats:
    """Multiples of half a cycle per side, as fine as a filter of that side can tell, up to Nyquist's."""
    return np.arange(1, side + 1) * NYQUIST / side


def _without_mean(filters: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`filters` as (units, channels, pixels) of norm 1, and which of them are finite and not constant."""
    units, _, _, channels = filters.shape
    flat = filters.astype(np.float64).reshape(units, -1, channels).transpose(0, 2, 1)
    with np.errstate(invalid="ignore"):
        flat = flat / np.maximum(np.abs(flat).max(axis=(1, 2), keepdims=True), np.finfo(np.float64).tiny)
    flat = flat - flat.mean(axis=2, keepdims=True)
    norm = np.sqrt(np.square(flat).sum(axis=(1, 2), keepdims=True))
    shaped = norm > 1e-6  # which NaN is not
    return np.divide(flat, norm, out=np.zeros_like(flat), where=shaped).astype(np.float32), shaped[:, 0, 0]


def _answers(values: NDArray[np.float32], bank: NDArray[np.float32], side: int) -> Floats:
    """(units, frequencies, orientations) Answers of `values` (units, channels, pixels) at their best phases."""
    units, channels, pixels = values.shape
    products = (values.reshape(-1, pixels) @ bank).reshape(units, channels * 2, side, ORIENTATIONS)
    answers: Floats = np.sqrt(np.square(products).sum(axis=1)).astype(np.float64)
    return answers


def _measured(answers: Floats, side: int) -> tuple[Floats, Floats, Floats]:
    """Orientation (degrees), selectivity and frequency from `answers` (units, frequencies, orientations)."""
    units = np.arange(len(answers))
    best, at = np.divmod(answers.reshape(len(answers), -1).argmax(axis=1), ORIENTATIONS)
    curve = answers[units, best]
    selectivity = np.abs(_direction(curve))
    direction = _direction(np.square(curve))
    orientation = np.mod(np.round(np.degrees(np.angle(direction)) / 2, 6), 180)
    orientation[~(np.abs(direction) > NO_DIRECTION)] = np.nan
    frequency = (best + 1 + _parabola_top(answers[units, :, at], best)) * NYQUIST / side
    return orientation, selectivity, frequency


def _direction(curves: Floats) -> NDArray[np.complex128]:
    """Σ r e^{2iθ} / Σ r of `curves` (units, orientations); 0 where nothing answers."""
    total = curves.sum(axis=1)
    sums = curves @ np.exp(2j * np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS)
    return np.asarray(sums / np.where(total > 0, total, 1.0))


def _parabola_top(curves: Floats, best: NDArray[np.int64]) -> Floats:
    """How many steps, −½ … ½, the top lies beside the largest value of each of `curves` (units, frequencies)."""
    last = curves.shape[1] - 1
    levels = np.log(np.maximum(curves, 1e-12))
    before, top, after = (levels[np.arange(len(best)), np.clip(best + step, 0, last)] for step in (-1, 0, 1))
    bend = before - 2 * top + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros(len(best)), where=bend < 0)
    return np.where((best > 0) & (best < last), np.clip(shift, -0.5, 0.5), 0.0)
