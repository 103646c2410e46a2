"""The pictures of parts and categories: of bounded size, with and without what a model may lack."""

import io
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from part_unit_cases import CATEGORICAL, PASSES, SIDE, UNITS, planted
from PIL import Image

from pinwheel.pictures.part_units import PartUnits
from pinwheel.pictures.part_units_sheet import WIDTH, draw_part_units
from pinwheel.pictures.sheet import MAX_SHEET_PIXELS, Sheet, picture
from pinwheel.pictures.unit_sheet import draw_unit

LOST: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "classes": ("classifier", "class_means", "example_labels"),
    "pairs": ("explaining_away", "overlap", "optimal_units", "optimal_decoders"),
    "inputs": ("example_inputs", "example_codes", "example_passes", "class_means", "optimal_units", "optimal_decoders"),
}
HEADS = {
    "nothing": ["Classes", "Strongest", "Inputs", "Best"],
    "classes": ["Strongest", "Inputs", "Best"],
    "pairs": ["Classes", "Inputs"],
    "inputs": ["Classes", "Strongest"],
}


def drawn(draw: Callable[[], Sheet]) -> Sheet:
    """The sheet, once both of its files are what they should be."""
    sheets: list[Sheet] = []

    def kept() -> Sheet:
        sheets.append(draw())
        return sheets[-1]

    image = Image.open(io.BytesIO(picture(kept, "png")))
    drawing = ElementTree.fromstring(picture(kept, "svg"))  # noqa: S314  our own
    assert image.size == (sheets[0].width, sheets[0].height)
    assert (float(drawing.attrib["width"]), float(drawing.attrib["height"])) == image.size
    assert image.width * image.height <= MAX_SHEET_PIXELS
    return sheets[0]


def heads(sheet: Sheet) -> list[str]:
    """First words of the panels of tiles."""
    found = [text.get_text().split()[0].rstrip(":;") for text in sheet.axes.texts[2:] if text.get_weight() == "bold"]
    return [word for word in found if word in HEADS["nothing"]]


def inside(sheet: Sheet) -> bool:
    """Whether every tile and every text stands within the sheet."""
    for pixels, left, top, scale in sheet.tiles:
        if left < 0 or top < 0:
            return False
        if left + pixels.shape[1] * scale > sheet.width or top + pixels.shape[0] * scale > sheet.height:
            return False
    return all(
        0 <= x <= sheet.width and 0 <= y <= sheet.height for x, y in (t.get_position() for t in sheet.axes.texts)
    )


def boxes_meet(sheet: Sheet) -> bool:
    """Whether two tiles overlap."""
    taken = np.zeros((sheet.height, sheet.width), bool)
    for pixels, left, top, scale in sheet.tiles:
        area = taken[top : top + pixels.shape[0] * scale, left : left + pixels.shape[1] * scale]
        if area.any():
            return True
        area[:] = True
    return False


@pytest.mark.parametrize("lost", LOST)
def test_what_a_model_lacks_is_left_out(lost: str) -> None:
    found = PartUnits.of({name: value for name, value in planted().items() if name not in LOST[lost]})
    sheet = drawn(lambda: draw_part_units(found, "m@1 · units"))
    assert heads(sheet) == HEADS[lost]
    assert sheet.width == WIDTH <= 1500
    assert inside(sheet)
    assert not boxes_meet(sheet)
    assert "6 parts" in sheet.axes.texts[1].get_text()
    assert "1 never used" in sheet.axes.texts[1].get_text()
    one = drawn(lambda: draw_unit(found, CATEGORICAL[0], "m@1 · unit 8"))
    assert inside(one)
    assert not boxes_meet(one)


@pytest.mark.parametrize("angle", [0.1, 0.6, 1.0])
@pytest.mark.parametrize("used", [1.0, 0.0])
def test_models_with_units_of_one_kind_are_drawn(angle: float, used: float) -> None:
    tensors = planted() | {"angle": np.full(UNITS, angle), "usage": np.full(UNITS, used)}
    sheet = drawn(lambda: draw_part_units(PartUnits.of(tensors), "m@1 · units"))
    assert inside(sheet)
    assert not boxes_meet(sheet)
    drawn(lambda: draw_unit(PartUnits.of(tensors), 0, "m@1 · unit 0"))


def test_codes_of_zeros_and_weights_of_zero_are_drawn() -> None:
    zeros = {name: np.zeros_like(planted()[name]) for name in ("explaining_away", "example_codes", "classifier")}
    tensors = planted() | zeros | {"mean_active": np.full(UNITS, np.nan), "switched_late": np.full(UNITS, np.nan)}
    assert inside(drawn(lambda: draw_part_units(PartUnits.of(tensors), "m@1 · units")))
    assert inside(drawn(lambda: draw_unit(PartUnits.of(tensors), 3, "m@1 · unit 3")))


@pytest.mark.parametrize(("height", "width", "channels"), [(1, 784, 1), (100, 60, 3), (6, 6, 3)])
def test_inputs_of_any_shape_are_drawn(height: int, width: int, channels: int) -> None:
    chance = np.random.default_rng(0)
    shape = (height, width, channels)
    pictures = {
        "decoder": (UNITS, *shape),
        "encoder": (UNITS, *shape),
        "class_means": (3, *shape),
        "example_inputs": (2, *shape),
        "optimal_decoders": (PASSES, 3, *shape),
    }
    tensors = planted() | {name: chance.normal(size=size) for name, size in pictures.items()}
    sheet = drawn(lambda: draw_part_units(PartUnits.of(tensors), "m@1 · units"))
    assert inside(sheet)
    assert not boxes_meet(sheet)
    assert inside(drawn(lambda: draw_unit(PartUnits.of(tensors), 3, "m@1 · unit 3")))


def test_many_units_classes_and_passes_make_no_larger_a_picture() -> None:
    """Of a thousand units, of fifty classes and twelve passes some are shown."""
    chance, units, classes = np.random.default_rng(0), 1000, 50
    decoder = chance.normal(size=(units, SIDE, SIDE, 1))
    tensors = {
        "decoder": decoder,
        "encoder": decoder,
        "usage": chance.random(units),
        "explaining_away": chance.normal(size=(units, units)),
        "overlap": chance.normal(size=(units, units)),
        "classifier": chance.normal(size=(classes, units)),
        "class_means": chance.random((20, SIDE, SIDE, 1)),
        "example_inputs": chance.random((8, SIDE, SIDE, 1)),
        "example_codes": chance.random((8, 12, units)) * (chance.random((8, 12, units)) < 0.1),
        "example_passes": np.arange(1, 13),
        "example_labels": np.arange(8),
        "optimal_units": np.arange(18),
        "optimal_decoders": chance.normal(size=(12, 18, SIDE, SIDE, 1)),
    } | {name: chance.random(units) for name in ("angle", "plain_angle", "mean_active", "switched_late")}
    names = [f"a class with a long name {number}" for number in range(classes)]
    sheet = drawn(lambda: draw_part_units(PartUnits.of(tensors), "m@1 · units", names))
    assert inside(sheet)
    assert not boxes_meet(sheet)
    assert sheet.height < 3600
    assert len(picture(lambda: draw_part_units(PartUnits.of(tensors), "m@1 · units", names), "svg")) < 5_000_000


def test_a_picture_is_the_same_every_time() -> None:
    found = PartUnits.of(planted())
    for format in ("png", "svg"):
        first, second = (picture(lambda: draw_part_units(found, "m@1"), format) for _ in range(2))  # type: ignore[arg-type]
        assert first == second
