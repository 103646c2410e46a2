"""Patches: windows of their images, not flat, functions of the seed; and grids that cover an image."""

import math

import numpy as np
import pytest
import torch

from pinwheel.specs import Preprocessing
from pinwheel.specs.preprocessing import ALL_PATCHES
from worker.data.inputs import Inputs
from worker.data.patches import HELD_OUT_PATCHES, Grid, deviates, drawn_patches
from worker.data.preprocess import Preprocessor
from worker.data.reader import Dataset, VariedImages, from_arrays, of_images

SIDES = [(20, 31), (17, 12), (40, 9), (12, 12)]


def photographs(channels: int = 1, seed: int = 0) -> Dataset:
    """Noise of different sizes whose left third is even; labels are the rows."""
    generator = np.random.default_rng(seed)
    images = [generator.integers(0, 256, (*side, channels), dtype=np.uint8) for side in SIDES]
    for image in images:
        image[:, : image.shape[1] // 3] = 90
    return of_images(VariedImages.of(images), np.arange(4))


def spec(**given: object) -> Preprocessing:
    defaults: dict[str, object] = {"patch_size": 4, "patches_per_image": 50, "scale": "none"}
    return Preprocessing.model_validate(defaults | given)


def drawn(dataset: Dataset, preprocessing: Preprocessing, seed: int = 0, rows: list[int] | None = None) -> Inputs:
    picked = None if rows is None else torch.tensor(rows)
    return Inputs(dataset, Preprocessor.fitted(preprocessing, dataset, picked, seed), picked, seed=seed)


def windows_of(image: np.ndarray, size: int) -> set[bytes]:
    pixels = image.astype(np.float32) / np.float32(255)
    rows, columns = (side - size + 1 for side in image.shape[:2])
    return {pixels[r : r + size, c : c + size].tobytes() for r in range(rows) for c in range(columns)}


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_are_windows_of_their_images_and_carry_their_labels(channels: int) -> None:
    dataset = photographs(channels)
    inputs = drawn(dataset, spec())
    assert (len(inputs), inputs.size) == (200, 16 * channels)
    assert inputs.labels is not None
    assert inputs.labels.tolist() == inputs.rows.tolist() == [row for row in range(4) for _ in range(50)]
    x, _ = inputs.take(torch.arange(200))
    for row in range(4):
        windows = windows_of(dataset.images[row], 4)
        assert all(patch.numpy().tobytes() in windows for patch in x[inputs.rows == row])


def test_flat_patches_are_not_drawn_and_all_others_may_be() -> None:
    dataset = photographs()
    x, _ = drawn(dataset, spec(patches_per_image=4000, flat_below=0.3)).take(torch.arange(16000))
    pixels = np.concatenate([dataset.images[row].ravel() for row in range(4)]) / 255
    assert float(x.std(1, correction=0).min()) >= 0.3 * pixels.std() - 1e-6
    wanted = {
        window
        for row in range(4)
        for window in windows_of(dataset.images[row], 4)
        if np.frombuffer(window, np.float32).std() > 0.3 * pixels.std()
    }
    assert {patch.numpy().tobytes() for patch in x} == wanted


def test_with_a_threshold_of_zero_flat_patches_are_drawn_too() -> None:
    x, _ = drawn(photographs(), spec(patches_per_image=500, flat_below=0)).take(torch.arange(2000))
    assert (x.std(1) == 0).any()


def test_a_threshold_is_measured_after_the_local_normalisation() -> None:
    inputs = drawn(photographs(), spec(whiten="lcn", lcn_sigma=1.5, flat_below=0.5))
    x, _ = inputs.take(torch.arange(200))
    assert float(x.std(1, correction=0).min()) > 0.3
    assert float(x.abs().max()) > 1  # pixels themselves are at most 1


def test_equal_seeds_give_equal_patches_and_others_do_not() -> None:
    one, same, other = (drawn(photographs(), spec(), seed).resident for seed in (3, 3, 4))
    assert one is not None
    assert same is not None
    assert other is not None
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_patches_of_an_image_do_not_depend_on_the_others() -> None:
    dataset = photographs()
    flat_below_nothing = spec(flat_below=0)
    alone, among = drawn(dataset, flat_below_nothing, rows=[2]), drawn(dataset, flat_below_nothing, rows=[0, 2, 3])
    assert alone.resident is not None
    assert among.resident is not None
    assert torch.equal(alone.resident, among.resident[50:100])


def test_training_and_validation_draw_from_their_own_images_with_their_own_streams() -> None:
    dataset = photographs()
    preprocessor = Preprocessor(spec(), (4, 4, 1))
    train = Inputs(dataset, preprocessor, torch.tensor([0, 3]), seed=1)
    held_out = Inputs(dataset, preprocessor, torch.tensor([1, 2]), seed=1, side="validation")
    again = Inputs(dataset, preprocessor, torch.tensor([0, 3]), seed=1, side="validation")
    assert set(train.rows.tolist()) == {0, 3}
    assert set(held_out.rows.tolist()) == {1, 2}
    assert train.resident is not None
    assert again.resident is not None
    assert not torch.equal(train.resident, again.resident)


def test_without_a_number_per_image_the_images_share_one_number() -> None:
    dataset = photographs()
    preprocessor = Preprocessor(spec(patches_per_image=None), (4, 4, 1))
    assert Inputs(dataset, preprocessor).rows.bincount().tolist() == [ALL_PATCHES // 4] * 4
    few = Inputs(dataset, preprocessor, torch.tensor([0, 1, 3]), side="validation").rows.bincount()
    assert few.sum() == HELD_OUT_PATCHES
    assert few[[0, 1, 3]].max() - few[[0, 1, 3]].min() <= 1


def test_the_share_of_an_even_image_goes_to_the_others() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 1), dtype=np.uint8)
    images[1], images[3] = 7, 200
    inputs = drawn(from_arrays(images), spec(patches_per_image=10))
    assert len(inputs) == 40
    assert set(inputs.rows.tolist()) == {0, 2}


