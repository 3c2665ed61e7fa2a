"""Figures of `python -m curriculum.diagnose`: each function returns a Figure.

Letters: P seeds, n states.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from curriculum.report import style
from curriculum.report.style import BLUE, COLORS, GREY, INK, ORANGE, STROKES

BINS = 40  # of a histogram of values
GROUPS = 10  # equally many states each, whose means are drawn
QUANTILES = (0.005, 0.995)  # of the values that are drawn
POINTS = 101  # of a cumulative share
MOST_POINTS = 400  # states that are drawn


class Calibration(NamedTuple):
    """Values beside returns, [P, n] each, finite both."""

    value: np.ndarray
    returns: np.ndarray  # [n] or [P, n]
    rollout_value: np.ndarray  # [P, E], may be nan
    rollout_returns: np.ndarray  # [P, E], may be nan


def value_histogram(runs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw the values of the data's actions and of the policy's, [P, n] each, a panel
    for each run."""
    title = "Q of the data's actions and of the policy's"
    xlabel = "Q(s, a), in rewards of the world"
    figure, grid = style.panels(title, list(runs), xlabel, share_x=False)
    for axes, (of_data, of_policy) in zip(grid, runs.values(), strict=True):
        both = np.concatenate([of_data.ravel(), of_policy.ravel()])
        low, high = np.quantile(both, QUANTILES)
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
        _outline(axes, of_data, edges, BLUE, "the data's actions")
        _outline(axes, of_policy, edges, ORANGE, "the policy's actions")
        axes.set_ylim(0)
    return _legend_of_first(figure, grid, "share of states, all seeds; dotted: mean")


def _outline(
    axes: Axes, values: np.ndarray, edges: np.ndarray, color: str, label: str
) -> None:
    inside = np.clip(values.ravel(), edges[0], edges[-1])
    counts, _ = np.histogram(inside, edges)
    axes.stairs(
        counts / inside.size, edges, color=color, alpha=0.25, fill=True, linewidth=0
    )
    axes.stairs(counts / inside.size, edges, color=color, linewidth=1.5, label=label)
    axes.axvline(float(values.mean()), color=color, linestyle=":", linewidth=1.5)


def support_counts(
    runs: Mapping[str, np.ndarray], of_data: np.ndarray, most: int
) -> Figure:
    """Draw how many of the `most` nearest states took the chosen action, [P, n] by run,
    beside the data's own actions, [n]."""
    title = "Nearest states of the data that took the chosen action"
    figure, axes = style.plot(title, f"of {most} neighbours", "share of states")
    places = np.arange(most + 1)
    everyone = {"the data's own actions": of_data, **runs}
    for index, (name, counts) in enumerate(everyone.items()):
        share = np.bincount(counts.ravel(), minlength=most + 1) / counts.size
        color, stroke = _pen(index - 1)
        axes.plot(
            places,
            share,
            marker="o",
            color=color,
            linestyle=stroke,
            linewidth=2,
            markersize=5,
            label=name,
        )
    axes.set_ylim(0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter("{x:.0f}")
    return style.legend(figure, "at 0: actions that were never seen near")


def support_distances(runs: Mapping[str, np.ndarray], of_data: np.ndarray) -> Figure:
    """Draw the distances of chosen actions to the nearest of the neighbours' actions,
    [P, n] by run, beside the data's own, [n]."""
    title = "Distance of the chosen action to the nearest of the neighbours'"
    figure, axes = style.plot(title, "distance (action range: 2)", "share of states")
    share = np.linspace(0, 1, POINTS)
    everyone = {"the data's own actions": of_data, **runs}
    for index, (name, distance) in enumerate(everyone.items()):
        color, stroke = _pen(index - 1)
        axes.plot(
            np.quantile(distance, share),
            share,
            color=color,
            linestyle=stroke,
            linewidth=2,
            label=name,
        )
    axes.xaxis.set_major_formatter("{x:g}")
    return style.legend(figure, "share of states with at most this distance")


def calibration(runs: Mapping[str, Calibration]) -> Figure:
    """Draw values against the returns that they estimate, a panel for each run."""
    title = "Value against Monte-Carlo return"
    figure, grid = style.panels(title, list(runs), "discounted return", share_x=False)
    for axes, run in zip(grid, runs.values(), strict=True):
        returns = np.broadcast_to(run.returns, run.value.shape)
        x, y = returns.ravel(), run.value.ravel()
        if x.size:
            few = slice(None, None, 1 + x.size // MOST_POINTS)
            axes.plot(x[few], y[few], ".", color=BLUE, alpha=0.2, markersize=3)
            _means(axes, x, y, BLUE, "o-", "of the data: mean of Q(s, a), or V(s)")
        known = np.isfinite(run.rollout_value) & np.isfinite(run.rollout_returns)
        own_x = run.rollout_returns[known]
        own_y = run.rollout_value[known]
        if own_x.size:
            _means(axes, own_x, own_y, ORANGE, "s", "of its own episodes, at the start")
        drawn = np.concatenate([x, own_x])
        if drawn.size:
            ends = [drawn.min(), drawn.max()]
            axes.plot(ends, ends, color=INK, linestyle=":", label="as estimated")
    return _legend_of_first(
        figure, grid, f"points: states; joined: means of {GROUPS} equal parts"
    )


def _means(
    axes: Axes, x: np.ndarray, y: np.ndarray, color: str, marker: str, label: str
) -> None:
    """Draw the means of equally large groups in the order of `x`."""
    order = np.argsort(x, kind="stable")
    groups = np.array_split(order, min(GROUPS, len(order)))
    mean_x = [x[group].mean() for group in groups]
    mean_y = [y[group].mean() for group in groups]
    axes.plot(
        mean_x,
        mean_y,
        marker,
        color=color,
        linewidth=2,
        markersize=5,
        markeredgecolor="white",
        label=label,
    )


def _pen(index: int) -> tuple[str, str]:
    """Colour and stroke of a run; those of the data for -1."""
    if index < 0:
        return GREY, ":"
    return COLORS[index % len(COLORS)], STROKES[index // len(COLORS) % len(STROKES)]


def _legend_of_first(figure: Figure, grid: list[Axes], title: str) -> Figure:
    """A legend of the lines that all panels share."""
    for axes in grid[1:]:
        for artist in (*axes.lines, *axes.patches):
            artist.set_label("_")
    return style.legend(figure, title)
