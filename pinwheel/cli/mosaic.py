"""A picture in the terminal: two pixels a character, the upper half block in one colour on the other."""

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text


def blocks(png: bytes, columns: int, rows: int) -> "Text":
    """The picture of a PNG file; what does not fit into so many columns and rows of characters is cut off.

    Made smaller, filters would become gray.
    """
    import numpy as np
    from PIL import Image
    from rich.style import Style
    from rich.text import Text

    picture: Any = Image.open(io.BytesIO(png)).convert("RGB")
    width, height = min(columns, picture.width), min(2 * rows, picture.height + picture.height % 2)
    pixels = np.asarray(picture.crop((0, 0, width, height)))  # black where there is no picture
    text = Text(no_wrap=True)
    for row in range(0, height, 2):
        for upper, lower in zip(pixels[row].tolist(), pixels[row + 1].tolist(), strict=True):
            text.append("▀", Style(color=_rgb(upper), bgcolor=_rgb(lower)))
        text.append("\n")
    return text


def _rgb(pixel: list[int]) -> str:
    return f"rgb({pixel[0]},{pixel[1]},{pixel[2]})"
