"""Features of the windows of an image made into those of the image.

    none   those of all windows, row after row        mean   their mean        max   the largest
    l2     √ Σ z²

over windows, and over the places of a convolution, whose filters are the same at all of them. Units that have a filter
of their own at each place (`local`) are pooled over windows alone. Without any of them windows are averaged and
places stay.
"""

import torch
from torch import Tensor

from pinwheel.specs.jobs import Pool


class Pooling:
    """Gathers batch by batch for `images`, each of `windows` windows, on `device`. `places` are those whose features
    are alike within a window, 1 where there are none; features have places first, then units."""

    def __init__(self, how: Pool | None, images: int, windows: int, features: int, places: int, device: torch.device):
        self.how, self.windows = how, windows
        self.places = 1 if how in (None, "none") else places
        self.columns = windows * features if how == "none" else features // self.places
        kind = torch.float32 if how == "none" else torch.float64
        self.gathered = torch.zeros(images * (windows if how == "none" else 1), features // self.places, dtype=kind)
        if how == "max":
            self.gathered.fill_(-torch.inf)
        self.gathered = self.gathered.to(device)

    def add(self, first: int, features: Tensor) -> None:
        """Of windows from number `first` on: (k, features)."""
        number = torch.arange(first, first + len(features), device=features.device)
        if self.how == "none":
            self.gathered[number] = features
            return
        values = features.double().view(len(features), self.places, -1)
        image = number // self.windows
        if self.how == "max":
            index = image[:, None].expand(-1, values.shape[2])
            self.gathered.scatter_reduce_(0, index, values.amax(1), "amax")
        else:
            self.gathered.index_add_(0, image, (values.square() if self.how == "l2" else values).sum(1))

    def result(self) -> Tensor:
        """(images, columns) float32"""
        if self.how == "none":
            return self.gathered.view(-1, self.columns)
        if self.how == "max":
            return self.gathered.float()
        if self.how == "l2":
            return self.gathered.sqrt().float()
        return (self.gathered / (self.windows * self.places)).float()
