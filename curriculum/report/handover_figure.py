"""The figure of a hand-over: what the learner can do alone, over steps and for the
planner's work."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from curriculum.report import style
from curriculum.report.handover import LEVELS, TOLERANCE
from curriculum.report.statistics import Dip, dip_and_recovery
from curriculum.report.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY

STEPS = "environment steps of one seed"
CALLS = "planner calls of one seed"
RETURN = "return per episode"
HIGH = max(LEVELS)  # score whose first evaluation is marked


class Course(NamedTuple):
    """The course of a hand-over; T reports, U evaluations, P seeds.

    Missing values are nan."""

    rate_steps: np.ndarray  # [T]
    rate: np.ndarray  # [T, P] planning rate
    steps: np.ndarray  # [U] of evaluations
    reward: np.ndarray  # [U, P] of the learner alone
    calls: np.ndarray  # [U, P] planner calls so far
    learned: np.ndarray  # [U] bool: the learner had been updated before
    seeds: list[int]
    mixed: np.ndarray | None = None  # [U, P] learner and planner at that step's rate
    random: float = np.nan  # return of random play
    planner: float = np.nan
    ms_per_call: float = np.nan  # wall time of the planner

    @property
    def scale(self) -> float:
        """How much more the planner returns than random play; nan if it does not."""
        difference = self.planner - self.random
        return difference if difference > 0 else np.nan


def handover(course: Course) -> Figure:
    """Draw how the planner withdraws and what the learner can do without it, with the
    deepest dip; below, what it can do for the planner calls it took."""
    title = "The hand-over: the learner alone while the planner withdraws"
    calls = CALLS
    if course.ms_per_call > 0:
        seconds = float(f"{course.ms_per_call:.2g}") / 1000
        calls += f" (one takes {EngFormatter('s')(seconds)})"
    figure, (upper, lower) = style.stacked(title, [STEPS, calls], RETURN)
    _over_steps(upper, course)
    _draw_deepest_dip(upper, course)
    _over_calls(lower, course)
    count = style.seed_count(course.reward)
    if len(course.seeds) > 1:
        count = f"bold: mean of {count}; shaded: their full range"
    return style.legend(figure, count)


def _over_steps(axes: Axes, course: Course) -> None:
    style.spread(axes, course.steps, course.reward, BLUE, "learner alone", zorder=3)
    if course.mixed is not None:
        label = "learner and planner mixed"
        dashed = {"linestyle": "--", "linewidth": 1.5, "zorder": 4}
        style.spread(axes, course.steps, course.mixed, SKY, label, **dashed)
    style.level(axes, course.planner, INK, "planner")
    style.level(axes, course.random, GREY, "random play")
    right = axes.twinx()
    label = "planning rate (right axis)"
    style.spread(right, course.rate_steps, course.rate, ORANGE, label, linewidth=1.5)
    style.dress(right, "", "", "planning rate")
    right.yaxis.label.set_color(ORANGE)
    right.set_ylim(-0.02, 1.02)
    right.spines[:].set_visible(False)


def _draw_deepest_dip(axes: Axes, course: Course) -> None:
    """Mark the deepest dip of all seeds, if it is one, and name its seed."""
    steps = course.steps[course.learned]
    curves = course.reward[course.learned].T
    least = TOLERANCE * np.nan_to_num(course.scale)
    dips = [dip_and_recovery(steps, curve, least) for curve in curves]
    depths = np.array([dip.depth for dip in dips])
    if not (depths > least).any():
        return
    seed = int(np.nanargmax(depths))
    dip = dips[seed]
    level = curves[seed][steps == dip.begin][0]
    lowest = level - dip.depth
    label = f"deepest dip: {_depth(dip, course.scale)} (seed {course.seeds[seed]})"
    axes.vlines(dip.bottom, lowest, level, PURPLE, linewidth=2, label=label, zorder=4)
    end = dip.begin + dip.recovery
    if not np.isfinite(end):
        end = steps[-1]
    axes.hlines(level, dip.begin, end, PURPLE, linewidth=1, zorder=4)


def _depth(dip: Dip, scale: float) -> str:
    """How deep a dip is: in scores where there are any, otherwise in returns."""
    if np.isfinite(scale):
        return f"score {dip.depth / scale:.2f}"
    return f"return {dip.depth:,.2f}"


def _over_calls(axes: Axes, course: Course) -> None:
    """Draw every seed's return against its planner calls, and their mean."""
    known = np.isfinite(course.calls) & np.isfinite(course.reward)
    if len(course.seeds) > 1:
        _draw_each_seed(axes, course, known)
    high = known & (course.reward >= course.random + HIGH * course.scale)
    seeds = np.flatnonzero(high.any(0))
    if len(seeds):
        first = high.argmax(0)[seeds]
        calls = course.calls[first, seeds]
        reward = course.reward[first, seeds]
        axes.plot(calls, reward, "D", color=GREEN, label=f"first score of {HIGH}")
    evaluated = known.any(-1)
    mean_calls = np.ma.array(course.calls, mask=~known)[evaluated].mean(-1)
    mean_reward = np.ma.array(course.reward, mask=~known)[evaluated].mean(-1)
    axes.plot(mean_calls, mean_reward, color=BLUE, linewidth=2.5)
    style.level(axes, course.planner, INK)
    style.level(axes, course.random, GREY)


def _draw_each_seed(axes: Axes, course: Course, known: np.ndarray) -> None:
    """Draw a thin line for each seed, through its evaluations in `known` [U, P]."""
    for seed, keep in enumerate(known.T):
        label = "one seed" if seed == 0 else ""
        calls = course.calls[keep, seed]
        reward = course.reward[keep, seed]
        axes.plot(calls, reward, color=BLUE, alpha=0.35, linewidth=1, label=label)
