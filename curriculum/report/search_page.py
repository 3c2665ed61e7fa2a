"""The page of a search: every trial, what the best one scored in the search, and what
it scores on seeds and episodes that did not choose it."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from curriculum.report import style
from curriculum.report.figures import Figure
from curriculum.report.study_page import interval

Settings = Mapping[str, str | int | float]
MOST_PANELS = 8


class Line(NamedTuple):
    """A trial."""

    number: int
    settings: Settings
    values: Sequence[float]  # at each rung it came to
    problem: str = ""  # why it failed


class Scores(NamedTuple):
    """What the best trial scored."""

    number: int  # of the trial
    settings: Settings
    searched: float  # in the search: it was chosen by this
    # its own seeds [P] on the final episodes; nan where it was not trained to the end
    own: np.ndarray
    fresh: np.ndarray  # fresh seeds [P] on the final episodes

    @property
    def optimism(self) -> float:
        """By how much the search overestimates what it found."""
        return self.searched - float(self.fresh.mean())


def text(label: str, scores: Scores) -> str:
    """What was found, in words and numbers."""
    low, high = interval(scores.fresh)
    seeds = style.seed_count(scores.fresh[None])
    lines = [
        f"best setting: {words(scores.settings)} (trial {scores.number})",
        f"  {label} in the search, by which it was chosen: {scores.searched:.4g}",
    ]
    if np.isfinite(scores.own).all() and len(scores.own):
        lines.append(
            f"  {label} of the same policies on fresh episodes: {scores.own.mean():.4g}"
        )
    lines += [
        f"  {label} on fresh seeds and episodes: {scores.fresh.mean():.4g} "
        f"[{low:.4g}, {high:.4g}], {seeds}",
        f"  optimism of the search: {scores.optimism:+.4g}",
    ]
    return "\n".join(lines)


def words(settings: Settings) -> str:
    """A setting as flags."""
    return " ".join(f"--{flag} {value}" for flag, value in settings.items())


def markdown(
    title: str,
    command: str,
    label: str,
    rungs: Sequence[int],
    lines: Sequence[Line],
    spent: str,
    scores: Scores,
    picture: str,
) -> str:
    """The page; `picture` is the file of the figure."""
    flags = list(lines[0].settings)
    head = ["trial", *(f"`{flag}`" for flag in flags)]
    head += [f"at {rung:,}" for rung in rungs]
    rows = [
        f"# Search {title}",
        "",
        "```bash",
        command,
        "```",
        "",
        "```",
        text(label, scores),
        "```",
        "",
        f"{len(lines)} trials: {spent}.",
        "",
        f"![{label} of every trial]({picture})",
        "",
        f"The {label} of every trial at the rungs it came to, mean over seeds:",
        "",
        _row(head),
        _row([":--", *["--:"] * (len(head) - 1)]),
    ]
    rows += [_row(_cells(line, flags, len(rungs))) for line in lines]
    failed = [line for line in lines if line.problem]
    if failed:
        rows += ["", "Trials that failed:", ""]
        rows += [f"- {line.number}: {line.problem}" for line in failed]
    return "\n".join(rows) + "\n"


def _cells(line: Line, flags: Sequence[str], rungs: int) -> list[str]:
    values = [f"{value:.4g}" for value in line.values]
    empty = [""] * (rungs - len(values))
    return [
        str(line.number),
        *(str(line.settings[flag]) for flag in flags),
        *values,
        *empty,
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table(rungs: Sequence[int], lines: Sequence[Line]) -> str:
    """The trials as CSV."""
    stream = io.StringIO()
    flags = list(lines[0].settings)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["trial", *flags, *rungs, "problem"])
    for line in lines:
        empty = [""] * (len(rungs) - len(line.values))
        own = [line.settings[flag] for flag in flags]
        writer.writerow([line.number, *own, *line.values, *empty, line.problem])
    return stream.getvalue()


def figure(
    label: str,
    rungs: Sequence[int],
    lines: Sequence[Line],
    logarithmic: Sequence[str],
) -> Figure:
    """Draw the last value of every trial over each parameter, one colour for each rung
    that trials came to; the parameters `logarithmic` have such an axis."""
    flags = list(lines[0].settings)[:MOST_PANELS]
    drawn, panels = style.panels(f"{label} by setting", flags, "", share_x=False)
    for flag, axes in zip(flags, panels, strict=True):
        axes.set_ylabel(label)
        axes.set_xlabel(flag)
        values = [line.settings[flag] for line in lines]
        names = list(dict.fromkeys(map(str, values)))
        is_choice = any(isinstance(value, str) for value in values)
        if is_choice:
            axes.set_xticks(range(len(names)), names)
        elif flag in logarithmic:
            axes.set_xscale("log")
        for rung, steps in enumerate(rungs):
            there = [line for line in lines if len(line.values) == rung + 1]
            if not there:
                continue
            x = [
                names.index(str(line.settings[flag]))
                if is_choice
                else float(line.settings[flag])
                for line in there
            ]
            y = [line.values[-1] for line in there]
            color, _ = style.look(rung)
            is_last = rung == len(rungs) - 1
            word = "trained to" if is_last else "stopped at"
            name = f"{word} {steps:,}" if flag == flags[0] else ""
            axes.scatter(x, y, color=color, s=24, label=name)
    return style.legend(drawn, "")


def spent(steps: float, calls: float, seconds: float) -> str:
    """What a search has spent, in words."""
    parts = [f"{steps:,.0f} steps of all seeds"]
    if calls:
        parts.append(f"{calls:,.0f} planner calls")
    if math.isfinite(seconds):
        parts.append(f"{seconds:,.0f} s of training")
    return ", ".join(parts)
