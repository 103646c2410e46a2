"""Scaling of inputs, and its inverse."""

import numpy as np
import pytest
import torch

from worker.data.preprocess import Scale, as_inputs, scaled


def images() -> torch.Tensor:
    return torch.rand(6, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scale", ["none", "unit-norm", "standard"])
def test_scaling_is_undone(scale: Scale) -> None:
    given = scaled(images(), scale)
    torch.testing.assert_close(given.undo(given.x), images())


def test_unit_norm_gives_norm_one_and_leaves_zeros() -> None:
    x = images()
    x[2] = 0
    given = scaled(x, "unit-norm")
    torch.testing.assert_close(given.x.norm(dim=1), torch.tensor([1.0, 1, 0, 1, 1, 1]))
    assert torch.equal(given.undo(torch.ones(6, 10))[2], torch.zeros(10))


def test_standard_gives_mean_zero_and_deviation_one_and_turns_constants_into_zeros() -> None:
    x = images()
    x[1] = 0.1
    given = scaled(x, "standard")
    torch.testing.assert_close(given.x.mean(1), torch.zeros(6), atol=1e-6, rtol=0)
    torch.testing.assert_close(given.x.std(1, correction=0), torch.tensor([1.0, 0, 1, 1, 1, 1]))
    torch.testing.assert_close(given.undo(given.x), x)


def test_bytes_become_fractions_of_255_and_floats_stay() -> None:
    pixels = np.array([[[[0], [255]]]], np.uint8)
    assert as_inputs(pixels).tolist() == [[0.0, 1.0]]
    assert as_inputs(pixels.astype(np.float32)).tolist() == [[0.0, 255.0]]
