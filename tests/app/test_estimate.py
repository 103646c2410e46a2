"""What a training is said to cost, against the models that are really built and the steps that are really taken."""

import math
from typing import Any

import pytest
import torch

from app.estimate import all_steps, estimate, parameters, solver_operations
from app.geometry import Geometry
from pinwheel.recipes import find
from pinwheel.specs import TrainSpec, merge
from pinwheel.specs.preprocessing import ALL_PATCHES
from worker.sparse.autoencoder import Autoencoder
from worker.training.build import fresh_model

SHAPE = (6, 6, 1)
SOLVER = {"method": "fista", "max_iterations": 40}
ENCODERS: dict[str, dict[str, Any]] = {
    "recurrent": {"kind": "recurrent", "passes": 5},
    "lista": {
        "kind": "recurrent",
        "passes": 3,
        "start": "ista",
        "total_step": None,
        "target": "exact-code",
        "solver": SOLVER,
    },
    "relu": {"kind": "feedforward"},
    "without gain": {"kind": "feedforward", "gain": False},
    "psd": {"kind": "predict-refine", "solver": SOLVER},
    "exact": {"kind": "exact", "solver": SOLVER},
}


def spec(**given: Any) -> TrainSpec:
    base = find("drsae").spec.model_dump(mode="json")
    model = {"connection": {"units": 24}, "classifier": {"kind": "none"}}
    return TrainSpec.model_validate(merge(merge(base, {"model": model}), given))


def made(one: TrainSpec, classes: int, shape: tuple[int, int, int] = SHAPE) -> Autoencoder:
    examples = torch.rand(50, math.prod(shape), generator=torch.Generator().manual_seed(0))
    return fresh_model(one.model, examples, classes, 0, shape)


def built(one: TrainSpec, classes: int, shape: tuple[int, int, int] = SHAPE) -> int:
    return sum(parameter.numel() for parameter in made(one, classes, shape).parameters())


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("classifier", ["none", "softmax"])
def test_parameters_are_those_of_the_model_that_is_built(kind: str, classifier: str) -> None:
    one = spec(model={"encoder": ENCODERS[kind], "classifier": {"kind": classifier}})
    assert estimate(one, SHAPE, 100, 3)["parameters"] == built(one, 3)


def test_noise_learns_its_size_as_well() -> None:
    encoder = {"kind": "feedforward", "activation": "linear"}
    one = spec(model={"encoder": encoder, "sparsity": {"kind": "noise"}})
    assert parameters(one.model, Geometry.of(one.model, SHAPE), 0) == built(one, 0)


def operations(encoder: dict[str, Any], **given: Any) -> float:
    return float(estimate(spec(model={"encoder": encoder}, **given), SHAPE, 1000, 0)["operations"])


def test_what_computes_more_costs_more() -> None:
    one = {name: operations(encoder) for name, encoder in ENCODERS.items()}
    assert one["relu"] < one["recurrent"] < one["psd"]
    assert one["relu"] + one["exact"] == pytest.approx(one["psd"] + 6 * 36 * 24 * 1000 * 60)  # they decode once each
    assert operations({**ENCODERS["psd"], "solver": {"max_iterations": 400}}) > 6 * one["psd"]
    assert operations(ENCODERS["recurrent"] | {"passes": 50}) > 5 * one["recurrent"]
    assert operations(ENCODERS["relu"], preprocessing={"whiten": "zca"}) > one["relu"]


