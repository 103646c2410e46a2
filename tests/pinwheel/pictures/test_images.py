"""Pictures of images: previews and comparisons."""

import numpy as np
import pytest

from pinwheel.errors import InvalidRequest
from pinwheel.pictures.images import MAX_GRID_IMAGES, comparison, image_grid, image_pixels
from pinwheel.pictures.mosaic import GAP

RNG = np.random.default_rng(0)


def test_a_comparison_has_three_rows_and_an_equal_pair_has_no_difference() -> None:
    inputs = RNG.integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    guesses = inputs.astype(np.float32) / 255
    guesses[1] = 0
    picture = comparison(inputs, guesses, scale=1, pad=0)
    assert picture.shape == (24, 40, 1)
    assert (picture[:16, :8] == np.concatenate([inputs[0], inputs[0]])).all()
    assert (picture[16:, :8] == 128).all()
    assert (picture[16:, 8:16] == 128 + inputs[1] // 2).all()


def test_a_comparison_of_unlike_shapes_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="alike"):
        comparison(np.zeros((2, 4, 4, 1), np.uint8), np.zeros((2, 4, 4, 3), np.uint8))


def test_floats_are_black_at_zero_white_at_one_and_cut_outside() -> None:
    values = np.array([-1, 0, 0.5, 1, 7, np.nan]).reshape(1, 1, 6, 1)
    assert image_pixels(values).ravel().tolist() == [0, 0, 128, 255, 255, 0]


def test_a_grid_enlarges_small_images_by_whole_pixels() -> None:
    images = list(RNG.integers(0, 256, (4, 28, 28, 1), dtype=np.uint8))
    picture = image_grid(images, pad=0)
    assert picture.shape == (112, 112, 1)
    assert (picture[:56, :56] == images[0].repeat(2, 0).repeat(2, 1)).all()


def test_a_grid_holds_images_of_different_sizes_and_colours() -> None:
    images = [np.full(shape, 255, np.uint8) for shape in ((300, 100, 3), (20, 40, 1), (1, 500, 4), (7, 7, 2))]
    picture = image_grid(images, pad=0, cols=4)
    assert picture.shape == (112, 4 * 112, 3)
    wide = picture[:, 112:224]
    assert (wide[36:76, 16:96] == 255).all()  # 20 × 40, twice as large
    assert (wide[:36] == GAP).all()
    assert (picture[:, 37:74] == 255).all()  # 300 × 100, reduced
    assert (picture[:, :37] == GAP).all()


def test_a_grid_is_bounded_and_never_empty() -> None:
    assert image_grid([np.zeros((2, 2, 1), np.uint8)] * 9999, side=2, pad=0).size == 4 * MAX_GRID_IMAGES
    assert image_grid([]).ndim == 3


def test_floats_beyond_zero_and_one_are_drawn_over_their_range() -> None:
    image = np.array([[-2.0, 2.0]]).reshape(1, 2, 1)
    assert image_grid([image], side=2, pad=0)[0, :, 0].tolist() == [0, 255]
    flat = np.full((1, 2, 1), 9.0)
    assert image_grid([flat], side=2, pad=0).dtype == np.uint8
