"""The figure of `python -m curriculum.evaluate`: returns with their intervals."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from curriculum.report import style
from curriculum.report.diagnosis_table import number
from curriculum.report.evaluation_table import RETURN, Row, confidence, samples
from curriculum.report.figures import RETURN as LABEL
from curriculum.report.figures import STEPS, UPDATES, bootstrapped
from curriculum.report.style import BLUE, INK

XLABELS = {"updates": UPDATES, "steps": STEPS}
ROW_HEIGHT = 0.36  # inches
PADDING = 0.04  # of the range of returns, at both ends
FRAME = 1.5  # inches: title, numbers, label and legend


def draw(rows: Sequence[Row]) -> Figure:
    """Draw the policies of several moments as curves, and everybody else as a level;
    without such policies, a line for each row."""
    if any(row.clock for row in rows):
        return _curves(rows)
    return _lines(rows)


def _lines(rows: Sequence[Row]) -> Figure:
    """The mean return of every row with its 95 % interval, and that of each seed."""
    figure, axes = style.plot("Evaluation: return per episode", LABEL, "")
    figure.set_figheight(FRAME + ROW_HEIGHT * len(rows))
    ends: list[float] = []
    labels = {"mean": "mean and 95 % interval", "seed": "one seed"}
    for place, row in enumerate(rows):
        mean, low, high = confidence(row, RETURN)
        reward = row.values[RETURN]
        # an interval over two seeds may be wider than all returns
        ends += [np.fmax(low, reward.min()), np.fmin(high, reward.max())]
        axes.plot([low, high], [place, place], color=BLUE, linewidth=2)
        label = labels.pop("mean", "")
        axes.plot(mean, place, "o", color=BLUE, markersize=7, label=label)
        style.name_beside(axes, place, INK, number(float(mean)))
        own = reward.mean(-1)
        if len(own) > 1:
            places = np.full(len(own), place)
            label = labels.pop("seed", "")
            axes.plot(own, places, "|", color=INK, markersize=12, label=label)
    span = max(ends) - min(ends) or 1.0
    axes.set_xlim(min(ends) - PADDING * span, max(ends) + PADDING * span)
    axes.set_yticks(range(len(rows)), [f"{row.name} ({row.unit})" for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    return style.legend(figure, "")


def _curves(rows: Sequence[Row]) -> Figure:
    """The return over the offline phase and over steps, a curve for each run."""
    kept = [row for row in rows if row.clock]
    clocks = [clock for clock in XLABELS if any(row.clock == clock for row in kept)]
    title = "Evaluation: the policies that were kept"
    xlabels = [XLABELS[clock] for clock in clocks]
    figure, drawn = style.stacked(title, xlabels, LABEL)
    runs = list(dict.fromkeys(row.run for row in kept))
    others = [row for row in rows if not row.clock]
    for axes, clock in zip(drawn, clocks, strict=True):
        for index, run in enumerate(runs):
            own = [r for r in kept if r.run == run and r.clock == clock]
            steps = np.array([row.position for row in own])
            values = np.array([samples(row.values[RETURN]) for row in own])
            color, stroke = style.look(index)
            label = run if axes is drawn[0] else ""
            bootstrapped(axes, steps, values, color, label, stroke)
        for index, row in enumerate(others, len(runs)):
            color, _ = style.look(index)
            label = row.name if axes is drawn[0] else ""
            style.level(axes, float(confidence(row, RETURN).mean), color, label)
    return style.legend(figure, f"mean and 95 % bootstrap band over {kept[-1].unit}")
