"""Orientation as colour: one hue for each direction of bars, lightness and colourfulness the same for all.

The hue turns twice as fast as the bar, so that a bar and the same bar turned by 180° have one colour. Colours are of
Oklab (B. Ottosson, A perceptual color space for image processing, 2020), where equal steps look equal. Hue alone
misleads eyes that confuse colours: draw the bar over it.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LIGHTNESS, CHROMA = 0.76, 0.125
DARK = 0.26  # lightness where nothing is preferred
START = 30.0  # hue of lying bars, degrees: red

# Oklab to the cube roots of cone responses, and their cubes to linear sRGB (Ottosson's matrices).
TO_CONES = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def orientation_colors(
    orientation_deg: NDArray[np.floating], strength: NDArray[np.floating] | None = None
) -> NDArray[np.uint8]:
    """Degrees of any shape to sRGB (…, 3); gray where there is no orientation (NaN).

    `strength`, of the same shape, takes from near black (0) to the full colour (1).
    """
    known = np.isfinite(orientation_deg)
    hue = np.radians(START + 2 * np.where(known, orientation_deg, 0.0))
    share = np.ones(hue.shape) if strength is None else np.clip(strength, 0, 1)
    chroma = np.where(known, CHROMA * share, 0.0)
    lightness = DARK + (LIGHTNESS - DARK) * share
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    linear = np.clip((lab @ TO_CONES.T) ** 3 @ TO_RGB.T, 0, 1)
    levels = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * levels), np.uint8)


def bars(
    rows: NDArray[np.floating], columns: NDArray[np.floating], orientation_deg: NDArray[np.floating], length: float
) -> Floats:
    """(bars, 2 ends, x and y) Lines along the orientations of the units that have one, their middles at the points."""
    known = np.isfinite(orientation_deg)
    angle = np.radians(orientation_deg[known])
    # Rows count downwards, angles against the clock.
    half = length / 2 * np.stack([np.cos(angle), -np.sin(angle)], axis=1)
    middle = np.stack([columns[known], rows[known]], axis=1)
    return np.stack([middle - half, middle + half], axis=1)
