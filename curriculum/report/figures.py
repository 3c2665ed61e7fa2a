"""Draw what happened during training: every function returns a Figure that `save`
writes and `to_array` rasterises.

Letters: T collect records, U evaluations, P seeds. Missing values are nan and are left
out."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Affine2D

from curriculum.report.statistics import bootstrap

BLUE, ORANGE, GREEN, PURPLE, SKY, BROWN = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#B5548F",
    "#56B4E9",
    "#8C5A2B",
)
# after Okabe and Ito, distinct to colour-blind readers
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, BROWN)
STROKES = ("-", "--", "-.", ":")  # the next one each time the colours run out
INK, GREY, GRID, WALL = "#222222", "#6B6B6B", "#E3E3E3", "#555555"
# shows dark arrows
PALE = LinearSegmentedColormap.from_list(
    "pale", ["#FFFBE6", "#BFE3D0", "#62B5CB", "#3D87BF"]
)
DEEP = LinearSegmentedColormap.from_list(
    "deep", ["#E2F1EA", "#8FCFC9", "#3D93BF", "#1F4E96", "#1B1F5E"]
)
STEPS, RETURN = "environment steps of one seed", "return per episode"
WIDTH = 100  # characters of a legend that fit below the axes
# points
SIDES = (
    (0, 8),
    (0, -8),
    (9, 0),
    (-9, 0),
    (7, 6),
    (-7, 6),
    (7, -6),
    (-7, -6),
    (0, 36),
    (0, -36),
    (0, 64),
)


def save(figure: Figure, file: str | PathLike | BinaryIO) -> None:
    """Write `figure` at twice the screen's resolution, in the format that the file's
    ending names (a stream: PNG)."""
    figure.savefig(file, dpi=200)


def to_array(figure: Figure) -> np.ndarray:
    """Rasterise `figure` to uint8 [H, W, 3], 800 pixels wide."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def rate_and_return(
    steps: np.ndarray,
    rate: np.ndarray,
    eval_steps: np.ndarray,
    reward: np.ndarray,
    mixed_reward: np.ndarray | None = None,
    random: float | None = None,
    planner: float | None = None,
) -> Figure:
    """Draw how the planner withdraws, `rate` [T, P] at `steps` [T], and what the
    learner can do without it.

    `reward` [U, P] is the learner alone, `mixed_reward` [U, P] learner and planner at
    the rate of that moment; `random` and `planner` are the returns of random play and
    of the planner."""
    figure, axes = _figure(
        "While the planner withdraws: return of the learner alone", STEPS, RETURN
    )
    _spread(axes, eval_steps, reward, BLUE, "learner alone", zorder=3)
    if mixed_reward is not None:
        _spread(
            axes,
            eval_steps,
            mixed_reward,
            SKY,
            "learner and planner mixed",
            linestyle="--",
        )
    _reference(axes, random, planner, at_end=False)
    axes.yaxis.label.set_color(BLUE)
    right = axes.twinx()
    _spread(right, steps, rate, ORANGE, "planning rate (right axis)", linewidth=1.5)
    _dress(right, "", "", "planning rate (share of actions)")
    right.yaxis.label.set_color(ORANGE)
    right.set_ylim(-0.02, 1.02)
    right.spines[:].set_visible(False)
    return _legend(figure, f"mean and full range of {_count(reward)}")


def return_against_calls(
    calls: np.ndarray,
    reward: np.ndarray,
    random: float | None = None,
    planner: float | None = None,
) -> Figure:
    """Draw what the planner's work bought: `reward` [U, P] of the learner alone against
    planner `calls` [U, P]."""
    figure, axes = _figure(
        "Return of the learner alone for the planner's work",
        "planner calls of one seed",
        RETURN,
    )
    known = np.isfinite(calls) & np.isfinite(reward)
    for seed, keep in enumerate(known.T):
        x, y = calls[keep, seed], reward[keep, seed]
        axes.plot(
            x, y, color=BLUE, alpha=0.35, linewidth=1, label="" if seed else "one seed"
        )
        axes.plot(
            x[-1:],
            y[-1:],
            "o",
            color=BLUE,
            alpha=0.6,
            markersize=5,
            label="" if seed else "its last evaluation",
        )
    some = known.any(-1)
    x, y = (np.ma.array(v, mask=~known)[some].mean(-1) for v in (calls, reward))
    axes.plot(x, y, color=BLUE, linewidth=2.5, label="mean")
    _reference(axes, random, planner)
    return _legend(figure, _count(reward))


