"""What a return costs: planner calls and the time that they take."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from curriculum.report import figures, style
from curriculum.report.curves import Curve

CALLS = "planner calls of one seed"
MILLISECONDS = "planner milliseconds of one seed"


def figure(curves: Mapping[str, Curve]) -> Figure:
    """Draw the return of the learner alone against planner calls, and against the time
    that they took: the mean over seeds with a 95 % bootstrap band."""
    title = "Return of the learner alone for the planner's work"
    names = [figures.RETURN, figures.RETURN]
    drawn, (left, right) = style.panels(title, names, CALLS, share_x=False)
    right.set_xlabel(MILLISECONDS)
    for index, (name, curve) in enumerate(curves.items()):
        color, stroke = style.look(index)
        spent = ((left, curve.calls), (right, 1000 * curve.planner_seconds))
        for axes, x in spent:
            if np.isfinite(x).any():
                label = name if axes is left else ""
                means = x.mean(-1)
                figures.bootstrapped(axes, means, curve.reward, color, label, stroke)
    first = next(iter(curves.values()))
    for axes in (left, right):
        style.level(axes, first.baselines["planner"], style.INK)
        style.level(axes, first.baselines["random"], style.GREY)
    counts = style.seed_count(*(curve.reward for curve in curves.values()))
    band = f"mean and 95 % bootstrap band over {counts}"
    return style.legend(drawn, f"{band}; dotted: planner and random play")
