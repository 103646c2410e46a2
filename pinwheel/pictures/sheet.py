"""The sheet that maps and charts are drawn on: tiles of exact pixels, thin lines and text, in one style.

One unit of length is one pixel, counted from the upper left corner. matplotlib draws, by its object interface and
loaded only here: it takes a second. It keeps settings for a whole process, so one sheet is drawn at a time.
"""

import io
import re
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pinwheel.errors import InvalidRequest
from pinwheel.pictures.mosaic import encode_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Locator

Pixels = NDArray[np.uint8]
Point = tuple[float, float]
SheetFormat = Literal["png", "svg"]

INK, FAINT, LINE, PAPER = "#1c1f24", "#6b7280", "#dcdad5", "#ffffff"
# Of the palette of M. Okabe and K. Ito, which people with any colour vision can tell apart.
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
SCALE_COLORS = "cividis"  # dark blue to light yellow, the same to all eyes
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 17, 12.5, 10.5
MARGIN, HEADER = 28, 72
MAX_SHEET_PIXELS = 16_000_000  # some 300 MB while it is drawn

STYLE: Any = {
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.labelsize": TEXT_SIZE,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": TEXT_SIZE,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "font.family": "DejaVu Sans",
    "font.size": TEXT_SIZE,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "image.composite_image": False,  # each tile stays an image of its own
    "lines.solid_capstyle": "round",
    "svg.fonttype": "path",
    "svg.hashsalt": "pinwheel",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": SMALL_SIZE,
}
_DRAWING = threading.Lock()


class Sheet:
    """A white sheet with a title. Made only inside `picture`, which holds the style."""

    def __init__(self, width: float, height: float, title: str, subtitle: str = "") -> None:
        from matplotlib.figure import Figure

        width = max(width, 2 * MARGIN + 0.56 * TEXT_SIZE * len(subtitle), 2 * MARGIN + 0.68 * TITLE_SIZE * len(title))
        check_size(width, height)
        self.width, self.height = round(width), round(height)
        self.title = title
        self.tiles: list[tuple[Pixels, int, int, int]] = []
        # 72 dots an inch: a point is a pixel.
        self.figure = Figure(figsize=(self.width / 72, self.height / 72), dpi=72, facecolor=PAPER)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        self.text(MARGIN, MARGIN + 8, title, size=TITLE_SIZE, weight="bold")
        self.text(MARGIN, MARGIN + 29, subtitle, color=FAINT)

    def tile(self, pixels: Pixels, left: float, top: float, scale: int = 1) -> None:
        """`pixels` (height, width, 1 or 3), each `scale` pixels a side on the sheet, from that upper left corner on."""
        self.tiles.append((np.broadcast_to(pixels, (*pixels.shape[:2], 3)), round(left), round(top), scale))

    def text(self, x: float, y: float, text: str, size: float = TEXT_SIZE, color: str = INK, **more: Any) -> None:
        """One line, its left end and the middle of its height at the point unless `ha` or `va` say otherwise."""
        self.axes.text(x, y, text, **{"fontsize": size, "color": color, "va": "center", "zorder": 5, **more})

    def lines(self, paths: NDArray[np.float64], color: str = LINE, width: float = 1.0, order: float = 2) -> None:
        """`paths` (lines, points, x and y)."""
        from matplotlib.collections import LineCollection

        self.axes.add_collection(
            LineCollection(list(paths), colors=color, linewidths=width, zorder=order),
            autolim=False,
        )

    def frame(self, left: float, top: float, width: float, height: float, color: str, line: float = 1.5) -> None:
        """A rectangle's outline, above the tiles."""
        from matplotlib.patches import Rectangle

        self.axes.add_patch(
            Rectangle((left, top), width, height, fill=False, edgecolor=color, linewidth=line, zorder=4)
        )

    def bar(self, left: float, top: float, width: float, height: float, color: str) -> None:
        from matplotlib.patches import Rectangle

        self.axes.add_patch(Rectangle((left, top), width, height, facecolor=color, linewidth=0, zorder=3))

    def chart(self, left: float, top: float, width: float, height: float, **settings: Any) -> "Axes":
        """Axes whose frame stands there."""
        place = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(place)
        axes.set(**settings)
        return axes

    def color_bar(self, axes: "Axes", shades: Any) -> None:
        """A bar of the colours `shades` that fills `axes`, lying or standing as they do."""
        lies = axes.bbox.width > axes.bbox.height
        bar = self.figure.colorbar(shades, cax=axes, orientation="horizontal" if lies else "vertical")
        bar.outline.set_visible(False)
        bar.locator = _few_ticks()
        bar.update_ticks()

    def png(self, text: Mapping[str, str]) -> bytes:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        # All tiles as one: thousands of small pictures would take a minute.
        whole = np.zeros((self.height, self.width, 4), np.uint8)
        for pixels, left, top, scale in self.tiles:
            enlarged = pixels.repeat(scale, 0).repeat(scale, 1)
            area = whole[top : top + len(enlarged), left : left + enlarged.shape[1]]
            area[..., :3], area[..., 3] = enlarged, 255
        self._show(whole, 0, 0, 1)
        canvas: Any = FigureCanvasAgg(self.figure)
        canvas.draw()
        return encode_png(np.asarray(canvas.buffer_rgba())[..., :3].copy(), text)

    def svg(self) -> bytes:
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        for tile in self.tiles:
            self._show(*tile)
        buffer = io.BytesIO()
        about = {"Title": self.title, "Creator": "Pinwheel", "Date": None}
        canvas: Any = FigureCanvasSVG(self.figure)
        canvas.print_svg(buffer, metadata=about)
        # The same size on the screen as the PNG: what it calls points are pixels here.
        head, rest = buffer.getvalue().split(b"viewBox", 1)
        return re.sub(rb'="([\d.]+)pt"', rb'="\1"', head) + b"viewBox" + rest

    def _show(self, pixels: Pixels, left: int, top: int, scale: int) -> None:
        height, width = pixels.shape[:2]
        extent = (left, left + width * scale, top + height * scale, top)
        self.axes.imshow(pixels, extent=extent, interpolation="none", aspect="auto", zorder=3)
        # A picture moves the limits of the axes that it stands in.
        self.axes.set(xlim=(0, self.width), ylim=(self.height, 0))


def _few_ticks() -> "Locator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def picture(draw: Callable[[], Sheet], format: SheetFormat, text: Mapping[str, str] | None = None) -> bytes:
    """What `draw` draws, as a file; the same bytes every time. Only PNG carries `text`."""
    from matplotlib import rc_context

    with _DRAWING, rc_context(STYLE):
        sheet = draw()
        return sheet.png(text or {}) if format == "png" else sheet.svg()


def check_size(width: float, height: float) -> None:
    """Raises `InvalidRequest` for a sheet that would take too much memory."""
    if width * height > MAX_SHEET_PIXELS:
        raise InvalidRequest(
            f"The picture would have {width:.0f} × {height:.0f} pixels; at most {MAX_SHEET_PIXELS} are drawn. "
            "Ask for json."
        )
