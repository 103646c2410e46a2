"""From images to inputs and back: scaling, color, whitening, in their order."""

import numpy as np
import pytest
import torch

from pinwheel.specs import Preprocessing
from worker.data.images import in_color, pixels_of
from worker.data.inputs import Inputs
from worker.data.preprocess import Preprocessor, Scale, as_inputs, scaled
from worker.data.reader import Dataset, VariedImages, from_arrays, of_images


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


def photographs(channels: int = 1) -> Dataset:
    """Smooth noise of different sizes."""
    generator = np.random.default_rng(0)
    images = []
    for height, width in ((30, 41), (25, 33), (60, 28)):
        image = generator.normal(size=(height, width, channels)).cumsum(0).cumsum(1)
        image = (image - image.min()) / np.ptp(image)
        images.append((255 * image).astype(np.uint8))
    return of_images(VariedImages.of(images))


def spec(**given: object) -> Preprocessing:
    defaults: dict[str, object] = {"patch_size": 5, "patches_per_image": 2000, "flat_below": 0}
    return Preprocessing.model_validate(defaults | given)


def test_gray_is_the_luma_of_three_channels_and_leaves_one() -> None:
    pixels = torch.rand(4, 3, 2, 3, generator=torch.Generator().manual_seed(0))
    gray = in_color(pixels, spec(color="gray"))
    expected = pixels @ torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(gray[..., 0], expected)
    assert torch.equal(in_color(gray, spec(color="gray")), gray)
    assert torch.equal(in_color(pixels, spec()), pixels)


def test_other_channels_cannot_be_made_gray() -> None:
    with pytest.raises(ValueError, match="4 channels; color 'gray' takes 1 or 3"):
        in_color(torch.zeros(1, 5, 5, 4), spec(color="gray"))


def test_pixels_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        pixels_of(np.full((1, 2, 2, 1), np.inf, np.float32))


@pytest.mark.parametrize("scale", ["none", "unit-norm", "standard"])
def test_zca_is_fitted_to_the_scaled_training_inputs(scale: Scale) -> None:
    dataset, preprocessing = photographs(), spec(whiten="zca", scale=scale, zca_epsilon=1e-6)
    preprocessor = Preprocessor.fitted(preprocessing, dataset)
    x = Inputs(dataset, preprocessor).resident
    assert x is not None
    covariance = torch.cov(x.double().t(), correction=0)
    variances = torch.linalg.eigvalsh(covariance)
    torch.testing.assert_close(x.mean(0), torch.zeros(25), atol=2e-3, rtol=0)
    # a direction that scaling has taken away, as the mean of `standard`, is not made up again
    assert 23 <= int(((variances - 1).abs() < 0.05).sum()) <= 25
    assert float(variances.max()) < 1.05


def test_zca_of_whole_images_sees_the_training_rows_alone() -> None:
    images = np.random.default_rng(0).random((400, 4, 3, 1)).astype(np.float32)
    images[200:] *= 50
    preprocessing = Preprocessing(whiten="zca", scale="none", zca_epsilon=1e-6)
    dataset, rows = from_arrays(images), torch.arange(200)
    preprocessor = Preprocessor.fitted(preprocessing, dataset, rows)
    x = preprocessor.inputs(images[:200]).x
    torch.testing.assert_close(torch.cov(x.t(), correction=0), torch.eye(12), atol=1e-3, rtol=0)


@pytest.mark.parametrize("whiten", ["none", "zca", "lcn"])
@pytest.mark.parametrize("scale", ["none", "unit-norm", "standard"])
@pytest.mark.parametrize("color", ["keep", "gray"])
def test_inputs_are_undone_to_what_they_were_cut_from(whiten: str, scale: str, color: str) -> None:
    dataset = photographs(3)
    preprocessor = Preprocessor.fitted(spec(whiten=whiten, scale=scale, color=color), dataset)
    patches = np.stack([dataset.images[row][3:8, 4:9] for row in range(3)])
    given = preprocessor.inputs(patches)
    assert given.x.shape == (3, 25 if color == "gray" else 75)
    expected = preprocessor.normalised(patches).pixels.flatten(1)
    torch.testing.assert_close(given.undo(given.x), expected, atol=2e-4, rtol=0)


