"""The sheet: exact pixels, the same bytes in every process, nothing loaded or left behind that need not be."""

import hashlib
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from pinwheel.errors import InvalidRequest
from pinwheel.pictures.invariance import draw_invariance
from pinwheel.pictures.mosaic import MosaicOptions, layout, mosaic
from pinwheel.pictures.sheet import Sheet, picture
from pinwheel.pictures.svg import encode_svg
from pinwheel.pictures.tiles import unit_tiles
from pinwheel.pictures.usage import draw_usage

ROOT = Path(__file__).parents[3]
USAGE = np.geomspace(1e-3, 0.5, 40)
DRAW = """
import hashlib, sys
import numpy as np
from pinwheel.pictures.usage import draw_usage
from pinwheel.pictures.sheet import picture
assert "matplotlib" not in sys.modules
for format in ("png", "svg"):
    print(hashlib.sha256(picture(lambda: draw_usage(np.geomspace(1e-3, 0.5, 40), "m@1"), format)).hexdigest())
assert "matplotlib.pyplot" not in sys.modules
"""


def drawn(sheet_of_tiles: np.ndarray, scale: int, left: float, top: float) -> np.ndarray:
    def draw() -> Sheet:
        sheet = Sheet(400, 300, "")
        sheet.tile(sheet_of_tiles, left, top, scale)
        return sheet

    return np.asarray(Image.open(io.BytesIO(picture(draw, "png"))))


@pytest.mark.parametrize("scale", [1, 2, 3, 7])
@pytest.mark.parametrize(("left", "top"), [(0, 0), (31, 97), (50.4, 60.6)])
def test_a_tile_is_drawn_pixel_by_pixel(scale: int, left: float, top: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    found = drawn(pixels, scale, left, top)
    assert found.shape == (300, 400, 3)
    area = found[round(top) : round(top) + 9 * scale, round(left) : round(left) + 13 * scale]
    assert (area == pixels.repeat(scale, 0).repeat(scale, 1)).all()
    outside = np.ones(found.shape[:2], bool)
    outside[round(top) : round(top) + 9 * scale, round(left) : round(left) + 13 * scale] = False
    assert (found[outside] == 255).all()


def test_other_processes_draw_the_same_bytes_also_without_a_home(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPL"))}
    home = tmp_path / "home"
    home.write_text("no folder can be made here")
    line = [sys.executable, "-c", DRAW]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environment | {"HOME": str(home)})
    assert done.returncode == 0, done.stderr
    here = [picture(lambda: draw_usage(USAGE, "m@1"), format) for format in ("png", "svg")]
    assert done.stdout.split() == [hashlib.sha256(content).hexdigest() for content in here]


def test_several_threads_draw_what_one_draws() -> None:
    alone = picture(lambda: draw_usage(USAGE, "m@1"), "svg")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: picture(lambda: draw_usage(USAGE, "m@1"), "svg"), range(8)))
    assert found == [alone] * 8


def test_the_style_of_the_process_stays_as_it_was() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    picture(lambda: draw_usage(USAGE, "m@1"), "png")
    assert dict(mpl.rcParams) == before


def test_a_sheet_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="10000 × 3000"):
        picture(lambda: Sheet(10_000, 3_000, ""), "png")


def test_names_with_signs_of_mathematics_are_plain_text() -> None:
    drawing = picture(lambda: draw_usage(USAGE, "a_b^2 $x$ <m>@1"), "svg")
    assert b"<dc:title>a_b^2 $x$ &lt;m&gt;@1</dc:title>" in drawing
    ElementTree.fromstring(drawing)  # noqa: S314  our own


def test_charts_are_drawn_for_the_curves_that_there_are() -> None:
    shift = {"pixels_moved": [0, 1], "pixels": [0, 1.2], "code": [0, 0.5], "pooled": [0, 0.2]}
    both = {"shift": shift, "rotation": {"degrees": [0, 9], "pixels": [0, 1], "code": [0, 1], "pooled": None}}
    two = Image.open(io.BytesIO(picture(lambda: draw_invariance(both, "m@1"), "png")))
    one = Image.open(io.BytesIO(picture(lambda: draw_invariance({"shift": shift}, "m@1"), "png")))
    assert two.height == one.height
    assert two.width > one.width


@pytest.mark.parametrize("usage", [np.zeros(5), np.ones(5), np.array([0.3]), np.array([0, 1e-9, 1.0])])
def test_any_usage_can_be_drawn(usage: np.ndarray) -> None:
    assert Image.open(io.BytesIO(picture(lambda: draw_usage(usage, "m@1"), "png"))).width > 1000


def test_small_filters_become_larger_by_whole_pixels_and_large_ones_smaller() -> None:
    small = unit_tiles(np.random.default_rng(0).normal(size=(3, 10, 16, 1)), 56)
    assert (small.scale, small.height, small.width) == (3, 30, 48)
    large = unit_tiles(np.random.default_rng(0).normal(size=(3, 100, 50, 3)), 40)
    assert (large.scale, large.pixels.shape) == (1, (3, 40, 20, 3))
    with pytest.raises(InvalidRequest, match="7 channels"):
        unit_tiles(np.zeros((1, 2, 2, 7)), 40)


def test_titles_of_an_svg_stand_on_their_tiles() -> None:
    filters = np.random.default_rng(0).normal(size=(5, 4, 6, 1))
    options = MosaicOptions(cols=3, scale=2, pad=1)
    plan = layout(filters, options)
    names = [f"<{unit}>" for unit in plan.units]
    drawing = ElementTree.fromstring(encode_svg(mosaic(filters, options), plan, (8, 12), names, "all"))  # noqa: S314
    rectangles = list(drawing.iter("{http://www.w3.org/2000/svg}rect"))
    assert [(found.attrib["x"], found.attrib["y"], found[0].text) for found in rectangles] == [
        ("1", "1", "<0>"), ("14", "1", "<1>"), ("27", "1", "<2>"), ("1", "10", "<3>"), ("14", "10", "<4>"),
    ]  # fmt: skip
