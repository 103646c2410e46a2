"""The two number formats of pixels: uint8 means value / 255, float32 is taken as it is.

Integers of any width become uint8 and must lie in 0..255; booleans become 0 and 255; floats become float32 and must be
finite there. Nothing is scaled silently.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.errors import InvalidDataset

KINDS = "booleans, integers in 0..255 and floats"


def stored_dtype(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """uint8 or float32 for pixels that come as `dtype`. Raises `InvalidDataset` for what holds no plain numbers."""
    if dtype.hasobject:
        raise InvalidDataset(f"{name} holds Python objects ({dtype}), which are never unpickled; {KINDS} are read.")
    if dtype.kind not in "biuf":
        raise InvalidDataset(f"{name} has the dtype {dtype}; {KINDS} are read.")
    return np.dtype(np.float32 if dtype.kind == "f" else np.uint8)


def to_stored(values: NDArray[Any], first: int, name: str) -> NDArray[Any]:
    """`values` (n, …) as uint8 or float32; `first` is the number of the first image, for messages."""
    wanted = stored_dtype(values.dtype, name)
    if values.dtype == wanted and wanted == np.uint8:
        return values
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind in "iu":
        _check_range(values, first, name)
        return values.astype(np.uint8)
    with np.errstate(over="ignore"):
        floats = values.astype(np.float32, copy=False)
    _check_finite(floats, values, first, name)
    return floats


def _check_range(values: NDArray[Any], first: int, name: str) -> None:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 255:
        bad = first + _first_bad((values >= 0) & (values <= 255))
        raise InvalidDataset(
            f"{name} has the dtype {values.dtype} with values from {low} to {high} (first at image {bad}); "
            "integer pixels must lie in 0..255. Send other ranges as floats."
        )


def _check_finite(floats: NDArray[Any], values: NDArray[Any], first: int, name: str) -> None:
    # A sum is finite unless a value is not, or it overflows: one pass without a mask for the usual case.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(floats.sum(dtype=np.float64)):
            return
    finite = np.isfinite(floats)
    if finite.all():
        return
    where = tuple(int(index[0]) for index in np.nonzero(~finite))
    raise InvalidDataset(
        f"{name} holds {values[where]} at image {first + where[0]}; every pixel must be a finite float32 number."
    )


def _first_bad(good: NDArray[np.bool_]) -> int:
    return int(np.argmin(good.reshape(len(good), -1).all(axis=1)))
