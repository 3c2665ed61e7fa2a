"""The table of a comparison, in Markdown."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from curriculum.report import statistics
from curriculum.report.curves import Curve
from curriculum.report.statistics import Difference

COLUMNS = (
    "arm",
    "final return",
    "success",
    "score",
    "return over training",
    "first success at step",
    "the planner's own return",
    "planner calls",
    "ms a call",
    "s",
)
NOTE = (
    "Learner alone, mean over seeds {seeds} +- standard deviation. Final: the last "
    "policy and the planner on the same episodes, which chose neither. Over training: "
    "mean height of the learning curve. "
    "Differences: mean and 95 % interval of paired per-seed differences (Student's t); "
    "a winner is named only where no seed is missing, the interval excludes zero and "
    "the difference does not round to zero."
)


class Measure(NamedTuple):
    """A quantity in which arms are compared."""

    values: np.ndarray  # [P]
    larger_wins: bool = True


def comparison(curves: Mapping[str, Curve]) -> str:
    """Write the results and costs of every arm, then its paired differences to the
    first arm."""
    reference, *others = curves
    measures = {name: _measures(curve) for name, curve in curves.items()}
    numbers = ["--:"] * (len(COLUMNS) - 1)
    lines = [_line(COLUMNS), _rule([":--", *numbers])]
    for name, curve in curves.items():
        lines.append(_line([name, *_results(curve, measures[name])]))
    if others:
        lines += ["", _line([f"minus {reference}", *measures[reference]])]
        lines.append(_rule([":--"] * (1 + len(measures[reference]))))
    for name in others:
        verdicts = [
            _verdict(name, measures[name][measure], reference, base)
            for measure, base in measures[reference].items()
        ]
        lines.append(_line([name, *verdicts]))
    seeds = ", ".join(map(str, curves[reference].seeds))
    lines += ["", NOTE.format(seeds=seeds)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(alignments: Sequence[str]) -> str:
    return f"|{'|'.join(alignments)}|"


def _measures(curve: Curve) -> dict[str, Measure]:
    area = statistics.area_under_curve(curve.steps, curve.reward.T)
    return {
        "final return": Measure(curve.final["final/last_mean_reward"]),
        "return over training": Measure(area),
        "first success at step": Measure(curve.first_success, larger_wins=False),
    }


def _results(curve: Curve, measures: Mapping[str, Measure]) -> list[str]:
    """The cells of one arm."""
    calls = curve.final["final/planner_calls"].mean()
    return [
        _mean(measures["final return"].values),
        _number(curve.final["final/last_success_rate"].mean()),
        _number(curve.final["final/last_score"].mean()),
        _mean(measures["return over training"].values),
        _mean(measures["first success at step"].values),
        _planner_return(curve),
        f"{calls:,.0f}",
        _number(curve.planner_ms),
        f"{curve.seconds:.0f}",
    ]


def _planner_return(curve: Curve) -> str:
    """The planner's return on the episodes of the final policies."""
    if "final/planner_reward" not in curve.final:
        return "-"
    text = f"{curve.final['final/planner_reward'][0]:.2f}"
    episodes = curve.final["final/planner_episodes"][0]
    if episodes < curve.episodes:
        text += f" ({episodes:.0f} episodes)"
    return text


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "-"


def _mean(values: np.ndarray) -> str:
    """Mean and standard deviation of the values that are finite."""
    known = values[np.isfinite(values)]
    if not len(known):
        return "-"
    digits = _digits(abs(known).max())
    text = f"{known.mean():,.{digits}f}"
    if len(known) > 1:
        text += f" +- {known.std(ddof=1):,.{digits}f}"
    if len(known) < len(values):
        text += f" ({len(known)} of {len(values)} seeds)"
    return text


def _digits(value: float) -> int:
    """Decimals with which a value is printed."""
    return 2 if abs(value) < 100 else 0


def _verdict(name: str, measure: Measure, reference: str, base: Measure) -> str:
    """The difference of an arm to the reference, and which of them wins."""
    difference = statistics.paired_difference(measure.values, base.values)
    if not difference.n:
        return "-"
    if difference.n < len(base.values):
        return f"{difference.n} of {len(base.values)} seeds have both, no winner"
    digits = _digits(difference.mean)
    mean = f"{difference.mean:+,.{digits}f}"
    low = f"{difference.low:+,.{digits}f}"
    high = f"{difference.high:+,.{digits}f}"
    if not difference.winner or _is_zero(difference, digits):
        return f"{mean} [{low}, {high}], no winner"
    is_larger = difference.winner > 0
    winner = name if is_larger == measure.larger_wins else reference
    return f"{mean} [{low}, {high}], {winner} wins"


def _is_zero(difference: Difference, digits: int) -> bool:
    """Whether a difference is printed as zero."""
    return round(difference.mean, digits) == 0
