"""Figures of a data set: each function returns a Figure, `figures.save` writes it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from curriculum.report import style
from curriculum.report.projection import Projection
from curriculum.report.style import BLUE, COLORS, INK, STROKES

BINS = 20  # of a histogram
SAME = 1e-6  # relative range of values that are drawn as one
ACTION_BINS = 40  # of a number of a box action, in [-1, 1]
MOST_NUMBERS = 12  # of a box action that are drawn
POINT_SIZE = 12
Groups = Sequence[
    tuple[str, np.ndarray]
]  # names and their values, drawn one upon another


def return_histogram(groups: Groups) -> Figure:
    """Draw the returns of episodes, of each source apart."""
    title = "Returns of the episodes"
    figure = _histogram(title, "return per episode", groups)
    return style.legend(figure, "who acted most in the episode; line: mean of all")


def length_histogram(lengths: np.ndarray) -> Figure:
    """Draw the lengths of episodes."""
    figure = _histogram(
        "Lengths of the episodes", "steps of an episode", [("episodes", lengths)]
    )
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    return style.legend(figure, "line: mean")


def _histogram(title: str, xlabel: str, groups: Groups) -> Figure:
    figure, axes = style.plot(title, xlabel, "episodes")
    everything = np.concatenate([values for _, values in groups])
    edges = np.linspace(everything.min(), everything.max(), BINS + 1)
    if np.ptp(everything) < SAME * max(np.abs(everything).max(), 1):
        edges = edges[0] + np.array([-0.5, 0.5])  # one bar around the only value
        axes.set_xlim(edges[0] - 2, edges[1] + 2)
    colors = [COLORS[index % len(COLORS)] for index in range(len(groups))]
    axes.hist(
        [values for _, values in groups],
        bins=edges.tolist(),
        stacked=True,
        color=colors,
        label=[f"{name} ({len(values)})" for name, values in groups],
        rwidth=0.92,
    )
    axes.axvline(float(everything.mean()), color=INK, linestyle=":", linewidth=1.5)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def discrete_actions(counts: np.ndarray) -> Figure:
    """Draw how often each of the discrete actions was taken, `counts` [actions]."""
    figure, axes = style.plot("Actions", "action", "share of all transitions")
    axes.bar(np.arange(len(counts)), counts / counts.sum(), color=BLUE, width=0.7)
    axes.axhline(1 / len(counts), color=INK, linestyle=":", label="uniform play")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter("{x:.0f}")
    return style.legend(figure, "")


def box_actions(action: np.ndarray) -> Figure:
    """Draw the numbers of box actions [n, A] in [-1, 1], one line each."""
    figure, axes = style.plot("Actions", "number of the action", "share")
    edges = np.linspace(-1, 1, ACTION_BINS + 1)
    numbers = action.shape[1]
    for number in range(min(numbers, MOST_NUMBERS)):
        counts, _ = np.histogram(np.clip(action[:, number], -1, 1), edges)
        axes.stairs(
            counts / len(action),
            edges,
            color=COLORS[number % len(COLORS)],
            linestyle=STROKES[number // len(COLORS)],
            linewidth=2,
            label=f"number {number}",
        )
    axes.set_ylim(0)
    axes.xaxis.set_major_formatter("{x:g}")
    shown = "" if numbers <= MOST_NUMBERS else f"the first {MOST_NUMBERS} of {numbers}"
    return style.legend(figure, shown)


def observations(projection: Projection, returns: np.ndarray) -> Figure:
    """Draw projected observations, coloured by the return of their episodes [n]."""
    title = f"Observations, projected by {projection.method}"
    figure, axes = style.plot(title, "first coordinate", "second coordinate")
    order = np.argsort(returns, kind="stable")  # good episodes on top
    x, y = projection.points[order].T
    image = axes.scatter(
        x, y, c=returns[order], s=POINT_SIZE, cmap=style.DEEP, alpha=0.7, linewidth=0
    )
    style.color_bar(figure, axes, image, "return of the episode")
    return figure
