"""Local contrast normalisation against its formula, and where the formula divides by nothing."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from worker.data.lcn import lcn, mirrored, smoothed


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def mean_around(image: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(gaussian_filter(image, sigma, mode="mirror", radius=math.ceil(3 * sigma)))


def reference(image: np.ndarray, sigma: float) -> np.ndarray:
    """One channel, in float64."""
    v = image - mean_around(image, sigma)
    deviation = np.sqrt(mean_around(v**2, sigma))
    return np.asarray(v / np.maximum(deviation, deviation.mean()))


@pytest.mark.parametrize("sigma", [0.4, 1.5, 3.0])
def test_it_is_the_formula(sigma: float) -> None:
    image = noise(1, 40, 31, 1)
    expected = reference(image[0, ..., 0].double().numpy(), sigma)
    np.testing.assert_allclose(lcn(image, sigma).pixels[0, ..., 0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 2), (1, 7), (5, 1), (8, 6)])
def test_images_smaller_than_the_window_are_mirrored_as_often_as_it_takes(shape: tuple[int, int]) -> None:
    image = noise(1, *shape, 1)
    expected = mean_around(image[0, ..., 0].double().numpy(), 3.0)
    np.testing.assert_allclose(smoothed(image.double(), 3.0)[0, ..., 0].numpy(), expected, atol=1e-12)


def test_the_outermost_pixel_is_the_mirror() -> None:
    assert mirrored(4, 5).tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert mirrored(1, 2).tolist() == [0] * 5


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0, 1e4])
def test_a_constant_image_becomes_zeros(value: float) -> None:
    found = lcn(torch.full((2, 17, 20, 3), value), 3.0)
    assert not found.pixels.any()
    torch.testing.assert_close(found.undo(found.pixels), torch.full((2, 17, 20, 3), value))


def test_even_parts_of_an_image_become_zeros_and_a_faint_edge_stays() -> None:
    image = torch.full((1, 60, 60, 1), 0.7)
    image[:, :, 30:] += 1 / 255
    found = lcn(image, 2.0).pixels[0, ..., 0]
    assert torch.isfinite(found).all()
    assert float(found[:, :15].abs().max()) < 1e-3
    assert float(found[:, 30].min()) > 0.5


def test_brightness_and_contrast_of_an_image_do_not_matter() -> None:
    image = noise(1, 30, 30, 1)
    torch.testing.assert_close(lcn(0.25 * image + 0.5, 2.0).pixels, lcn(image, 2.0).pixels, atol=1e-4, rtol=0)


def test_it_is_undone_with_the_means_and_deviations_of_the_image() -> None:
    image = noise(3, 20, 25, 3)
    found = lcn(image, 3.0)
    torch.testing.assert_close(found.undo(found.pixels), image)


def test_an_image_alone_gives_what_it_gives_in_a_batch() -> None:
    images = noise(9, 28, 28, 1)
    together = lcn(images, 3.0).pixels
    for row in range(9):
        torch.testing.assert_close(lcn(images[row : row + 1], 3.0).pixels[0], together[row], atol=0, rtol=2e-7)


def test_colours_share_their_deviation() -> None:
    image = noise(1, 20, 20, 3)
    image[..., 1] *= 0.01
    found = lcn(image, 3.0).pixels
    assert float(found[..., 1].std()) < 0.05 * float(found[..., 0].std())
