"""The mosaic: its size, its gray levels, its order and its limits."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pinwheel.errors import InvalidRequest
from pinwheel.pictures.mosaic import (
    GAP,
    MosaicOptions,
    encode_picture,
    filter_pixels,
    layout,
    mosaic,
)

RNG = np.random.default_rng(0)


def filters(units: int = 400, height: int = 28, width: int = 28, channels: int = 1) -> np.ndarray[Any, Any]:
    return RNG.normal(size=(units, height, width, channels)).astype(np.float32)


def test_four_hundred_digit_filters_make_a_square_of_twenty_by_twenty() -> None:
    plan = layout(filters())
    assert (plan.cols, plan.rows, plan.scale) == (20, 20, 2)
    assert mosaic(filters()).shape == (plan.height, plan.width, 1) == (20 * 57 + 1, 20 * 57 + 1, 1)


@pytest.mark.parametrize(("side", "scale"), [(8, 7), (12, 4), (16, 3), (28, 2), (32, 1), (100, 1)])
def test_small_filters_are_enlarged_to_about_half_a_hundred_pixels(side: int, scale: int) -> None:
    assert layout(filters(10, side, side)).scale == scale


@settings(max_examples=40, deadline=None)
@given(
    units=st.integers(1, 30), height=st.integers(1, 9), width=st.integers(1, 9), channels=st.sampled_from([1, 3]),
    cols=st.none() | st.integers(1, 40), scale=st.none() | st.integers(1, 4), pad=st.integers(0, 3),
)  # fmt: skip
def test_every_tile_stands_where_the_layout_says(
    units: int, height: int, width: int, channels: int, cols: int | None, scale: int | None, pad: int
) -> None:
    values = RNG.normal(size=(units, height, width, channels))
    options = MosaicOptions(cols=cols, scale=scale, pad=pad)
    plan, picture = layout(values, options), mosaic(values, options)
    assert picture.shape == (plan.height, plan.width, channels)
    levels, covered = filter_pixels(values), np.zeros(picture.shape[:2], bool)
    for place in range(units):
        top = pad + place // plan.cols * (height * plan.scale + pad)
        left = pad + place % plan.cols * (width * plan.scale + pad)
        area = np.s_[top : top + height * plan.scale, left : left + width * plan.scale]
        covered[area] = True
        assert (picture[area] == levels[place].repeat(plan.scale, 0).repeat(plan.scale, 1)).all()
    assert (picture[~covered] == GAP).all()


def test_zero_is_mid_gray_also_in_a_filter_with_a_mean() -> None:
    values = np.zeros((2, 1, 3, 1))
    values[0, 0, :, 0] = [0, 0.5, 1]
    values[1, 0, :, 0] = [0, -0.1, 0.05]
    assert filter_pixels(values)[:, 0, :, 0].tolist() == [[128, 192, 255], [128, 1, 192]]
    assert filter_pixels(values, "global")[1, 0, :, 0].tolist() == [128, 115, 134]


def test_empty_and_broken_filters_are_drawn_as_gray() -> None:
    broken = np.array([0.0, np.nan, np.inf, -np.inf]).reshape(1, 2, 2, 1)
    assert (filter_pixels(broken) == 128).all()
    assert (filter_pixels(np.full((1, 2, 2, 1), 1e-45)) >= 128).all()


def test_units_can_be_ordered_by_usage_norm_and_orientation() -> None:
    values = np.zeros((4, 9, 9, 1))
    values[0, :, 4] = 1  # standing
    values[1, 4, :] = 3  # lying
    values[2, range(8, -1, -1), range(9)] = 2  # rising
    usage = np.array([0.1, 0.4, 0.2, 0.4])
    assert layout(values, MosaicOptions(order="norm")).units == [1, 2, 0, 3]
    assert layout(values, MosaicOptions(order="usage"), usage).units == [1, 3, 2, 0]
    # Unit 3 is empty, has no orientation and comes last.
    assert layout(values, MosaicOptions(order="orientation")).units == [1, 2, 0, 3]


def test_the_drawn_order_is_the_layouts_order() -> None:
    values = filters(6, 3, 3)
    options = MosaicOptions(order="norm", scale=1, pad=0, cols=1)
    assert (mosaic(values, options).reshape(6, 3, 3, 1) == filter_pixels(values)[layout(values, options).units]).all()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"cols": 0}, "between 1 and 4096"), ({"scale": 65}, "between 1 and 64"), ({"pad": -1}, "between 0 and 64"),
        ({"normalize": "unit"}, "per-filter, global"), ({"order": "size"}, "index, usage, norm"),
    ],
)  # fmt: skip
def test_options_out_of_bounds_are_refused_and_the_limit_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named) as refused:
        MosaicOptions(**options)
    assert refused.value.errors[0]["pointer"] == f"#/{next(iter(options))}"


def test_what_cannot_be_drawn_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidRequest, match="map"):
        layout(filters(4), MosaicOptions(order="topographic"))
    with pytest.raises(InvalidRequest, match="usage"):
        layout(filters(4), MosaicOptions(order="usage"))
    with pytest.raises(InvalidRequest, match="at most 64000000"):
        mosaic(filters(400), MosaicOptions(scale=64))
    with pytest.raises(InvalidRequest, match="64 channels"):
        mosaic(filters(2, 1, 1, 64))


def test_the_default_scale_gives_way_before_a_large_model_is_refused() -> None:
    many = np.zeros((65536, 28, 28, 1), np.float16)
    assert layout(many).scale == 1


def test_a_png_carries_its_text_and_its_pixels() -> None:
    text = {"model": "digits-400@1", "step": "1200", "note": "größe"}
    for channels in (1, 3):
        pixels = mosaic(filters(5, 4, 4, channels))
        picture = Image.open(io.BytesIO(encode_picture(pixels, "png", text)))
        assert picture.text == text
        assert (np.asarray(picture).reshape(pixels.shape) == pixels).all()


def test_a_webp_loses_nothing_and_refuses_sides_that_it_cannot_hold() -> None:
    pixels = mosaic(filters(5, 4, 4, 3))
    assert (np.asarray(Image.open(io.BytesIO(encode_picture(pixels, "webp")))) == pixels).all()
    with pytest.raises(InvalidRequest, match="16383"):
        encode_picture(np.zeros((16384, 1, 1), np.uint8), "webp")
