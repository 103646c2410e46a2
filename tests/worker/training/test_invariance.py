"""Invariance curves: zero without movement, about one for strangers, below it for what forgets the movement."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pinwheel.specs import Preprocessing
from worker.data.preprocess import Preprocessor
from worker.data.reader import Dataset, VariedImages, from_arrays, of_images
from worker.training.invariance import curves, invariance, moved, read, shifts_of, spread, surroundings


def photographs() -> Dataset:
    """Noise of different sizes, so that every pixel is its own."""
    generator = np.random.default_rng(0)
    sides = [(60, 71), (47, 52), (90, 49)]
    return of_images(VariedImages.of([generator.integers(0, 256, (*side, 1), dtype=np.uint8) for side in sides]))


def patches(**given: object) -> Preprocessor:
    defaults: dict[str, object] = {"patch_size": 8, "scale": "none"}
    return Preprocessor.fitted(Preprocessing.model_validate(defaults | given), photographs())


def itself(x: Tensor) -> Tensor:
    return x


def magnitudes(x: Tensor) -> Tensor:
    """Of the two-dimensional spectrum, which forgets where things are in an image that goes on at its other end."""
    return torch.fft.fft2(x.view(-1, 8, 8)).abs().flatten(1)


def together(code: Tensor) -> Tensor:
    return code.view(len(code), -1, 4).square().sum(2).sqrt()


def test_the_curves_have_the_promised_form() -> None:
    found = invariance(magnitudes, together, photographs(), torch.arange(3), patches(), 0)
    assert found is not None
    assert found["shift"]["pixels_moved"] == [0, 1, 2, 3, 4]
    assert found["rotation"]["degrees"] == list(range(0, 91, 10))
    for movement in ("shift", "rotation"):
        for name in ("pixels", "code", "pooled"):
            curve = found[movement][name]
            assert len(curve) == len(found[movement]["pixels_moved" if movement == "shift" else "degrees"])
            assert curve[0] == 0.0
            assert all(0 < value < 2 for value in curve[1:])


def test_without_pools_there_is_no_pooled_curve() -> None:
    found = invariance(itself, None, photographs(), torch.arange(3), patches(), 0)
    assert found is not None
    assert found["shift"]["pooled"] is None
    assert found["shift"]["code"] == found["shift"]["pixels"]


def test_noise_that_has_moved_by_a_pixel_is_a_stranger() -> None:
    found = invariance(itself, None, photographs(), torch.arange(3), patches(), 0)
    assert found is not None
    assert found["shift"]["pixels"][1:] == pytest.approx([1.0] * 4, abs=0.05)


def test_what_forgets_the_place_does_not_move_where_the_pixels_do() -> None:
    images = np.random.default_rng(0).random((300, 8, 8, 1)).astype(np.float32)
    images[:, :, :3] = 0  # a window that moves by 3 loses nothing
    preprocessor = Preprocessor(Preprocessing(scale="none"), (8, 8, 1))
    found = invariance(magnitudes, None, from_arrays(images), torch.arange(300), preprocessor, 0)
    assert found is not None
    assert found["shift"]["code"][:4] == pytest.approx([0] * 4, abs=1e-5)
    assert min(found["shift"]["pixels"][1:4]) > 1


def test_equal_seeds_give_equal_curves_and_others_do_not() -> None:
    one, same, other = (
        invariance(magnitudes, together, photographs(), torch.arange(3), patches(), seed) for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


@pytest.mark.parametrize("given", [{}, {"whiten": "lcn"}, {"whiten": "zca", "scale": "standard"}])
def test_a_patch_that_moves_shows_what_is_there_in_its_image(given: dict[str, object]) -> None:
    dataset, preprocessor = photographs(), patches(**given)
    around = surroundings(dataset, torch.tensor([1]), preprocessor, 0)
    image = preprocessor.normalised(dataset.images[1][None]).pixels[0, ..., 0]
    windows = image.unfold(0, 8, 1).unfold(1, 8, 1)
    reach = (around.shape[1] - 8) // 2
    for patch in around[:20, ..., 0]:
        middle = patch[reach : reach + 8, reach : reach + 8]
        ((row, column),) = (windows == middle).all(3).all(2).nonzero().tolist()
        expected = preprocessor.given(windows[row, column + 3].reshape(1, -1)).x
        found = moved(patch[None, ..., None], preprocessor, shift=3)
        torch.testing.assert_close(found, expected)


def test_a_quarter_turn_is_a_quarter_turn() -> None:
    around = surroundings(photographs(), torch.arange(3), patches(), 0)
    still, turned = (moved(around, patches(), degrees=degrees).view(-1, 8, 8) for degrees in (0, 90))
    torch.testing.assert_close(turned, torch.rot90(still, -1, (1, 2)), atol=1e-5, rtol=0)


def test_whole_images_move_over_zeros() -> None:
    images = np.random.default_rng(0).random((5, 6, 7, 2)).astype(np.float32) + 1
    preprocessor = Preprocessor(Preprocessing(scale="none"), (6, 7, 2))
    around = surroundings(from_arrays(images), torch.arange(5), preprocessor, 0)
    still, found = (moved(around, preprocessor, shift=shift).view(5, 6, 7, 2) for shift in (0, 3))
    assert sorted(map(float, still.sum((1, 2, 3)))) == pytest.approx(sorted(images.sum((1, 2, 3)).tolist()))
    assert torch.equal(found[:, :, :4], still[:, :, 3:])
    assert not found[:, :, 4:].any()


def test_between_pixels_the_image_is_read_bilinearly() -> None:
    images = torch.tensor([[0.0, 10], [20, 40]]).view(1, 2, 2, 1)
    rows, columns = torch.tensor([[0.5, 0, 1, -1, 1.5]]).double(), torch.tensor([[0.5, 0.25, 1, 0, 1]]).double()
    assert read(images, rows, columns).flatten().tolist() == [17.5, 2.5, 40, 0, 20]


def test_images_as_small_as_a_patch_still_have_curves() -> None:
    small = from_arrays(np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8))
    found = invariance(itself, None, small, torch.arange(50), patches(), 0)
    assert found is not None
    assert found["shift"]["pixels"][0] == 0
    assert found["shift"]["pixels"][4] > 0.5


def test_long_codes_are_of_fewer_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.training.invariance.MOST_CODES", 9000)
    counts = []
    for units in (1, 900, 10_000):
        seen: list[int] = []

        def encode(x: Tensor, seen: list[int] = seen) -> Tensor:
            seen.append(len(x))
            return x

        assert invariance(encode, None, photographs(), torch.arange(3), patches(), 0, units) is not None
        counts.append(set(seen))
    assert counts == [{500}, {10}, {2}]


def test_what_cannot_move_has_no_curves() -> None:
    vectors = from_arrays(np.random.default_rng(0).random((9, 12)).astype(np.float32))
    preprocessor = Preprocessor(Preprocessing(), (1, 12, 1))
    assert invariance(itself, None, vectors, torch.arange(9), preprocessor, 0) is None
    even = from_arrays(np.full((9, 20, 20, 1), 7, np.uint8))
    assert invariance(itself, None, even, torch.arange(9), patches(), 0) is None


def test_a_code_of_zeros_does_not_move() -> None:
    assert curves([torch.rand(5, 3), torch.rand(5, 3)], torch.zeros_like, None)["code"] == [0.0, 0.0]


def test_the_spread_is_the_root_mean_square_over_all_pairs() -> None:
    values = torch.rand(20, 6, generator=torch.Generator().manual_seed(0))
    squares = torch.pdist(values.double()).square()
    assert spread(values) == pytest.approx(float(squares.mean().sqrt()))


def test_wide_inputs_are_moved_in_larger_steps() -> None:
    assert shifts_of(16) == list(range(9))
    assert shifts_of(512) == list(range(0, 257, 8))
