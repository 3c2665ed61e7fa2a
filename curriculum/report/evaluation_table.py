"""The table of `python -m curriculum.evaluate`: who returns how much, as sure as seeds
or episodes allow.

Letters: P seeds, N episodes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from curriculum.report.hypotheses import Difference, paired_difference
from curriculum.report.statistics import Confidence, share_interval

RETURN = "return"
SUCCESS = "success"
NOTE = (
    "Episodes {first:,} to {last:,}. Means with 95 % intervals over what the column "
    '"over" names: by Student\'s t, and success over episodes by Wilson.'
)
DIFFERENCE_NOTE = (
    "Differences to {reference} are of the same episodes, with the wider one of the "
    "intervals over seeds and over episodes; they are not corrected for several "
    "comparisons."
)
OTHER_SEEDS = " Runs with other seeds are compared in their means over seeds."
SCORE_NOTE = (
    "Score: 0 is random play, 1 the planner of the run or the mean of its data, as the "
    "run measured them."
)


class Row(NamedTuple):
    """What one of those who played has played."""

    name: str
    seeds: tuple[int, ...]  # of its P policies; empty: one policy without a seed
    # [P, N] by measure, return first; nan where it is unknown
    values: Mapping[str, np.ndarray]
    calls: np.ndarray | None = None  # [P] of a planner
    seconds: np.ndarray | None = None  # [P] wall time of these calls
    run: str = ""  # whose policies of several moments these are
    clock: str = ""  # updates or steps, of which `position` is a number
    position: int = 0

    @property
    def unit(self) -> str:
        """What its intervals are over."""
        reward = self.values[RETURN]
        if len(reward) > 1:
            return f"{len(reward)} seeds"
        return "1 episode" if reward.size == 1 else f"{reward.size:,} episodes"


def samples(values: np.ndarray) -> np.ndarray:
    """What intervals are over: the means of several seeds, or the episodes of one."""
    return values.mean(-1) if len(values) > 1 else values[0]


def confidence(row: Row, measure: str) -> Confidence:
    """The mean of a measure and its 95 % interval, nan where it is unknown."""
    sample = samples(row.values[measure])
    found = paired_difference(sample, np.zeros(len(sample)))
    mean, low, high = map(np.asarray, found[:3])
    if measure != SUCCESS or not found.n:
        return Confidence(mean, low, high)
    if len(row.values[measure]) == 1:
        return Confidence(mean, *share_interval(found.mean, found.n))
    return Confidence(mean, np.clip(low, 0, 1), np.clip(high, 0, 1))


def difference(own: Row, base: Row) -> Difference:
    """How much more `own` returns than `base` on the same episodes, with the wider one
    of the intervals over seeds and over episodes.

    Rows with the same seeds are paired by seed as well; of rows with others, means over
    seeds are compared."""
    ours = own.values[RETURN]
    theirs = base.values[RETURN]
    if len(ours) > 1 and len(theirs) > 1 and own.seeds != base.seeds:
        ours = ours.mean(0, keepdims=True)
        theirs = theirs.mean(0, keepdims=True)
    gain = ours - theirs  # [P, N]
    found = [
        paired_difference(sample, np.zeros(len(sample)))
        for sample in (gain.mean(0), gain.mean(1))
    ]
    return max(found, key=lambda each: np.nan_to_num(each.high - each.low, nan=-1))


def table(rows: Sequence[Row], reference: Row) -> str:
    """One line for each row, in Markdown whose columns are aligned."""
    several = len(rows) > 1
    measures = [
        name
        for name in rows[0].values
        if any(np.isfinite(row.values[name]).any() for row in rows)
    ]
    asks_planner = any(row.calls is not None for row in rows)
    titles = ["", *measures, "over"]
    if several:
        titles.insert(2, f"minus {reference.name}")
    if asks_planner:
        titles += ["planner calls", "ms a call"]
    lines = [titles]
    for row in rows:
        cells = [row.name, *(text(confidence(row, name)) for name in measures)]
        if several:
            own = difference(row, reference)
            is_reference = row is reference
            cells.insert(2, "" if is_reference else text(own[:3], sign="+"))
        cells.append(row.unit)
        if asks_planner:
            cells += _calls(row)
        lines.append(cells)
    return aligned(lines)


def _calls(row: Row) -> list[str]:
    """How often a planner was asked, and how long that took."""
    if row.calls is None or row.seconds is None:
        return ["", ""]
    each = 1000 * row.seconds.sum() / max(row.calls.sum(), 1)
    return [f"{row.calls.mean():,.0f}", f"{each:.3g}"]


def notes(rows: Sequence[Row], reference: Row, episodes: Sequence[int]) -> list[str]:
    """What the numbers of the table are."""
    found = [NOTE.format(first=episodes[0], last=episodes[-1])]
    if len(rows) > 1:
        note = DIFFERENCE_NOTE.format(reference=reference.name)
        if any(row.seeds not in ((), reference.seeds) for row in rows):
            note += OTHER_SEEDS
        found.append(note)
    if any(np.isfinite(row.values["score"]).any() for row in rows):
        found.append(SCORE_NOTE)
    return found


def text(bounds: Iterable[float | np.ndarray], sign: str = "") -> str:
    """A mean and its interval; a dash where it is unknown."""
    mean, low, high = map(float, bounds)
    if not np.isfinite(mean):
        return "-"
    digits = 2 if abs(mean) < 100 else 0
    form = f"{sign},.{digits}f"
    found = format(mean, form)
    if np.isfinite(low):
        found += f" [{format(low, form)}, {format(high, form)}]"
    return found


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells, the first line its titles."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = [":" + "-" * max(width - 1, 2) for width in widths]
    drawn = []
    for cells in (lines[0], rule, *lines[1:]):
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        drawn.append(f"| {' | '.join(padded)} |")
    return "\n".join(drawn)
