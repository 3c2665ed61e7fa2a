"""The page of a study: its question, every arm of every comparison, the best and the
worst of them, and one figure."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from curriculum.report import style
from curriculum.report.figures import Figure
from curriculum.report.hypotheses import paired_difference

RETURN = "final return"
FIRST_SUCCESS = "first success at step"
NOT_MEASURED = ("over training",)  # ends the names of measures that are left out


class Result(NamedTuple):
    """A finished comparison of a study."""

    title: str  # such as the world
    link: str  # to its table
    # arm -> measure -> value of every seed [P], in the order of arms and measures
    values: Mapping[str, Mapping[str, np.ndarray]]
    settled: Sequence[str]  # its verdicts that name a winner, in words


def markdown(
    name: str, question: str, command: str, results: Sequence[Result], figure: str
) -> str:
    """The page; `figure` is the file of the figure."""
    lines = [f"# {name}", "", question, "", "```bash", command, "```", ""]
    lines += [f"![Return of every arm]({figure})", ""]
    for result in results:
        lines += _section(result)
    lines.append(
        "Means over seeds with the 95 % interval of Student's t. Times are medians, in "
        "which a seed that never came there counts as the last. Differences are paired "
        "by seed; the linked tables have verdicts, corrected for all comparisons of a "
        "table."
    )
    return "\n".join(lines) + "\n"


def _section(result: Result) -> list[str]:
    first = next(iter(result.values.values()))
    measures = [
        name
        for name in first
        if not name.endswith(NOT_MEASURED) and _is_known(name, result)
    ]
    heads = ["arm", *measures]
    lines = [
        f"## {result.title}",
        "",
        _row(heads),
        _row([":--", *["--:"] * len(measures)]),
    ]
    for arm, values in result.values.items():
        lines.append(_row([arm, *(_cell(name, values[name]) for name in measures)]))
    lines.append("")
    if len(result.values) > 1 and RETURN in first:
        lines += [_extremes(result), ""]
    for verdict in result.settled:
        lines.append(f"- {verdict}")
    lines += [f"\nAll figures: [{result.link}]({result.link})", ""]
    return lines


def _is_known(name: str, result: Result) -> bool:
    """Whether any seed of any arm has this measure: without steps none succeeds."""
    return any(np.isfinite(own[name]).any() for own in result.values.values())


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(name: str, values: np.ndarray) -> str:
    if name == FIRST_SUCCESS:
        came = np.isfinite(values)
        median = np.median(np.where(came, values, np.inf))
        shown = f"{median:,.0f}" if math.isfinite(median) else "never"
        return f"{shown} ({came.sum()} of {len(values)} seeds)"
    low, high = interval(values)
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean of values [P]."""
    found = paired_difference(values, np.zeros_like(values))
    return found.low, found.high


def _extremes(result: Result) -> str:
    """The best and the worst arm by their mean return, and their difference."""
    means = {arm: float(own[RETURN].mean()) for arm, own in result.values.items()}
    best = max(means, key=lambda arm: means[arm])
    worst = min(means, key=lambda arm: means[arm])
    found = paired_difference(result.values[best][RETURN], result.values[worst][RETURN])
    return (
        f"Highest return: {best}, {means[best]:.2f}; lowest: {worst}, "
        f"{means[worst]:.2f}; difference {found.mean:+.2f} [{found.low:+.2f}, "
        f"{found.high:+.2f}], not corrected for having chosen the two."
    )


def figure(results: Sequence[Result]) -> Figure:
    """Draw the final return of every arm and seed, a plot for each comparison."""
    titles = [f"final return, {result.title}" for result in results]
    drawn, plots = style.stacked("Final return of every arm", titles, "")
    for axes, result in zip(plots, results, strict=True):
        arms = [*result.values]
        for place, arm in enumerate(arms):
            values = result.values[arm][RETURN]
            color, _ = style.look(place)
            axes.plot(values, np.full(len(values), place), "o", color=color, alpha=0.35)
            low, high = interval(values)
            axes.plot([low, high], [place, place], color=color, linewidth=3)
            axes.plot([values.mean()], [place], "D", color=color, markersize=7)
        axes.set_yticks(range(len(arms)), [_short(arm, arms) for arm in arms])
        axes.set_ylim(len(arms) - 0.5, -0.5)
    return style.legend(drawn, "dots: seeds; diamonds: means with 95 % intervals")


def _short(arm: str, arms: Sequence[str]) -> str:
    """An arm without the words that all arms share."""
    words = arm.split()
    if len(arms) < 2:
        return arm
    shared = set(words).intersection(*(set(other.split()) for other in arms))
    return " ".join(word for word in words if word not in shared) or arm
