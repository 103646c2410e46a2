"""What a filter looks like, in numbers: its norm, and the orientation and spatial frequency of its grating.

With P(k) the power spectrum of a filter (mean taken out, frame padded to twice its size, summed over channels) and φ
the direction of the wave vector k, in cycles per pixel:

    orientation = ½ arg Σ P(k) e^{2iφ} + 90°        frequency = Σ P(k) ‖k‖ / Σ P(k)

The double angle makes a bar and the same bar turned by 180° one orientation (J. Bigün and G. H. Granlund, Optimal
orientation detection of linear symmetry, ICCV 1987). We weight by P, not by P ‖k‖², which would let pixel noise decide.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CHUNK_PIXELS = 4_000_000  # bounds the memory of the transforms
NO_DIRECTION = 1e-6  # share of the power that must agree on a direction


@dataclass(frozen=True)
class FilterStatistics:
    """One value for each unit, arrays of shape (units,). NaN where a quantity does not exist.

    norm: L2 norm.  orientation_deg: direction of the bars, 0 ≤ o < 180, 0 lies, 90 stands, counted against the clock.
    frequency: cycles per pixel, 0 to about 0.7.  usage: share of inputs that switch the unit on, or None where unknown.
    """

    norm: Floats
    orientation_deg: Floats
    frequency: Floats
    usage: Floats | None = None

    def rows(self) -> list[dict[str, float | int | None]]:
        """One JSON-ready object for each unit; what does not exist is null."""
        columns = {
            "norm": self.norm,
            "usage": self.usage,
            "orientation_deg": self.orientation_deg,
            "frequency": self.frequency,
        }
        return [
            {"unit": unit}
            | {name: None if column is None else _number(column[unit]) for name, column in columns.items()}
            for unit in range(len(self.norm))
        ]


def filter_statistics(filters: NDArray[np.floating], usage: NDArray[np.floating] | None = None) -> FilterStatistics:
    """Statistics of `filters` (units, height, width, channels); `usage` (units,) is passed through."""
    units, height, width, channels = filters.shape
    orientation, frequency = np.full(units, np.nan), np.full(units, np.nan)
    step = max(1, CHUNK_PIXELS // max(1, 4 * height * width * channels))
    for start in range(0, units, step):
        part = slice(start, start + step)
        orientation[part], frequency[part] = _gratings(_finite(filters[part]))
    norm = np.sqrt(np.square(filters.astype(np.float64)).sum(axis=(1, 2, 3)))
    return FilterStatistics(norm, orientation, frequency, None if usage is None else usage.astype(np.float64))


def _finite(filters: NDArray[np.floating]) -> Floats:
    return np.nan_to_num(filters.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _gratings(filters: Floats) -> tuple[Floats, Floats]:
    """Orientation (degrees) and frequency (cycles per pixel) of `filters` (units, height, width, channels)."""
    _, height, width, _ = filters.shape
    centred = filters - filters.mean(axis=(1, 2), keepdims=True)
    # Odd, so that no frequency stands at ±½, where its direction would be ambiguous.
    frame = (2 * height + 1, 2 * width + 1)
    power = np.square(np.abs(np.fft.rfft2(centred, s=frame, axes=(1, 2)))).sum(axis=-1)
    down, right = np.fft.fftfreq(frame[0])[:, None], np.fft.rfftfreq(frame[1])[None, :]
    power[:, :, 1:] *= 2  # the half of the spectrum that a real transform leaves out
    radius = np.hypot(down, right)
    # Rows count downwards; minus makes the angle the one that the eye sees.
    double_angle = np.exp(2j * np.arctan2(-down, right))
    total = power.sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        direction = (power * double_angle).sum(axis=(1, 2)) / total
        frequency = (power * radius).sum(axis=(1, 2)) / total
    # Rounded, or a lying bar would be at 0 or at 179.999… by chance.
    orientation = np.mod(np.round(np.degrees(np.angle(direction)) / 2 + 90, 6), 180)
    orientation[~(np.abs(direction) > NO_DIRECTION) | (min(height, width) == 1)] = np.nan
    scale = np.square(filters).sum(axis=(1, 2, 3)) + np.finfo(np.float64).tiny
    frequency[total <= 1e-20 * scale] = np.nan
    orientation[total <= 1e-20 * scale] = np.nan
    return orientation, frequency


def _number(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None
