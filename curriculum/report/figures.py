"""Figures of a training run: each function returns a Figure.

`save` writes a figure, `picture` makes a PNG file of it. Letters: T collect
records, U evaluations, P seeds. Missing values are nan and are left out.
"""

import pathlib
from collections.abc import Mapping
from os import PathLike
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import EngFormatter
from matplotlib.transforms import Affine2D

from curriculum.files import replacing
from curriculum.report import png, style
from curriculum.report.statistics import bootstrap
from curriculum.report.style import BLUE, COLORS, GREY, INK, ORANGE

STEPS = "environment steps of one seed"
UPDATES = "updates of the offline phase"
RETURN = "return per episode"
DATA = "mean of the data"
FILE_DPI = 200
SCREEN_DPI = 100
ARROWS: dict[str, Any] = {
    "angles": "xy",
    "scale_units": "xy",
    "scale": 1.35,
    "pivot": "mid",
    "units": "xy",
    "width": 0.06,
    "headwidth": 4,
    "headlength": 4,
    "headaxislength": 3.6,
}
STAR_RADIUS = 0.42  # cells; also the ratio of its inner to its outer radius


class Picture(NamedTuple):
    """A figure as a PNG file."""

    png: bytes
    height: int  # pixels
    width: int


def save(figure: Figure, file: str | PathLike | BinaryIO) -> None:
    """Write `figure` at twice the screen's resolution, in the format of the file's
    suffix (a stream: PNG)."""
    if not isinstance(file, str | PathLike):
        figure.savefig(file, dpi=FILE_DPI)
        return
    path = pathlib.Path(file)
    with replacing(path) as draft:
        figure.savefig(draft, dpi=FILE_DPI, format=path.suffix.lstrip(".") or "png")


def picture(figure: Figure, dpi: int = FILE_DPI) -> Picture:
    """Draw `figure`, by default at twice the screen's resolution, 1,600 pixels wide."""
    pixels = render(figure, dpi)
    height, width, _ = pixels.shape
    return Picture(png.encoded(pixels, dpi), height, width)


