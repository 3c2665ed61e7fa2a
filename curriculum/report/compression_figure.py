"""The figure of compressed policies: what a smaller or a faster one costs in return."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from curriculum.report import style
from curriculum.report.compression_choice import LATENCY
from curriculum.report.compression_table import Variant, share
from curriculum.report.labels import label_points
from curriculum.report.style import BLUE, GREY

TITLE = "Compressed policies: return against size and latency"
XLABELS = (
    "size of the policy file",
    "time to act on one observation: numpy, median",
)


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
            share=float(share(variant.row, variants[0].row, floor).mean),
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
    names = [point.name for point in points]
    shares = np.array([point.share for point in points])
    ylabel = "share of the return"
    figure, (first, second) = style.stacked(TITLE, XLABELS, ylabel)
    sizes = np.array([point.size for point in points])
    seconds = np.array([point.latency_us for point in points]) / 1e6
    fronts = [
        _points(first, sizes, shares, EngFormatter("B"), ("front", "dominated")),
        _points(second, seconds, shares, EngFormatter("s"), ("", "")),
    ]
    if least is not None:
        for axes in (first, second):
            label = "wanted" if axes is first else ""
            axes.axhline(least, color=GREY, linestyle=":", linewidth=1.5, label=label)
    style.legend(figure, "")
    for axes, x, front in zip((first, second), (sizes, seconds), fronts, strict=True):
        label_points(figure, axes, np.column_stack([x, shares]), names, front)
    return figure


def _points(
    axes: Axes,
    x: np.ndarray,
    share: np.ndarray,
    formatter: EngFormatter,
    labels: tuple[str, str],
) -> np.ndarray:
    """Draw the policies, and a line through the front; returns its mask."""
    front = ~_dominated(x, share)
    order = np.argsort(x)
    line = order[front[order]]
    markers: dict[str, Any] = {"color": BLUE, "markersize": 8}
    axes.plot(
        x[line],
        share[line],
        "o-",
        linewidth=1.5,
        zorder=3,
        label=labels[0],
        **markers,
    )
    axes.plot(
        x[~front],
        share[~front],
        "o",
        markerfacecolor="white",
        label=labels[1],
        **markers,
    )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(formatter)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(0.1, 0.2)
    return front


def _dominated(cost: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mask [n] of policies to which another is superior."""
    saved = cost[:, None] - cost  # [i, j]: what j saves over i
    gained = share - share[:, None]  # [i, j]: what j gains over i
    at_least_equal = (saved >= 0) & (gained >= 0)
    return (at_least_equal & ((saved > 0) | (gained > 0))).any(-1)