def learning_curves(
    arms: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ylabel: str = RETURN,
    random: float | None = None,
    planner: float | Mapping[str, float] | None = None,
) -> Figure:
    """Compare `arms`, name -> (steps [U], values [U, P]): a mean over seeds with its 95
    % bootstrap band each.

    A `planner` for each arm, by name, is a dotted line in the arm's colour."""
    own = planner if isinstance(planner, Mapping) else {}
    figure, axes = _figure("Learning curves", STEPS, ylabel)
    for i, (name, (steps, values)) in enumerate(arms.items()):
        steps, values = _present(steps, values)
        rows = [row[np.isfinite(row)] for row in values]
        bounds = [
            bootstrap(row, lambda x: x.mean(-1), np.random.default_rng(0))
            for row in rows
        ]
        low, high = np.reshape(bounds, (-1, 2)).T
        mean = np.array([row.mean() for row in rows])
        stroke = STROKES[i // len(COLORS) % len(STROKES)]
        _band(
            axes,
            steps,
            mean,
            low,
            high,
            COLORS[i % len(COLORS)],
            name,
            linestyle=stroke,
        )
        if name in own:
            axes.axhline(
                own[name],
                color=COLORS[i % len(COLORS)],
                linestyle=":",
                linewidth=1.5,
                zorder=1,
            )
    _reference(axes, random, None if isinstance(planner, Mapping) else planner)
    dotted = "; dotted: its planner" if own else ""
    return _legend(
        figure,
        f"mean and 95 % bootstrap band over {_count(*(v for _, v in arms.values()))}{dotted}",
    )


def visits(counts: np.ndarray, walls: np.ndarray | None = None) -> Figure:
    """Draw how often each cell was visited, `counts` [rows, cols]; the mask `walls` has
    the same shape."""
    seen = np.ma.masked_less_equal(np.ma.masked_invalid(counts), 0)
    figure, axes = _map("Steps taken in each cell (white: none)", seen.shape, walls)
    low, high = (seen.min(), seen.max()) if seen.count() else (1, 1)
    _scale(
        figure,
        axes,
        axes.imshow(seen, DEEP, LogNorm(low, max(high, 10 * low))),
        "visits",
        EngFormatter(sep=""),
    )
    return figure


def policy_map(
    value: np.ndarray,
    arrow: np.ndarray,
    walls: np.ndarray | None = None,
    goal: tuple[int, int] | None = None,
) -> Figure:
    """Draw `value` [rows, cols] and where the greedy policy moves.

    `arrow` [rows, cols, 2] is the mean movement (d_row, d_col) in cells: a short arrow
    means that opinions differ."""
    hidden = (
        ~np.isfinite(value)
        if walls is None
        else ~np.isfinite(value) | np.asarray(walls, bool)
    )
    title = "Value and greedy policy" + ("" if goal is None else " (star: goal)")
    figure, axes = _map(title, value.shape, walls)
    _scale(
        figure,
        axes,
        axes.imshow(np.ma.array(value, mask=hidden), PALE),
        "value (discounted return)",
    )
    shown = np.isfinite(arrow).all(-1) & np.abs(arrow).any(-1) & ~hidden
    if goal is not None:
        shown[goal] = False
        star = Path.unit_regular_star(5, 0.42).transformed(
            Affine2D().scale(0.42, -0.42).translate(goal[1], goal[0])
        )
        axes.add_patch(PathPatch(star, facecolor=ORANGE, edgecolor="white"))
    row, col = np.nonzero(shown)
    d_row, d_col = arrow[shown].T
    style: dict[str, Any] = {
        "angles": "xy",
        "scale_units": "xy",
        "scale": 1.35,
        "pivot": "mid",
        "units": "xy",
    }
    axes.quiver(
        col,
        row,
        d_col,
        d_row,
        color=INK,
        width=0.06,
        headwidth=4,
        headlength=4,
        headaxislength=3.6,
        **style,
    )
    return figure


def compression(rows: Sequence[tuple[str, float, float, float]]) -> Figure:
    """Draw what a smaller policy costs; `rows` hold (name, bytes of the file, mean
    return, median latency in us).

    Joined points form the front: none beats them in size or return without losing in
    the other."""
    figure, axes = _figure(
        "Compressed policies: return, size and latency",
        "size of the saved policy",
        RETURN,
    )
    rows = sorted(
        (row for row in rows if np.isfinite(row[1:3]).all()), key=lambda row: row[1]
    )
    size, reward = (np.array([row[i] for row in rows], float) for i in (1, 2))
    # [i, j]: what j has over i
    saved, gained = size[:, None] - size, reward - reward[:, None]
    front = ~((saved >= 0) & (gained >= 0) & (saved + gained > 0)).any(-1)
    axes.plot(
        size[front],
        reward[front],
        "o-",
        color=BLUE,
        markersize=8,
        linewidth=1.5,
        zorder=3,
        label="front",
    )
    axes.plot(
        size[~front],
        reward[~front],
        "o",
        color=BLUE,
        markerfacecolor="white",
        markersize=8,
        label="dominated",
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter("B"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(0.14, 0.18)
    _legend(figure, "label: name and median latency")
    time = EngFormatter("s")
    texts = [
        name + (f"\n{time(float(f'{us:.3g}') * 1e-6)}" if np.isfinite(us) else "")
        for name, _, _, us in rows
    ]
    _label(figure, axes, np.column_stack([size, reward]), texts, front)
    return figure


def _figure(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 4.8), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    _dress(axes, title, xlabel, ylabel)
    axes.grid(color=GRID, linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.ticklabel_format(axis="y", useOffset=False)
    return figure, axes


def _dress(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    axes.set_title(title, loc="left", fontsize=13, color=INK, pad=10)
    axes.set_xlabel(xlabel, fontsize=11, color=INK)
    axes.set_ylabel(ylabel, fontsize=11, color=INK)
    axes.tick_params(length=0, labelsize=10, labelcolor=GREY)
    axes.spines[:].set_color("#BBBBBB")
    axes.set_axisbelow(True)


def _legend(figure: Figure, title: str) -> Figure:
    """Explain the lines below the axes, where nothing is hidden."""
    handles = [h for axes in figure.axes for h in axes.get_legend_handles_labels()[0]]
    columns = WIDTH // (6 + max((len(str(h.get_label())) for h in handles), default=0))
    where: dict[str, Any] = {
        "loc": "outside lower center",
        "ncols": min(max(columns, 1), 3),
    }
    legend = figure.legend(
        handles=handles, title=title, fontsize=10, frameon=False, **where
    )
    legend.get_title().set(fontsize=10, color=GREY)
    return figure


def _count(*values: np.ndarray) -> str:
    """Say how many seeds (last axis) have any value."""
    seeds = sorted(int(np.isfinite(v).any(0).sum()) for v in values) or [0]
    few, many = seeds[0], seeds[-1]
    return (
        f"{many} seed{'s' * (many != 1)}" if few == many else f"{few} to {many} seeds"
    )


def _present(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    keep = np.isfinite(values).any(-1)  # rows in which any seed has a value
    return np.asarray(steps)[keep], np.asarray(values)[keep]


def _spread(
    axes: Axes,
    steps: np.ndarray,
    values: np.ndarray,
    color: str,
    label: str,
    **line: Any,
) -> None:
    """Draw mean and full range over seeds of `values` [U, P]."""
    steps, values = _present(steps, values)
    known = np.ma.masked_invalid(values)
    _band(
        axes, steps, known.mean(-1), known.min(-1), known.max(-1), color, label, **line
    )


def _band(
    axes: Axes,
    x: np.ndarray,
    mean: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    color: str,
    label: str,
    **line: Any,
) -> None:
    axes.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
    marker = "o" if len(x) == 1 else ""  # a line of one point would be invisible
    axes.plot(
        x, mean, color=color, label=label, marker=marker, **{"linewidth": 2, **line}
    )


def _reference(
    axes: Axes, random: float | None, planner: float | None, at_end: bool = True
) -> None:
    """Mark the returns of random play and of the planner, named at the right end or
    else in the legend."""
    for level, name, color in (
        (planner, "planner", INK),
        (random, "random play", GREY),
    ):
        if level is not None and np.isfinite(level):
            axes.axhline(
                level,
                color=color,
                linestyle=":",
                linewidth=1.5,
                label="" if at_end else name,
            )
            if at_end:
                where: dict[str, Any] = {
                    "xycoords": axes.get_yaxis_transform(),
                    "textcoords": "offset points",
                }
                axes.annotate(
                    name,
                    (1, level),
                    (5, 0),
                    va="center",
                    color=color,
                    fontsize=10,
                    **where,
                )


def _map(
    title: str, shape: tuple[int, ...], walls: np.ndarray | None
) -> tuple[Figure, Axes]:
    """Prepare a map of cells [rows, cols] with its walls hatched."""
    rows, cols = shape
    figure = Figure(
        figsize=(8, float(np.clip(6.2 * rows / cols + 1, 3, 7))),
        dpi=100,
        layout="compressed",
    )
    axes = figure.add_subplot()
    _dress(axes, title, "column (cells)", "row (cells)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(10, integer=True))
    for row, col in np.argwhere(np.zeros(shape) if walls is None else walls):
        axes.add_patch(
            Rectangle(
                (col - 0.5, row - 0.5),
                1,
                1,
                facecolor=WALL,
                edgecolor="#7D7D7D",
                hatch="////",
                lw=0,
            )
        )
    return figure, axes


def _scale(
    figure: Figure,
    axes: Axes,
    image: ScalarMappable,
    label: str,
    formatter: EngFormatter | None = None,
) -> None:
    bar = figure.colorbar(image, ax=axes, format=formatter, pad=0.02, aspect=30)
    bar.outline.set_visible(False)
    bar.ax.tick_params(which="both", length=0, labelsize=10, labelcolor=GREY)
    bar.set_label(label, fontsize=11, color=INK)


def _label(
    figure: Figure,
    axes: Axes,
    points: np.ndarray,
    texts: Sequence[str],
    front: np.ndarray,
) -> None:
    """Label `points` [n, 2], each on the first side where its text meets no point, no
    other text and not the front."""
    figure.draw_without_rendering()  # fixes the layout, so that texts have a size
    pixels = axes.transData.transform(points)
    line = pixels[front]
    obstacles = np.concatenate([pixels, *np.linspace(line[:-1], line[1:], 50)])
    taken: list[Any] = []
    for point, text in zip(points, texts, strict=True):
        for x, y in SIDES:
            align: dict[str, Any] = {"ha": ("center", "left", "right")[np.sign(x)]}
            align["va"] = ("center", "bottom", "top")[np.sign(y)]
            note = axes.annotate(
                text,
                tuple(point),
                (x, y),
                textcoords="offset points",
                fontsize=9,
                color=INK,
                **align,
            )
            box = note.get_window_extent()
            if not (
                box.count_overlaps(taken) or box.padded(3).count_contains(obstacles)
            ):
                break
            if (x, y) != SIDES[-1]:
                note.remove()
        taken.append(box)
