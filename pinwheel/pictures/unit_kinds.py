"""What kind a unit of a recurrent encoder is: a part of an input, a category of inputs, or between.

Rolfe and LeCun, ICLR 2013, section 4: the angle between the row of the encoder that a unit looks with and the column of
the dictionary that it writes. A part writes what it looks for; a category writes a prototype of what others found.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

UnitKind = Literal["part", "intermediate", "categorical", "dead"]

# Radians: parts are below the first, categorical units above the second.
PART, CATEGORICAL = 0.5, 0.7


def unit_kinds(angle: NDArray[np.floating], usage: NDArray[np.floating]) -> list[UnitKind]:
    """The kind of each unit from `angle` and `usage`, both (units,); those that are never used are dead."""
    return [_kind(float(at)) if used > 0 else "dead" for at, used in zip(angle, usage, strict=True)]


def _kind(angle: float) -> UnitKind:
    if angle < PART:
        return "part"
    return "categorical" if angle > CATEGORICAL else "intermediate"
