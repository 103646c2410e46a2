"""Whether data, a spec and a model go together, on records as the registry keeps them."""

from typing import Any

import pytest

from app import fitting
from pinwheel.errors import InvalidConfig
from pinwheel.specs import Preprocessing

PHOTOS = {
    "id": "ds_photos",
    "images": {"count": 8, "shape": None, "variable_size": True, "smallest": [300, 451], "channels": 3},
    "labels": None,
}
OLD_PHOTOS = PHOTOS | {"images": {"count": 8, "shape": None, "variable_size": True}}


def digits(*shape: int, classes: int | None = None) -> dict[str, Any]:
    labels = {"classes": classes} if classes else None
    return {"id": "ds_digits", "images": {"count": 500, "shape": list(shape), "variable_size": False}, "labels": labels}


def model(*input_shape: int, **preprocessing: Any) -> dict[str, Any]:
    return {
        "name": "m",
        "version": 2,
        "input_shape": list(input_shape),
        "spec": {"preprocessing": Preprocessing.model_validate(preprocessing).model_dump(mode="json")},
    }


def test_images_of_different_sizes_need_patches() -> None:
    fitting.check_sizes(Preprocessing(patch_size=16), PHOTOS, "#/dataset")
    with pytest.raises(InvalidConfig, match=r"ds_photos have different sizes.*patch_size"):
        fitting.check_sizes(Preprocessing(), PHOTOS, "#/dataset")


def test_a_patch_has_to_fit_into_the_smallest_image() -> None:
    fitting.check_sizes(Preprocessing(patch_size=300), PHOTOS, "#/dataset")
    with pytest.raises(InvalidConfig, match="patch_size is 301 and the smallest image of ds_photos is 300 × 451"):
        fitting.check_sizes(Preprocessing(patch_size=301), PHOTOS, "#/dataset")
    with pytest.raises(InvalidConfig, match="29 and the smallest image of ds_digits is 28 × 40"):
        fitting.check_sizes(Preprocessing(patch_size=29), digits(28, 40, 1), "#/dataset")


def test_a_record_that_does_not_know_its_smallest_image_is_left_to_the_worker() -> None:
    fitting.check_sizes(Preprocessing(patch_size=500), OLD_PHOTOS, "#/dataset")
    assert fitting.input_shape(Preprocessing(patch_size=16), OLD_PHOTOS, "#/dataset") == (16, 16, 1)


def test_what_is_kept_in_memory_is_bounded() -> None:
    fitting.check_amounts(Preprocessing(patch_size=16, whiten="zca"), (16, 16, 1), 8)
    with pytest.raises(InvalidConfig, match=r"inputs of 5000 values.*at most 4096"):
        fitting.check_amounts(Preprocessing(whiten="zca"), (1, 5000, 1), 8)
    with pytest.raises(InvalidConfig, match="100000 patches of 262144 values take 104857600000 bytes") as error:
        fitting.check_amounts(Preprocessing(patch_size=512), (512, 512, 1), 8)
    assert error.value.errors[0]["pointer"] == "#/preprocessing/patches_per_image"


def test_validation_data_give_the_same_inputs() -> None:
    patches = Preprocessing(patch_size=16)
    fitting.check_alike(patches, PHOTOS, digits(40, 40, 3))
    fitting.check_alike(Preprocessing(patch_size=16, color="gray"), PHOTOS, digits(40, 40, 1))
    with pytest.raises(InvalidConfig, match=r"inputs of \[16, 16, 1\]; the training data give \[16, 16, 3\]"):
        fitting.check_alike(patches, PHOTOS, digits(40, 40, 1))
    with pytest.raises(InvalidConfig, match=r"\[28, 28, 1\]; the training data give \[40, 40, 1\]"):
        fitting.check_alike(Preprocessing(), digits(40, 40, 1), digits(28, 28, 1))
    with pytest.raises(InvalidConfig, match="it has 10 classes, the training data 4"):
        fitting.check_alike(Preprocessing(), digits(28, 28, 1, classes=4), digits(28, 28, 1, classes=10))


def test_channels_that_cannot_be_made_gray_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="4 channels; color 'gray' takes 1 or 3"):
        fitting.input_shape(Preprocessing(color="gray"), digits(28, 28, 4), "#/dataset")


def test_a_model_of_patches_encodes_images_of_any_size_that_holds_one() -> None:
    patches = model(16, 16, 3, patch_size=16)
    for dataset in (PHOTOS, OLD_PHOTOS, digits(16, 16, 3), digits(99, 17, 3)):
        fitting.check_encodable(patches, dataset)
    for dataset, words in ((digits(16, 15, 3), "patch_size is 16"), (digits(16, 16, 1), r"takes \[16, 16, 3\]")):
        with pytest.raises(InvalidConfig, match=words):
            fitting.check_encodable(patches, dataset)


def test_a_model_of_whole_images_encodes_images_of_its_own_size() -> None:
    fitting.check_encodable(model(28, 28, 1), digits(28, 28, 1))
    fitting.check_encodable(model(28, 28, 1, color="gray"), digits(28, 28, 3))
    with pytest.raises(InvalidConfig, match=r"its images are \[28, 28, 3\]; the model m@2 takes \[28, 28, 1\]"):
        fitting.check_encodable(model(28, 28, 1), digits(28, 28, 3))
    with pytest.raises(InvalidConfig, match="different sizes"):
        fitting.check_encodable(model(28, 28, 1), PHOTOS)
