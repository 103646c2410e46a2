"""What a notebook shows of an object: a small table, and its picture as part of the page."""

import base64
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from pinwheel.errors import PinwheelError

MOST_PICTURE_BYTES = 2 * 2**20  # a notebook's file holds every picture that it shows
LEFT = "style='text-align:left'"
NARROW, WIDE = 320, 640  # pixels


def card(title: str, rows: Mapping[str, Any], picture: bytes | None = None) -> str:
    """HTML of `rows` that have a value, and of `picture`, the bytes of a PNG."""
    cells = "".join(
        f"<tr><th {LEFT}>{escape(name)}</th><td {LEFT}>{escape(_text(value))}</td></tr>"
        for name, value in rows.items()
        if value is not None and value != ""
    )
    shown = "" if picture is None else image(picture)
    return f"<div><b>{escape(title)}</b><table>{cells}</table>{shown}</div>"


def image(png: bytes) -> str:
    """An `img` that holds its picture, larger where it is small."""
    data = base64.b64encode(png).decode()
    style = f"min-width:{NARROW}px;max-width:{WIDE}px;image-rendering:pixelated"
    return f"<img alt='' style='{style}' src='data:image/png;base64,{data}'>"


def quietly(fetch: Callable[[], Any]) -> bytes | None:
    """A picture, or none where there is none, or none small enough: what shows an object never fails for it."""
    try:
        found: bytes = fetch()
    except (PinwheelError, OSError):
        return None
    return found if len(found) <= MOST_PICTURE_BYTES else None


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
