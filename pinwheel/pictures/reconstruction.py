"""An input rebuilt from its code, one unit after the other.

Rolfe and LeCun, ICLR 2013, figure 8: what each unit of a code contributes, the largest contribution first.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def progressive(x: Floats, code: Floats, decoder: Floats) -> tuple[list[int], list[float]]:
    """The units that are on in `code` (units,), each time that which lowers ‖x − Σ z_i d_i‖² most, and that error after
    each. `x` (inputs,), rows of `decoder` (units, inputs).

    A code that its sparsity has made smaller than the input leaves some error; one that explains the input twice would
    let the error rise again at the end.
    """
    left = np.flatnonzero(code)
    parts = code[left, None] * decoder[left]
    squares, rest = np.einsum("ij,ij->i", parts, parts), x.copy()
    order, errors = [], []
    while len(left):
        best = int(np.argmin(squares - 2 * (parts @ rest)))
        rest = rest - parts[best]
        order.append(int(left[best]))
        errors.append(float(rest @ rest))
        left, squares = np.delete(left, best), np.delete(squares, best)
        parts = np.delete(parts, best, axis=0)
    return order, errors
