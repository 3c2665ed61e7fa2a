"""Room around axes, judged by the number of characters that stand there.

The layouts of matplotlib measure every text, which takes longer than the drawing. All
lengths are in inches.
"""

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine

POINT = 1 / 72
CHARACTER = 0.64  # width of one, in sizes of its font
TEXT_SIZE = 10  # points, of numbers and names
EDGE = 0.08  # of the figure
TITLE = 0.34  # above axes
NUMBERS = 0.21  # below axes
LABEL = 0.24  # below or beside the numbers
GAP = 0.07  # between an axis and what stands beside it
OVERHANG = 0.16  # of the last number below axes
LEGEND = 0.13  # around all rows of a legend
LEGEND_ROW = 0.215
BAR_GAP = 0.14  # between a map and its colour bar
BAR_WIDTH = 0.19

ABOVE = TITLE + EDGE
BELOW = NUMBERS + LABEL + EDGE


class Margins(LayoutEngine):
    """Leaves room around plots in `rows` and `columns`, and below all of them for a
    legend of so many rows, its title included."""

    _adjust_compatible = True
    _colorbar_gridspec = True

    def __init__(self, rows: int = 1, columns: int = 1):
        super().__init__()
        self.rows = rows
        self.columns = columns
        self.legend_rows = 0

    def execute(self, fig: Figure) -> None:
        width, height = fig.get_size_inches()
        left = max((_beside(axes, "left") for axes in fig.axes), default=0.0)
        right = max((_beside(axes, "right") for axes in fig.axes), default=0.0)
        right = max(right, OVERHANG)
        below = BELOW
        if self.legend_rows:
            below += LEGEND + self.legend_rows * LEGEND_ROW
        free_width = width - left - right - 2 * EDGE
        free_height = height - ABOVE - below
        between = left + right + GAP
        fig.subplots_adjust(
            left=(left + EDGE) / width,
            right=1 - (right + EDGE) / width,
            bottom=below / height,
            top=1 - ABOVE / height,
            wspace=_share(between, free_width, self.columns),
            hspace=_share(BELOW, free_height, self.rows),
        )


class MapMargins(LayoutEngine):
    """Centres a map of square cells and its colour bar."""

    _adjust_compatible = False
    _colorbar_gridspec = True

    def __init__(self, rows: int, columns: int):
        super().__init__()
        self.rows = rows
        self.columns = columns

    def execute(self, fig: Figure) -> None:
        width, height = fig.get_size_inches()
        axes, *bars = fig.axes
        left = EDGE + _beside(axes, "left")
        right = EDGE
        for bar in bars:
            right += BAR_GAP + BAR_WIDTH + _beside(bar, "right")
        free_width = width - left - right
        free_height = height - ABOVE - BELOW
        cell = min(free_width / self.columns, free_height / self.rows)
        x = left + (free_width - cell * self.columns) / 2
        y = BELOW + (free_height - cell * self.rows) / 2
        y /= height
        high = cell * self.rows / height
        axes.set_position((x / width, y, cell * self.columns / width, high))
        x += cell * self.columns + BAR_GAP
        for bar in bars:
            bar.set_box_aspect(None)
            bar.set_position((x / width, y, BAR_WIDTH / width, high))


def _share(between: float, whole: float, count: int) -> float:
    """Room between neighbours, as a share of one of the `count` that fill the rest of
    `whole`."""
    one = (whole - (count - 1) * between) / count
    return between / one


def _beside(axes: Axes, side: str) -> float:
    """Width of what stands on one side of axes: numbers and label of their vertical
    axis, and names of lines at the right end."""
    found = 0.0
    if axes.yaxis.get_ticks_position() == side:
        found = GAP + _numbers(axes.yaxis)
        if axes.get_ylabel():
            found += LABEL
    if side == "right":
        for text in axes.texts:
            found = max(found, GAP + _width(text.get_text(), TEXT_SIZE))
    return found


def _numbers(axis: Axis) -> float:
    """Width of the widest number at an axis."""
    low, high = sorted(axis.get_view_interval())
    places = [place for place in axis.get_majorticklocs() if low <= place <= high]
    texts = axis.get_major_formatter().format_ticks(places)
    return max((_width(text, TEXT_SIZE) for text in texts), default=0.0)


def _width(text: str, size: float) -> float:
    return len(text) * CHARACTER * size * POINT
