"""How all figures look: colours, axes, legends and lines that several of them draw."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, MaxNLocator

from curriculum.report.margins import MapMargins, Margins

# after Okabe and Ito, distinguishable by colour-blind readers
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
PURPLE = "#B5548F"
SKY = "#56B4E9"
BROWN = "#8C5A2B"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, BROWN)
STROKES = ("-", "--", "-.", ":")  # the next one each time the colours run out

INK = "#222222"
GREY = "#6B6B6B"
FRAME = "#BBBBBB"
GRID = "#E3E3E3"
WALL = "#555555"
HATCH = "#7D7D7D"
# light enough to show dark arrows
PALE = LinearSegmentedColormap.from_list(
    "pale", ["#FFFBE6", "#BFE3D0", "#62B5CB", "#3D87BF"]
)
DEEP = LinearSegmentedColormap.from_list(
    "deep", ["#E2F1EA", "#8FCFC9", "#3D93BF", "#1F4E96", "#1B1F5E"]
)

TITLE_SIZE = 13  # points
LABEL_SIZE = 11
TEXT_SIZE = 10
DPI = 100
WIDTH = 8.0  # inches
HEIGHT = 4.8  # inches, of a plot
PANEL_HEIGHT = 2.6  # inches, of a row of panels
PANEL_MARGIN = 1.1  # inches, for title and legend
HIGHEST = 1.6  # of stacked plots: height of the first, in heights of another
# inches, of a map: shape times MAP_WIDTH, and room for the title
MAP_WIDTH = 6.2
MAP_MARGIN = 1.0
MAP_HEIGHTS = (3, 7)  # the lowest and the highest

LEGEND_CHARACTERS = 100  # that fit into one row of the legend of a full width
LEGEND_HANDLE = 6  # characters as wide as the handle of an entry
LEGEND_COLUMNS = 3  # at most


def plot(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """Prepare a plot with a grid."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout=Margins())
    axes = figure.add_subplot()
    _grid(axes, title, xlabel, ylabel)
    return figure, axes