def render(figure: Figure, dpi: int = FILE_DPI) -> np.ndarray:
    """The pixels of `picture`, uint8 [height, width, 3]."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def learning_curves(
    arms: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ylabel: str = RETURN,
    random: float | None = None,
    planner: float | Mapping[str, float] | None = None,
    xlabel: str = STEPS,
    data: float | None = None,
) -> Figure:
    """Compare `arms`, name -> (steps [U], values [U, P]): the mean over seeds of each
    with a 95 % bootstrap band.

    If `planner` has values for arms, by name, each is a dotted line in the arm's
    colour. `data` is the mean return of the data of all arms."""
    figure, axes = style.plot("Learning curves", xlabel, ylabel)
    planner_of = planner if isinstance(planner, Mapping) else {}
    for index, (name, (steps, values)) in enumerate(arms.items()):
        color, stroke = style.look(index)
        bootstrapped(axes, steps, values, color, name, stroke)
        if name in planner_of:
            axes.axhline(
                planner_of[name], color=color, linestyle=":", linewidth=1.5, zorder=1
            )
    _name_levels(axes, random, None if isinstance(planner, Mapping) else planner)
    style.named_level(axes, data, INK, DATA)
    seeds = style.seed_count(*(values for _, values in arms.values()))
    title = f"mean and 95 % bootstrap band over {seeds}"
    if planner_of:
        title += "; dotted: its planner"
    return style.legend(figure, title)


def offline(
    updates: np.ndarray,
    losses: Mapping[str, np.ndarray],
    eval_updates: np.ndarray,
    reward: np.ndarray,
    random: float | None = None,
    planner: float | None = None,
    data: float | None = None,
) -> Figure:
    """Draw the offline phase: each of `losses`, [T, P] at `updates` [T], in a panel of
    its own, and the return of the learner alone, `reward` [U, P].

    `random`, `planner` and `data` are the returns of random play, of the planner and of
    the data, None or nan where unknown."""
    panels = [(f"loss {name}", updates, values) for name, values in losses.items()]
    if np.isfinite(reward).any():
        panels.insert(0, (RETURN, eval_updates, reward))
    title = "The offline phase: losses on data"
    figure, grid = style.panels(title, [name for name, *_ in panels], UPDATES)
    for axes, (name, x, values), color in zip(grid, panels, COLORS * 9, strict=False):
        style.spread(axes, x, values, BLUE if name == RETURN else color, "")
        if name == RETURN:
            style.level(axes, planner, INK, "planner")
            style.level(axes, data, INK, DATA)
            style.level(axes, random, GREY, "random play")
    counts = style.seed_count(*(values for _, _, values in panels))
    return style.legend(figure, f"mean and full range of {counts}")


def visits(counts: np.ndarray, walls: np.ndarray | None = None) -> Figure:
    """Draw how often each cell was visited, `counts` [rows, cols]; the mask `walls` has
    the same shape."""
    visited = np.ma.masked_less_equal(np.ma.masked_invalid(counts), 0)
    title = "Steps taken in each cell (white: none)"
    figure, axes = style.cell_map(title, visited.shape, walls)
    low = visited.min() if visited.count() else 1
    high = visited.max() if visited.count() else 1
    norm = LogNorm(low, max(high, 10 * low))
    cells = style.cells(axes, visited, style.DEEP, norm)
    style.color_bar(figure, axes, cells, "visits", EngFormatter(sep=""))
    return figure


def policy_map(
    value: np.ndarray,
    arrow: np.ndarray,
    walls: np.ndarray | None = None,
    goal: tuple[int, int] | None = None,
) -> Figure:
    """Draw `value` [rows, cols] and where the greedy policy moves.

    `arrow` [rows, cols, 2] is the mean movement (d_row, d_col) in cells: a short arrow
    means that the headings of one cell, or the seeds, disagree."""
    hidden = ~np.isfinite(value)
    if walls is not None:
        hidden |= np.asarray(walls, bool)
    title = "Value and greedy policy"
    if goal is not None:
        title += " (star: goal)"
    figure, axes = style.cell_map(title, value.shape, walls)
    cells = style.cells(axes, np.ma.array(value, mask=hidden), style.PALE)
    style.color_bar(figure, axes, cells, "value (discounted return)")
    shown = np.isfinite(arrow).all(-1) & np.abs(arrow).any(-1) & ~hidden
    if goal is not None:
        shown[goal] = False
        axes.add_patch(_star(*goal))
    row, col = np.nonzero(shown)
    d_row, d_col = arrow[shown].T
    axes.quiver(col, row, d_col, d_row, color=INK, **ARROWS)
    return figure


def bootstrapped(
    axes: Axes,
    steps: np.ndarray,
    values: np.ndarray,
    color: str,
    label: str,
    stroke: str,
) -> None:
    """Draw mean and 95 % bootstrap band over seeds of `values` [U, P]."""
    steps, values = style.evaluated(steps, values)
    mean = np.empty(len(steps))
    low = np.empty(len(steps))
    high = np.empty(len(steps))
    for index, row in enumerate(values):
        known = row[np.isfinite(row)]
        mean[index] = known.mean()
        rng = np.random.default_rng(0)
        low[index], high[index] = bootstrap(known, lambda x: x.mean(-1), rng)
    style.band(axes, steps, mean, low, high, color, label, linestyle=stroke)


def _name_levels(axes: Axes, random: float | None, planner: float | None) -> None:
    """Mark the returns of random play and of the planner."""
    style.named_level(axes, planner, INK, "planner")
    style.named_level(axes, random, GREY, "random play")


def _star(row: int, col: int) -> PathPatch:
    star = Path.unit_regular_star(5, STAR_RADIUS)
    # the axis of rows points down
    to_cell = Affine2D().scale(STAR_RADIUS, -STAR_RADIUS).translate(col, row)
    return PathPatch(star.transformed(to_cell), facecolor=ORANGE, edgecolor="white")
