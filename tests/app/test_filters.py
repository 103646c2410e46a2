"""Pictures of many small filters: kernels, and fields on a sheet of thousands of units."""

import numpy as np
import pytest

from app.filters import Filters
from pinwheel.errors import InvalidRequest
from pinwheel.pictures.mosaic import MosaicOptions
from pinwheel.pictures.unit_map import UnitMap


def sheet(height: int, width: int, size: int) -> Filters:
    units = height * width
    values = np.zeros((units, size, size, 1), np.float32)
    return Filters(values, np.zeros(units, np.float32), UnitMap("sheet", height, width, wrap=False))


@pytest.mark.parametrize(("height", "width", "scale"), [(8, 12, 4), (64, 64, 4), (100, 120, 2), (250, 260, 1)])
def test_a_sheet_is_drawn_as_it_lies_in_a_picture_that_can_be_looked_at(height: int, width: int, scale: int) -> None:
    plan = sheet(height, width, 13).plan(MosaicOptions())
    assert (plan.rows, plan.cols, plan.scale) == (height, width, scale)
    assert plan.units == list(range(height * width))
    assert plan.width * plan.height <= 16_000_000


def test_what_is_asked_for_is_drawn_up_to_the_limit() -> None:
    assert sheet(100, 120, 13).plan(MosaicOptions(scale=4)).scale == 4
    assert sheet(100, 120, 13).plan(MosaicOptions(cols=50)).cols == 50
    with pytest.raises(InvalidRequest, match=r"400000 filters of 13 × 13.*ask for npy"):
        sheet(500, 800, 13).plan(MosaicOptions())


def test_kernels_are_enlarged() -> None:
    plan = Filters(np.zeros((8, 5, 5, 3), np.float32), np.zeros(8, np.float32)).plan(MosaicOptions())
    assert (plan.scale, plan.cols) == (11, 3)