def _grid(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    dress(axes, title, xlabel, ylabel)
    axes.grid(color=GRID, linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.ticklabel_format(axis="y", useOffset=False)


def panels(
    title: str, names: Sequence[str], xlabel: str, share_x: bool = True
) -> tuple[Figure, list[Axes]]:
    """Prepare plots in two columns, one for each name, that may share their x axis."""
    rows = max(-(-len(names) // 2), 1)
    height = rows * PANEL_HEIGHT + PANEL_MARGIN
    columns = min(len(names), 2)
    margins = Margins(rows, max(columns, 1))
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout=margins)
    grid: list[Axes] = []
    for index, name in enumerate(names):
        first = grid[0] if grid and share_x else None
        axes = figure.add_subplot(rows, columns, index + 1, sharex=first)
        _grid(axes, "" if grid else title, xlabel, name)
        grid.append(axes)
    return figure, grid


def stacked(
    title: str, xlabels: Sequence[str], ylabel: str
) -> tuple[Figure, list[Axes]]:
    """Prepare plots below one another, one for each x axis, that share their y axis;
    the first is the highest."""
    rows = len(xlabels)
    height = HEIGHT + (rows - 1) * PANEL_HEIGHT
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout=Margins(rows))
    heights = [HIGHEST, *[1] * (rows - 1)]
    cells = figure.add_gridspec(rows, 1, height_ratios=heights)
    drawn: list[Axes] = []
    for row, xlabel in enumerate(xlabels):
        first = drawn[0] if drawn else None
        axes = figure.add_subplot(cells[row], sharey=first)
        _grid(axes, "" if row else title, xlabel, ylabel)
        drawn.append(axes)
    return figure, drawn


def cell_map(
    title: str, shape: tuple[int, ...], walls: np.ndarray | None
) -> tuple[Figure, Axes]:
    """Prepare a map of cells [rows, cols] with its walls hatched."""
    rows, cols = shape
    height = float(np.clip(MAP_WIDTH * rows / cols + MAP_MARGIN, *MAP_HEIGHTS))
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout=MapMargins(rows, cols))
    axes = figure.add_subplot()
    dress(axes, title, "column (cells)", "row (cells)")
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.set_aspect("equal")
    axes.set_xlim(-0.5, cols - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)  # the axis of rows points down
    if walls is not None:
        for row, col in np.argwhere(walls):
            axes.add_patch(_wall(row, col))
    return figure, axes


def cells(
    axes: Axes,
    values: np.ma.MaskedArray,
    colors: Colormap,
    norm: Normalize | None = None,
) -> QuadMesh:
    """Colour the cells of a map by `values` [rows, cols]; masked ones stay white."""
    rows, cols = values.shape
    across = np.arange(cols + 1) - 0.5
    down = np.arange(rows + 1) - 0.5
    # a picture of so few pixels takes ten times as long to enlarge
    return axes.pcolormesh(
        across,
        down,
        values,
        cmap=colors,
        norm=norm,
        zorder=0,
        antialiased=False,
        snap=True,
    )


def _wall(row: int, col: int) -> Rectangle:
    corner = (col - 0.5, row - 0.5)
    return Rectangle(
        corner, 1, 1, facecolor=WALL, edgecolor=HATCH, hatch="////", linewidth=0
    )


def dress(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    """Label axes, and style their frame and ticks."""
    # with a y of its own the title need not be kept off what is drawn above the axes
    axes.set_title(title, loc="left", y=1, fontsize=TITLE_SIZE, color=INK, pad=10)
    axes.set_xlabel(xlabel, fontsize=LABEL_SIZE, color=INK)
    axes.set_ylabel(ylabel, fontsize=LABEL_SIZE, color=INK)
    axes.tick_params(length=0, labelsize=TEXT_SIZE, labelcolor=GREY)
    axes.spines[:].set_color(FRAME)
    axes.set_axisbelow(True)


def legend(figure: Figure, title: str) -> Figure:
    """Explain the lines below the axes, where the legend hides nothing."""
    handles = []
    for axes in figure.axes:
        handles += axes.get_legend_handles_labels()[0]
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    characters = LEGEND_CHARACTERS * figure.get_figwidth() / WIDTH
    columns = int(characters / (LEGEND_HANDLE + longest))
    columns = int(np.clip(columns, 1, LEGEND_COLUMNS))
    drawn = figure.legend(
        handles=handles,
        title=title,
        fontsize=TEXT_SIZE,
        frameon=False,
        loc="lower center",
        ncols=columns,
    )
    drawn.get_title().set(fontsize=TEXT_SIZE, color=GREY)
    margins = figure.get_layout_engine()
    if isinstance(margins, Margins):
        margins.legend_rows = -(-len(handles) // columns) + bool(title)
    return figure


def color_bar(
    figure: Figure,
    axes: Axes,
    image: ScalarMappable,
    label: str,
    formatter: EngFormatter | None = None,
) -> None:
    """Explain the colours of `image` beside the axes."""
    bar = figure.colorbar(image, ax=axes, format=formatter, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    bar.minorticks_off()
    bar.ax.tick_params(which="both", length=0, labelsize=TEXT_SIZE, labelcolor=GREY)
    bar.set_label(label, fontsize=LABEL_SIZE, color=INK)


def band(
    axes: Axes,
    x: np.ndarray,
    mean: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    color: str,
    label: str,
    linestyle: str = "-",
    linewidth: float = 2,
    zorder: float = 2,
) -> None:
    """Draw a mean with a shaded band from `low` to `high`."""
    axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
    marker = "o" if len(x) == 1 else ""  # a line of one point would be invisible
    axes.plot(
        x,
        mean,
        color=color,
        label=label,
        marker=marker,
        linestyle=linestyle,
        linewidth=linewidth,
        zorder=zorder,
    )


def spread(
    axes: Axes,
    steps: np.ndarray,
    values: np.ndarray,
    color: str,
    label: str,
    **line: Any,
) -> None:
    """Draw mean and full range over seeds of `values` [U, P] at `steps` [U]."""
    steps, values = evaluated(steps, values)
    known = np.ma.masked_invalid(values)
    mean = known.mean(-1)
    band(axes, steps, mean, known.min(-1), known.max(-1), color, label, **line)


def evaluated(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The steps [U] and values [U, P] at which any seed has a value."""
    keep = np.isfinite(values).any(-1)
    return np.asarray(steps)[keep], np.asarray(values)[keep]


def look(index: int) -> tuple[str, str]:
    """The colour and the stroke of one of several curves."""
    color = COLORS[index % len(COLORS)]
    return color, STROKES[index // len(COLORS) % len(STROKES)]


def seed_count(*values: np.ndarray) -> str:
    """Say how many seeds (last axis) have any value."""
    counts = [int(np.isfinite(each).any(0).sum()) for each in values] or [0]
    fewest = min(counts)
    most = max(counts)
    if fewest != most:
        return f"{fewest} to {most} seeds"
    return "1 seed" if most == 1 else f"{most} seeds"


def level(axes: Axes, value: float | None, color: str, label: str = "") -> None:
    """Draw a dotted horizontal line, unless its value is unknown."""
    if value is not None and np.isfinite(value):
        axes.axhline(value, color=color, linestyle=":", linewidth=1.5, label=label)


def named_level(axes: Axes, value: float | None, color: str, name: str) -> None:
    """Draw a dotted horizontal line with its name at the right end."""
    if value is None or not np.isfinite(value):
        return
    level(axes, value, color)
    name_beside(axes, value, color, name)


def name_beside(axes: Axes, y: float, color: str, name: str) -> None:
    """Write something right of the axes, at height `y`."""
    where: dict[str, Any] = {
        "xycoords": axes.get_yaxis_transform(),
        "textcoords": "offset points",
    }
    axes.annotate(
        name,
        (1, y),
        (5, 0),
        va="center",
        color=color,
        fontsize=TEXT_SIZE,
        **where,
    )
