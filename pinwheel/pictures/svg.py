"""A mosaic as SVG: its pixels as one embedded PNG that is enlarged without blur, and the name of each tile on it."""

from base64 import b64encode
from collections.abc import Sequence
from xml.sax.saxutils import escape

from pinwheel.pictures.mosaic import Layout, Pixels, encode_png


def encode_svg(pixels: Pixels, plan: Layout, tile: tuple[int, int], titles: Sequence[str], title: str) -> bytes:
    """`pixels` as `plan` has them; `tile` is the height and width of a tile in them, `titles` one for each tile."""
    height, width = pixels.shape[:2]
    data = b64encode(encode_png(pixels)).decode()
    rectangles = "".join(
        f'<rect x="{left}" y="{top}" width="{tile[1]}" height="{tile[0]}"><title>{escape(name)}</title></rect>\n'
        for (left, top), name in zip(_corners(plan, tile), titles, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
        f"<title>{escape(title)}</title>\n"
        f'<image width="{width}" height="{height}" style="image-rendering: pixelated" '
        f'href="data:image/png;base64,{data}"/>\n'
        f'<g fill-opacity="0">\n{rectangles}</g>\n</svg>\n'
    ).encode()


def _corners(plan: Layout, tile: tuple[int, int]) -> list[tuple[int, int]]:
    """Left and top of each tile, in drawing order."""
    steps = [(place % plan.cols, place // plan.cols) for place in range(len(plan.units))]
    return [(plan.pad + column * (tile[1] + plan.pad), plan.pad + row * (tile[0] + plan.pad)) for column, row in steps]