def test_images_with_flat_patches_only_are_refused() -> None:
    even = np.full((3, 9, 9, 1), 7, np.uint8)
    with pytest.raises(ValueError, match=r"no patch of 4 × 4 in 3 images deviates.*flat_below, which is 0\.1"):
        drawn(from_arrays(even), spec())
    noisy = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 1), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"flat_below, which is 5\b"):
        drawn(from_arrays(noisy), spec(flat_below=5))


def test_an_image_smaller_than_a_patch_is_refused_with_both() -> None:
    with pytest.raises(ValueError, match="image 2 is 40 × 9 and patch_size is 10"):
        drawn(photographs(), spec(patch_size=10))
    with pytest.raises(ValueError, match="image 0 is 1 × 30 and patch_size is 4"):
        drawn(from_arrays(np.zeros((5, 30), np.float32)), spec())


def test_more_patches_than_memory_may_hold_are_refused_before_they_are_drawn() -> None:
    with pytest.raises(ValueError, match=r"40000000 patches of 81 values take 12960000000 bytes; at most 4294967296"):
        drawn_patches(photographs(), torch.arange(4), spec(patch_size=9), 0, 40_000_000, "patches")


def test_the_deviation_of_every_window_is_the_one_it_has() -> None:
    images = torch.rand(2, 11, 9, 3, generator=torch.Generator().manual_seed(0)) + 100
    expected = images.unfold(1, 4, 1).unfold(2, 4, 1).flatten(3).double().std(3, correction=0)
    middle = expected.flatten().sort().values[47:49]
    assert torch.equal(deviates(images, 4, float(middle.mean())), expected > middle.mean())
    assert deviates(images, 4, -1.0).all()


@pytest.mark.parametrize("shape", [(4, 4), (8, 8), (9, 13), (5, 31), (4, 7)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_covers_the_image_and_puts_it_together_again(shape: tuple[int, int], channels: int) -> None:
    grid = Grid(shape, (4, 4))
    images = torch.rand(3, *shape, channels, generator=torch.Generator().manual_seed(0))
    cut = grid.cut(images)
    assert cut.shape == (3 * grid.windows, 16 * channels)
    assert grid.windows == math.ceil(shape[0] / 4) * math.ceil(shape[1] / 4)
    assert torch.equal(cut[grid.windows], images[1, :4, :4].flatten())
    assert torch.equal(cut[-1], images[2, -4:, -4:].flatten())
    torch.testing.assert_close(grid.join(cut), images)


def test_where_windows_overlap_their_mean_is_taken() -> None:
    joined = Grid((2, 3), (2, 2)).join(torch.tensor([[0.0] * 4, [1.0] * 4]))
    assert joined[0, :, :, 0].tolist() == [[0, 0.5, 1], [0, 0.5, 1]]
