"""Which of two arms is better in a measure, as sure as few seeds allow."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from curriculum.report import hypotheses
from curriculum.report.hypotheses import LEVEL

NOBODY = "no winner"
SMALLEST = 0.02  # of a scale: the smallest difference that matters


class Measure(NamedTuple):
    """A quantity in which arms are compared."""

    values: np.ndarray  # [P]
    # 1 where more is better, -1 where less is, 0 where neither is
    better: int = 1
    # the size of a large difference, such as from random play to the planner; nan where
    # there is none: then differences are compared with the values
    unit: float = math.nan
    # the end of a time until something happens, which is nan where it never does; nan:
    # the values are no times
    last: float = math.nan

    @property
    def is_time(self) -> bool:
        """Whether the values are times."""
        return math.isfinite(self.last)


class Verdict(NamedTuple):
    """What is known about the difference of an arm to the reference."""

    arm: str
    reference: str
    measure: str
    mean: float
    # of the 95 % interval; nan for times
    low: float
    high: float
    # pairs in which an arm is earlier and later than the reference; 0 for means
    earlier: int
    later: int
    n: int  # complete pairs
    seeds: int
    p: float  # after Holm's correction for all of a table; nan where nothing is tested
    winner: str  # empty: none
    text: str  # the verdict in words


class _Tested(NamedTuple):
    """One comparison before its correction."""

    arm: str
    measure: str
    difference: hypotheses.Difference | hypotheses.Delay
    own: Measure
    base: Measure


def judge(
    measures: Mapping[str, Mapping[str, Measure]], smallest: float = SMALLEST
) -> list[Verdict]:
    """Compare every arm with the first one in every measure of it, `measures` by arm
    and name.

    An arm wins if the difference is at least `smallest`, a share of the measure's unit,
    and p is at most 5 % after Holm's correction for all comparisons: in at most 5 % of
    tables of equal arms is there any winner."""
    reference, *others = measures
    tested = []
    for arm in others:
        for name, base in measures[reference].items():
            own = measures[arm][name]
            tested.append(_Tested(arm, name, _difference(own, base), own, base))
    adjusted = hypotheses.holm(np.array([each.difference.p for each in tested]))
    count = max(int(np.isfinite(adjusted).sum()), 1)
    return [
        _verdict(each, reference, float(p), smallest, count)
        for each, p in zip(tested, adjusted, strict=True)
    ]


def _difference(
    own: Measure, base: Measure
) -> hypotheses.Difference | hypotheses.Delay:
    if base.is_time:
        return hypotheses.delay(own.values, base.values, min(own.last, base.last))
    return hypotheses.paired_difference(own.values, base.values)


def _verdict(
    tested: _Tested, reference: str, p: float, smallest: float, count: int
) -> Verdict:
    """The verdict of one of `count` comparisons, after its correction."""
    difference = tested.difference
    low = high = math.nan
    earlier = later = 0
    if isinstance(difference, hypotheses.Delay):
        earlier = difference.earlier
        later = difference.later
    else:
        low = difference.low
        high = difference.high
    winner = ""
    reason = _without_winner(tested, p, smallest, count)
    text = reason
    if not reason and not tested.base.better:
        text = f"{tested.arm} is {'higher' if difference.mean > 0 else 'lower'}"
    elif not reason:
        is_better = difference.mean * tested.base.better > 0
        winner = tested.arm if is_better else reference
        text = f"{winner} wins"
    return Verdict(
        arm=tested.arm,
        reference=reference,
        measure=tested.measure,
        mean=difference.mean,
        low=low,
        high=high,
        earlier=earlier,
        later=later,
        n=difference.n,
        seeds=len(tested.base.values),
        p=p,
        winner=winner,
        text=text,
    )


def _without_winner(tested: _Tested, p: float, smallest: float, count: int) -> str:
    """Why nobody wins, empty if somebody does."""
    difference = tested.difference
    seeds = len(tested.base.values)
    if difference.n < seeds:
        return f"{NOBODY}: {difference.n} of {seeds} seeds have both"
    if seeds < hypotheses.FEWEST_PAIRS:
        return f"{NOBODY}: it takes {hypotheses.FEWEST_PAIRS} seeds or more"
    if not difference.mean:
        return "no difference"
    least = smallest * _unit(tested)
    if abs(difference.mean) < least:
        return f"{NOBODY}: less than {least:,.3g}, the smallest difference that matters"
    if p <= LEVEL:
        return ""
    needed = _seeds_needed(difference, LEVEL / count)
    if math.isinf(needed):
        return f"no difference found, nor would {hypotheses.MOST_SEEDS:,} seeds do"
    return f"no difference found; about {_rounded(needed)} seeds would be needed"


def _unit(tested: _Tested) -> float:
    """The unit of a measure, or the size of its values."""
    if math.isfinite(tested.base.unit):
        return abs(tested.base.unit)
    sizes = [abs(np.mean(arm.values)) for arm in (tested.own, tested.base)]
    return float(max(sizes))


def _seeds_needed(
    difference: hypotheses.Difference | hypotheses.Delay, level: float
) -> float:
    """How many seeds would show this difference, if it is the true one."""
    for_signs = hypotheses.seeds_for_signs(level)
    if isinstance(difference, hypotheses.Delay):
        return max(hypotheses.seeds_needed(difference.effect, level), for_signs)
    if difference.deviation <= hypotheses.ROUNDING * abs(difference.mean):
        return for_signs  # the same on every seed
    effect = difference.mean / difference.deviation
    return hypotheses.seeds_needed(effect, level)


def _rounded(count: float) -> str:
    """A count with two digits that are not zero."""
    digits = max(len(f"{count:.0f}") - 2, 0)
    unit = 10**digits
    return f"{math.ceil(count / unit) * unit:,}"