def test_an_input_alone_gives_what_it_gives_in_a_batch() -> None:
    dataset = photographs()
    patches = np.stack([dataset.images[row][3:8, 4:9] for row in range(3)])
    for whiten in ("zca", "lcn"):
        preprocessor = Preprocessor.fitted(spec(whiten=whiten), dataset)
        together = preprocessor.inputs(patches).x
        for row in range(3):
            torch.testing.assert_close(preprocessor.inputs(patches[row : row + 1]).x[0], together[row])


def test_what_was_fitted_survives_as_tensors() -> None:
    dataset = photographs()
    preprocessing = spec(whiten="zca")
    preprocessor = Preprocessor.fitted(preprocessing, dataset)
    tensors = preprocessor.tensors()
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        "preprocessing.mean": (25,),
        "preprocessing.whitening": (25, 25),
    }
    loaded = Preprocessor.load(preprocessing, (5, 5, 1), tensors)
    patches = np.stack([dataset.images[row][:5, :5] for row in range(3)])
    assert torch.equal(loaded.inputs(patches).x, preprocessor.inputs(patches).x)
    with pytest.raises(ValueError, match=r"lack preprocessing\.mean"):
        Preprocessor.load(preprocessing, (5, 5, 1), {})
    assert Preprocessor.fitted(spec(), dataset).tensors() == {}


def test_whitening_that_is_not_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match="whiten is 'zca' and the fitted whitening is None"):
        Preprocessor(spec(whiten="zca"), (5, 5, 1))


def test_pictures_of_a_dictionary_are_taken_back_through_the_whitening() -> None:
    """A column that is a whitened patch is shown as that patch, without the mean."""
    dataset = photographs()
    preprocessor = Preprocessor.fitted(spec(whiten="zca", scale="none"), dataset)
    assert preprocessor.zca is not None
    patches = np.stack([dataset.images[row][3:8, 4:9] for row in range(3)])
    x = preprocessor.inputs(patches).x
    pictures = preprocessor.pictures(x.view(-1, 5, 5, 1), "decoder")
    expected = torch.tensor(patches).float() / 255 - preprocessor.zca.mean.view(5, 5, 1)
    torch.testing.assert_close(pictures, expected, atol=1e-4, rtol=0)


def test_the_picture_of_an_encoder_row_answers_pixels_as_the_row_answers_inputs() -> None:
    dataset = photographs()
    preprocessor = Preprocessor.fitted(spec(whiten="zca", scale="none"), dataset)
    assert preprocessor.zca is not None
    rows = torch.randn(7, 25, generator=torch.Generator().manual_seed(0))
    patches = np.stack([dataset.images[row][3:8, 4:9] for row in range(3)])
    pixels = torch.tensor(patches).float().flatten(1) / 255 - preprocessor.zca.mean
    answered = pixels @ preprocessor.pictures(rows.view(-1, 5, 5, 1), "encoder").flatten(1).t()
    torch.testing.assert_close(answered, preprocessor.inputs(patches).x @ rows.t(), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("whiten", ["none", "lcn"])
def test_without_a_fitted_whitening_pictures_are_the_units_themselves(whiten: str) -> None:
    units = torch.rand(3, 5, 5, 3)
    pictures = Preprocessor(spec(whiten=whiten), (5, 5, 3)).pictures(units, "decoder")
    assert torch.equal(pictures, units)


def test_an_image_of_another_shape_is_no_input() -> None:
    with pytest.raises(ValueError, match=r"\(5, 6, 1\); the model takes \(5, 5, 1\)"):
        Preprocessor(spec(), (5, 5, 1)).inputs(np.zeros((1, 5, 6, 1), np.uint8))