def test_steps_count_patches_and_not_images() -> None:
    def steps(**preprocessing: Any) -> int:
        return all_steps(spec(preprocessing=preprocessing, training={"epochs": 3, "batch_size": 64}), 10)

    assert steps() == 3
    assert steps(patch_size=6) == 3 * -(-ALL_PATCHES // 64)
    assert steps(patch_size=6, patches_per_image=20) == 3 * 4


def test_memory_grows_with_the_patches_that_are_kept() -> None:
    few, many = (
        estimate(spec(preprocessing={"patch_size": 6, "patches_per_image": count}), SHAPE, 10, 0)["memory_bytes"]
        for count in (100, 10_000)
    )
    # a batch of 100 is in both
    assert many - few == 4 * 36 * 10 * (10_000 - 100)


IMAGE = (12, 14, 3)
MAPS = {"kind": "pools", "layout": "maps", "size": 4}
SHEET = {"kind": "pools", "layout": "sheet", "size": 3}
# connections and pools on images of 12 × 14
SPATIAL: dict[str, dict[str, Any]] = {
    "conv": {"connection": {"kind": "conv", "units": 8, "kernel_size": 5}},
    "conv with a stride": {"connection": {"kind": "conv", "units": 8, "kernel_size": 4, "stride": 2}},
    "padded conv": {"connection": {"kind": "conv", "units": 8, "kernel_size": 5, "padding": 2}},
    "conv in groups": {"connection": {"kind": "conv", "units": 8, "kernel_size": 5}, "sparsity": MAPS},
    "conv in groups that overlap": {
        "connection": {"kind": "conv", "units": 8, "kernel_size": 5},
        "sparsity": MAPS | {"stride": 2, "window": 3, "window_stride": 2},
    },
    "local": {"connection": {"kind": "local", "field_size": 5}},
    "four at a place": {"connection": {"kind": "local", "field_size": 4, "field_stride": 2, "units_per_position": 4}},
    "tiles": {"connection": {"kind": "local", "field_size": 3, "tile": 2, "units_per_position": 4}},
    "a sheet": {"connection": {"kind": "local", "field_size": 5}, "sparsity": SHEET | {"stride": 2}},
    "a gaussian sheet": {
        "connection": {"kind": "local", "field_size": 5, "units_per_position": 4},
        "sparsity": SHEET | {"stride": 2, "profile": "gaussian"},
    },
}
ON_IMAGES: dict[str, dict[str, Any]] = {
    name: encoder
    | ({"start": "random"} if encoder["kind"] == "recurrent" else {})
    | ({"total_step": None} if encoder["kind"] == "recurrent" else {})
    for name, encoder in ENCODERS.items()
}


def spatial(name: str, encoder: str = "relu", **given: Any) -> TrainSpec:
    parts = {"sparsity": {"kind": "l1"}, "encoder": ON_IMAGES[encoder], "classifier": {"kind": "none"}}
    return spec(model={**parts, **SPATIAL[name], **given})


@pytest.mark.parametrize("name", SPATIAL)
@pytest.mark.parametrize("kind", ENCODERS)
def test_filters_on_images_are_counted_as_they_are_built(name: str, kind: str) -> None:
    one = spatial(name, kind, classifier={"kind": "softmax"})
    assert estimate(one, IMAGE, 100, 3)["parameters"] == built(one, 3, IMAGE)


@pytest.mark.parametrize("name", SPATIAL)
def test_codes_and_answers_have_the_shapes_of_the_model(name: str) -> None:
    pools = "sparsity" in SPATIAL[name]
    for output in ("code", "pooled") if pools else ("code",):
        one = spatial(name, output=output, classifier={"kind": "softmax"})
        found, model = Geometry.of(one.model, IMAGE), made(one, 3, IMAGE)
        assert (found.units, found.filters, found.inputs) == (model.units, model.filters, model.connection.inputs)
        assert found.answer == model.feature_shape
        assert estimate(one, IMAGE, 100, 3)["parameters"] == built(one, 3, IMAGE)


@pytest.mark.parametrize("name", [name for name in SPATIAL if name != "padded conv"])
def test_a_product_for_each_pixel_that_a_unit_sees(name: str) -> None:
    one = spatial(name)
    connection = made(one, 0, IMAGE).connection
    seen = connection.decode(torch.eye(connection.units), torch.ones_like(connection.dictionary))
    assert Geometry.of(one.model, IMAGE).products == int(seen.sum())


def test_an_iteration_on_an_image_goes_to_the_pixels_and_back() -> None:
    one = spatial("conv", "exact")
    products = (12 - 4) * (14 - 4) * 8 * 5 * 5 * 3
    assert solver_operations(one.model, Geometry.of(one.model, IMAGE)) == products * (1 + 20 * 2)
    passes = [estimate(spatial("conv", name), IMAGE, 1000, 0)["operations"] for name in ("recurrent", "relu")]
    assert passes[0] - passes[1] == 6 * 4 * 2 * products * 1000 * 60


def test_pools_of_a_sheet_cost_what_their_matrices_do() -> None:
    plain, pooled = (spatial(name, "exact").model for name in ("local", "a sheet"))
    ours = [solver_operations(model, Geometry.of(model, IMAGE)) for model in (plain, pooled)]
    # 8 × 10 units in 4 × 5 windows: first the columns of units, then the rows of windows
    assert ours[1] - ours[0] == 20 * 2 * (4 * 8 * 10 + 4 * 5 * 10)


def test_memory_grows_with_the_codes_of_a_batch_and_no_matrix_of_units_is_kept() -> None:
    def needed(batch: int, **connection: Any) -> int:
        one = spec(
            model={
                "connection": {"kind": "conv", "units": 64, "kernel_size": 9} | connection,
                "encoder": ON_IMAGES["exact"],
                "sparsity": {"kind": "l1"},
            },
            training={"batch_size": batch},
        )
        return int(estimate(one, (64, 64, 1), 1000, 0)["memory_bytes"])

    codes = 4 * 56 * 56 * 64
    assert needed(20) - needed(10) == 18 * 10 * codes
    assert needed(10) < 2**30  # the Gram matrix alone would be 150 GiB
    assert needed(10, units=128) - needed(10) > 18 * 10 * codes


def test_filters_that_do_not_fit_cost_nothing() -> None:
    with pytest.raises(ValueError, match="kernel_size is 5 and the images are 4 × 9"):
        estimate(spatial("conv"), (4, 9, 1), 10, 0)
