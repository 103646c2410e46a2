"""The mathematics: one energy, four parts. Imports torch and the standard library only.

    E(x, z) = 1/2 ‖x − decode(z)‖²  +  sparsity(z)  [ + prediction ]  [ + classifier(z, label) ]

Every part is a `torch.nn.Module` made from tensors (a fresh model and a loaded one are made the same way), with
`rates()`: each parameter with its learning rate relative to the base, and `project()`: back into its constraints.
"""

from pathlib import Path

from torch import nn


def load(path: str | Path) -> nn.Module:
    """A published model from its `.safetensors` file alone: a module from images (N, H, W, C), uint8 or floats from 0
    to 1, to features (N, features), preprocessing included (`worker.encoding.module.ImageEncoder`).

    Needs numpy, pydantic and safetensors besides torch; no server, queue or store. Raises FileNotFoundError, or
    ValueError that says what is wrong with the file.
    """
    # the one arrow out of the mathematics, at the call and not before (docs/decisions/0011-exports.md)
    from worker.encoding.module import load as load_module

    return load_module(path)
