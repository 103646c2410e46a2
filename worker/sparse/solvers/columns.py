"""Some columns of a dictionary, each with the few pixels that it writes to: a sparse matrix with equally long rows.

decode(z) = Σ_i z_i d_i        correlate(x)_i = Σ_p d_ip x_p
"""

import warnings

import torch
from torch import Tensor

from worker.sparse.solvers.linear_map import LinearMap


class Columns:
    """`places` (units, reach) int32, the pixels each unit writes to, and `values` (units, reach); `inputs` in all.

    A place that is not in the image is any place with value zero.
    """

    def __init__(self, places: Tensor, values: Tensor, inputs: int) -> None:
        self.places, self.values, self.inputs = places, values, inputs
        ends = torch.arange(0, places.numel() + 1, max(1, places.shape[1]), dtype=torch.int32, device=places.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that sparse tensors are in beta
            self._rows = torch.sparse_csr_tensor(
                ends, places.flatten(), values.flatten(), (len(places), inputs), check_invariants=False
            )

    @classmethod
    def of(cls, linear_map: LinearMap, units: Tensor) -> "Columns":
        places, values = linear_map.columns(units)
        return cls(places.int(), values, linear_map.inputs)

    def rearranged(self, kept: Tensor, new: "Columns", order: Tensor) -> "Columns":
        """Those of `kept` and `new` after them, all in `order`."""
        places = torch.cat([self.places[kept], new.places])[order]
        values = torch.cat([self.values[kept], new.values])[order]
        return Columns(places, values, self.inputs)

    def decode(self, z: Tensor) -> Tensor:
        """(units,) → (inputs,)"""
        parts = self.values * z[:, None]
        return z.new_zeros(self.inputs).index_add_(0, self.places.flatten(), parts.flatten())

    def correlate(self, x: Tensor) -> Tensor:
        """(inputs,) → (units,)"""
        return self._rows @ x
