"""The figure of compressed policies: what a smaller or a faster one costs in return."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from curriculum.report import style
from curriculum.report.compression_choice import LATENCY
from curriculum.report.compression_table import Variant, share_of
from curriculum.report.style import BLUE, FRAME, GREY, INK

TITLE = "Compressed policies: return against size and latency"
XLABELS = (
    "size of the policy file",
    "time to act on one observation: numpy, median",
)


NAMES = 0.4  # share of the height of axes that names have
NAME_SIZE = 9  # points
HEIGHT = 8.6  # inches
DIGITS = 3  # of shares, in which those of the front differ
ANGLE = 40  # degrees, of names
DISTANCE = 0.032  # between names, as a share of the width of axes
LAST = 0.85  # where the last name may begin, as a share of the width of axes


class Point(NamedTuple):
    """A policy in the figure."""

    name: str
    share: float  # of the reference's return
    size: float  # bytes of its file
    latency_us: float  # median


def points(variants: Sequence[Variant], floor: float) -> list[Point]:
    """What the figure shows of variants, the first of which is the reference."""
    return [
        Point(
            name=variant.name,
            share=share_of(variant, variants[0], floor),
            size=variant.mean("bytes"),
            latency_us=variant.mean(LATENCY),
        )
        for variant in variants
    ]


def draw(points: Sequence[Point], least: float | None = None) -> Figure:
    """Draw all policies with a known share of the return; `least` marks the share that
    is wanted.

    Lines join the policies of the front: no other is better in share or in the other
    number without being worse in the remaining one."""
    points = [point for point in points if np.isfinite(point.share)]
    figure, panels = style.stacked(TITLE, XLABELS, "share of the return")
    figure.set_figheight(HEIGHT)
    share = np.array([point.share for point in points])
    size = np.array([point.size for point in points])
    seconds = np.array([point.latency_us for point in points]) / 1e6
    names = [point.name for point in points]
    shown = share if least is None else np.append(share, least)
    _limit_shares(panels[0], shown)
    units = ("B", "s")
    for axes, cost, unit in zip(panels, (size, seconds), units, strict=True):
        is_first = axes is panels[0]
        if least is not None:
            label = "share wanted" if is_first else ""
            style.level(axes, least, GREY, label)
        _limit_costs(axes, cost, unit)
        _mark(axes, cost, share, is_explained=is_first)
        _name(figure, axes, np.column_stack([cost, share]), names)
    return style.legend(figure, "")


def _limit_shares(axes: Axes, share: np.ndarray) -> None:
    """Leave room for names above the largest share; no share is written there."""
    low = share.min(initial=1.0)
    high = share.max(initial=1.0)
    padding = max(0.1 * (high - low), 0.005)
    low -= padding
    high += padding
    axes.set_ylim(low, low + (high - low) / (1 - NAMES))
    ticks = MaxNLocator(5).tick_values(low, high)
    # a number in the corner would meet one of the other axis
    axes.set_yticks([tick for tick in ticks if low + padding / 2 < tick <= high])


def _limit_costs(axes: Axes, cost: np.ndarray, unit: str) -> None:
    axes.set_xscale("log")
    span = max(np.log(cost.max() / cost.min()), 0.5)
    axes.set_xlim(cost.min() * np.exp(-0.06 * span), cost.max() * np.exp(0.26 * span))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(unit))
    axes.xaxis.set_minor_locator(NullLocator())


def _mark(axes: Axes, cost: np.ndarray, share: np.ndarray, is_explained: bool) -> None:
    """Draw the policies, and a line through the front."""
    front = ~_dominated(cost, share)
    order = np.argsort(cost)
    line = order[front[order]]
    markers: dict[str, Any] = {"color": BLUE, "markersize": 8}
    axes.plot(
        cost[line],
        share[line],
        "o-",
        linewidth=1.5,
        zorder=4,
        label="front" if is_explained else "",
        **markers,
    )
    axes.plot(
        cost[~front],
        share[~front],
        "o",
        markerfacecolor="white",
        zorder=3,
        label="dominated" if is_explained else "",
        **markers,
    )


def _dominated(cost: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mask [n] of policies to which another is superior."""
    saved = cost[:, None] - cost  # [i, j]: what j saves over i
    # [i, j]: what j gains over i; sums of returns differ in their last digits
    gained = (share - share[:, None]).round(DIGITS)
    at_least_equal = (saved >= 0) & (gained >= 0)
    return (at_least_equal & ((saved > 0) | (gained > 0))).any(-1)


def _name(figure: Figure, axes: Axes, points: np.ndarray, names: Sequence[str]) -> None:
    """Write the names of points [n, 2] above all of them, side by side, each joined to
    its point by a line."""
    to_axes = axes.transData - axes.transAxes
    x, y = to_axes.transform(points).T
    # the names of points above one another begin with the highest
    order = np.lexsort([-y, x.round(3)])
    places = np.empty(len(x))
    places[order] = _apart(x[order])
    for place, point, name in zip(places, points, names, strict=True):
        above = to_axes.inverted().transform((place, 1 - 0.95 * NAMES))
        line = np.stack([point, above]).T
        axes.plot(*line, color=FRAME, linewidth=0.8, zorder=1)
        figure.text(
            place,
            1 - 0.93 * NAMES,
            name,
            transform=axes.transAxes,
            rotation=ANGLE,
            rotation_mode="anchor",
            fontsize=NAME_SIZE,
            color=INK,
        )


def _apart(x: np.ndarray) -> np.ndarray:
    """Places [n] near the ascending `x`, at least DISTANCE from one another."""
    steps = DISTANCE * np.arange(len(x))
    # as far left as the points before allow
    places = np.maximum.accumulate(x - steps) + steps
    # as far right as the names behind allow
    most = LAST - steps[::-1]
    return np.minimum(places, most)
