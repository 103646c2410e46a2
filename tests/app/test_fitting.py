"""Whether data, a spec and a model go together, on records as the registry keeps them."""

from typing import Any

import pytest
from pydantic import ValidationError

from app import fitting
from pinwheel.errors import InvalidConfig
from pinwheel.specs import Preprocessing, TrainSpec

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


def training(
    connection: dict[str, Any], sparsity: dict[str, Any] | None = None, batch_size: int = 100, **more: Any
) -> TrainSpec:
    parts = {"encoder": {"kind": "feedforward"}, "sparsity": sparsity or {"kind": "l1"}}
    given = {"connection": connection, **parts, **more}
    empty: dict[str, Any] = {"preprocessing": {}, "resources": {}}
    return TrainSpec.model_validate({**empty, "model": given, "training": {"batch_size": batch_size}})


def conv(**given: Any) -> dict[str, Any]:
    return {"kind": "conv", "units": 8, "kernel_size": 5} | given


def local(**given: Any) -> dict[str, Any]:
    return {"kind": "local", "field_size": 5} | given


MAPS, SHEET = {"kind": "pools", "layout": "maps"}, {"kind": "pools", "layout": "sheet"}
SOFTMAX = {"kind": "softmax"}

# what is trained, the shape of its inputs, where it is wrong, both numbers
MISFITS: dict[str, tuple[TrainSpec, tuple[int, int, int], str, list[str]]] = {
    "a kernel larger than the image": (
        training(conv(kernel_size=13)),
        (12, 16, 1),
        "connection/kernel_size",
        ["kernel_size is 13", "12 × 16"],
    ),
    "a padding that does not help": (
        training(conv(kernel_size=17, padding=2)),
        (12, 16, 1),
        "connection/kernel_size",
        ["kernel_size is 17", "12 × 16", "padding 2"],
    ),
    "vectors": (training(conv()), (1, 60, 1), "connection/kernel_size", ["kernel_size is 5", "1 × 60"]),
    "strides that leave pixels": (
        training(conv(stride=4)),
        (13, 15, 1),
        "connection/stride",
        ["stride of 4", "leave 2 of 15 pixels"],
    ),
    "a field larger than the image": (
        training(local(field_size=13)),
        (20, 12, 1),
        "connection/field_size",
        ["field_size is 13", "20 × 12"],
    ),
    "fields that leave pixels": (
        training(local(field_stride=3)),
        (12, 11, 1),
        "connection/field_stride",
        ["stride of 3", "leave 1 of 12 pixels"],
    ),
    "tiles that fill one side": (
        training(local(tile=4)),
        (12, 13, 1),
        "connection/tile",
        ["8 × 9 positions", "tiles of 4", "8, 12"],
    ),
    "a window larger than the maps": (
        training(conv(), MAPS | {"window": 9}),
        (12, 14, 1),
        "sparsity/window",
        ["side 9", "8 × 10"],
    ),
    "a pool larger than the sheet": (
        training(local(units_per_position=4), SHEET | {"size": 17}),
        (12, 14, 1),
        "sparsity/size",
        ["side 17", "16 × 20"],
    ),
    "codes that are too long": (
        training(conv(units=128)),
        (256, 256, 3),
        "connection",
        ["252 × 252 × 128 = 8128512", "4194304"],
    ),
    "filters beyond memory": (
        training(local(field_size=64, units_per_position=9), batch_size=1),
        (256, 256, 1),
        "connection",
        ["335241 filters of 4096", "1373147136", "268435456"],
    ),
    "a batch beyond memory": (
        training(conv(units=64), batch_size=5000),
        (64, 64, 1),
        "#/training/batch_size",
        ["5000 codes of 230400", "1152000000", "268435456", "1165 inputs"],
    ),
    "a classifier beyond memory": (
        training(conv(units=64), classifier=SOFTMAX),
        (128, 128, 1),
        "classifier",
        ["400 classes", "984064 features", "393625600", "268435456"],
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_filters_that_do_not_go_with_the_data_are_refused_with_both_numbers(name: str) -> None:
    spec, shape, place, words = MISFITS[name]
    with pytest.raises(InvalidConfig) as error:
        fitting.check_stages(spec, shape, 100_000, 400)
    pointer = place if place.startswith("#") else f"#/model/{place}"
    assert [entry["pointer"] for entry in error.value.errors] == [pointer]
    for word in words:
        assert word in error.value.detail, (word, error.value.detail)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (training(conv(kernel_size=12)), (12, 16, 1)),
        (training(conv(kernel_size=14, padding=1)), (12, 16, 1)),
        (training(conv(stride=4)), (13, 17, 1)),
        (training(local(field_size=12)), (20, 12, 3)),
        (training(local(field_stride=3)), (11, 14, 1)),
        (training(local(tile=4)), (12, 16, 1)),
        (training(conv(), MAPS | {"window": 8}), (12, 14, 1)),
        (training(local(units_per_position=4), SHEET | {"size": 16}), (12, 14, 1)),
        (training(conv(units=64), batch_size=1165), (64, 64, 1)),
        (training(conv(units=64), batch_size=5000), (64, 64, 1)),
        (training(conv(units=64), MAPS | {"window": 2}, classifier=SOFTMAX, output="pooled"), (128, 128, 1)),
        (training({"kind": "dense", "units": 40}, classifier=SOFTMAX), (1, 60, 1)),
    ],
)
def test_filters_that_just_fit_are_taken(spec: TrainSpec, shape: tuple[int, int, int]) -> None:
    """The last but two draws no batch of 5000 from 1000 images."""
    fitting.check_stages(spec, shape, 1000, 400)


def test_whitening_that_mixes_positions_is_refused_with_filters_at_positions() -> None:
    for connection in (conv(), local()):
        parts = training(connection).model_dump(mode="json")
        for whiten in ("none", "lcn"):
            TrainSpec.model_validate(parts | {"preprocessing": {"whiten": whiten}})
        with pytest.raises(ValidationError, match=rf"'zca'.*{connection['kind']}.*'lcn'"):
            TrainSpec.model_validate(parts | {"preprocessing": {"whiten": "zca"}})


def test_a_data_set_gives_no_more_features_than_can_be_kept() -> None:
    fitting.check_result(500, 25600, dense=True)
    fitting.check_result(2_000_000, 25600, dense=False)
    with pytest.raises(InvalidConfig, match=r"2000000 × 25600 features take 204800000000 bytes.*68719476736") as error:
        fitting.check_result(2_000_000, 25600, dense=True)
    assert error.value.errors[0]["pointer"] == "#/output/sparse"
    fitting.check_result(2_000_000, 400, dense=True)
