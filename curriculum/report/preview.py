"""The preview of a run: what it will ask of the planner, and how long it takes."""

from typing import Any, NamedTuple

import numpy as np

BLOCKS = " ▁▂▃▄▅▆▇█"
COLUMNS = 60  # of the curve in a terminal
MINUTES = 90.0  # seconds from which on times are in minutes
HOURS = 5_400.0


class Preview(NamedTuple):
    """What is known before a run begins; calls are those of one seed."""

    decay: str
    gate: str
    seeds: int
    rows: int
    length: int  # environment steps of each seed
    steps: np.ndarray  # [T]
    rate: np.ndarray  # [T]
    marks: dict[int, float]  # environment step -> rate
    ends: int  # step from which on the rate is 0; 0: never
    calls: dict[str, float]  # what the planner is asked for -> expected calls
    total: float  # within the budget
    budget: int
    is_exact: bool
    listens: bool
    planner: str  # empty: none is asked
    planner_episodes: int  # that measure the planner, before training and after
    mixed_evaluations: int
    offline_updates: int
    evaluations: int
    # measured seconds, nan where unknown: of a call, a step of all rows, an offline
    # update and an evaluation
    seconds: dict[str, float]
    problem: str = ""  # why nothing was measured


def text(preview: Preview, drawn: str = "") -> str:
    """The preview for a terminal; `drawn` is the file of its picture, if there is
    one."""
    lines = []
    if preview.length and preview.planner:
        lines += _rate(preview)
        lines += _calls(preview)
    lines += _time(preview)
    written = f"only {drawn}" if drawn else "nothing"
    lines.append(f"a preview: {written} was written, and nothing was trained")
    return "\n".join(lines)


def _rate(preview: Preview) -> list[str]:
    places = np.linspace(0, len(preview.rate) - 1, COLUMNS).astype(int)
    level = np.rint(preview.rate[places] * (len(BLOCKS) - 1)).astype(int)
    # a low rate is not yet none
    level = np.where((preview.rate[places] > 0) & (level == 0), 1, level)
    curve = "".join(BLOCKS[each] for each in level)
    end = f"{preview.length:,} steps of each seed"
    lines = [
        f"planning rate  {preview.decay}",
        f"  1 {curve}",
        f"  0 {'0':<{COLUMNS - len(end)}}{end}",
    ]
    if preview.listens:
        lines.append(
            "  it depends on evaluations of the learner: it stays at the first rate as "
            "long as the learner is not good enough, so the calls below are the most"
        )
        return lines
    values = [f"{rate:.2f} at {step:,}" for step, rate in preview.marks.items()]
    said = f"  {', '.join(values)}"
    if preview.ends:
        said += f"; 0 from {preview.ends:,} on"
    return [*lines, said]


def _calls(preview: Preview) -> list[str]:
    sure = preview.is_exact and not preview.listens
    kind = "expected" if sure else "at most"
    if not preview.is_exact and not preview.listens:
        kind = "expected if its share is the rate"
    parts = [f"{name} {count:,.0f}" for name, count in preview.calls.items() if count]
    head = f"planner calls  {preview.total:,.0f} of each seed {kind}"
    if len(parts) > 1:
        head += f": {', '.join(parts)}"
    lines = [head]
    if not preview.is_exact:
        lines.append(
            f"  the gate {preview.gate} lets its share depend on the learner or on how "
            "long episodes are"
        )
    if preview.budget and preview.total >= preview.budget:
        lines.append(f"  the budget of {preview.budget:,} ends them")
    counted = [f"{preview.planner_episodes:,} episodes of its own before and after"]
    if preview.mixed_evaluations:
        counted.append(f"its share of {preview.mixed_evaluations:,} mixed evaluations")
    lines.append(f"  evaluations ask it, too, counted apart: {', '.join(counted)}")
    return lines


def _time(preview: Preview) -> list[str]:
    if preview.problem:
        return [f"time           not estimated: {preview.problem}"]
    parts = parts_of_time(preview)
    known = {name: value for name, value in parts.items() if np.isfinite(value)}
    unknown = [name for name in parts if name not in known]
    total = sum(known.values())
    listed = ", ".join(f"{name} {duration(value)}" for name, value in known.items())
    bound = "at most " if preview.planner and preview.listens else ""
    lines = [f"time           {bound}about {duration(total)}: {listed}"]
    unknown += ["the planner in evaluations"] if preview.planner else []
    if unknown:
        lines.append(f"  not included: {', '.join(unknown)}")
    units = {
        "call": "a planner call",
        "step": f"a step of {preview.seeds * preview.rows} rows and its updates",
        "update": "an offline update",
        "evaluation": "an evaluation of an untrained learner",
    }
    measured = [
        f"{1000 * preview.seconds[name]:.3g} ms {unit}"
        for name, unit in units.items()
        if np.isfinite(preview.seconds[name])
    ]
    lines.append(f"  by a probe of this machine as it is now: {', '.join(measured)}")
    return lines


def parts_of_time(preview: Preview) -> dict[str, float]:
    """Seconds of the parts of the run; nan where they were not measured."""
    seconds = preview.seconds
    parts = {}
    if preview.planner:
        parts["planner"] = preview.seeds * preview.total * seconds["call"]
    if preview.offline_updates:
        parts["offline"] = preview.offline_updates * seconds["update"]
    if preview.length:
        parts["online"] = preview.length / preview.rows * seconds["step"]
    if preview.evaluations:
        count = preview.evaluations + preview.mixed_evaluations
        parts["evaluations"] = count * seconds["evaluation"]
    return parts


def duration(seconds: float) -> str:
    """A time in words."""
    if seconds < 1:
        return "below 1 s"
    if seconds < MINUTES:
        return f"{seconds:.0f} s"
    if seconds < HOURS:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:,.0f} h"


def figure(preview: Preview) -> Any:
    """Draw the planned rate, and the planner calls so far."""
    from curriculum.report import style  # it takes a second to import

    title = "Before the run: planning rate and planner calls"
    drawn, axes = style.plot(title, "environment steps of one seed", "planning rate")
    axes.plot(
        preview.steps, preview.rate, color=style.ORANGE, linewidth=2, label="rate"
    )
    axes.set_ylim(-0.02, 1.02)
    gaps = np.diff(preview.steps, append=preview.length)
    before = preview.calls.get("start", 0)
    share = preview.calls.get("labels", 0) / max(preview.length, 1)
    calls = before + np.cumsum(gaps * preview.rate) + share * preview.steps
    if preview.budget:
        calls = np.minimum(calls, preview.budget)
    right = axes.twinx()
    right.plot(
        preview.steps,
        calls,
        color=style.BLUE,
        linewidth=2,
        linestyle="--",
        label="planner calls so far (right axis)",
    )
    style.dress(right, "", "", "planner calls of one seed")
    right.set_ylim(0)
    right.spines[:].set_visible(False)
    listens = "while no evaluation lowers it" if preview.listens else ""
    return style.legend(drawn, listens)
