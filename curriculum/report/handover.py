"""The hand-over from a planner to the learner: its measures, and what a run says of
them at its end."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from curriculum.report.statistics import dip_and_recovery

TOLERANCE = 0.05  # of score: a smaller drop is no dip
LEVELS = (0.5, 0.9)  # scores whose planner calls are reported
FINAL = "final/handover_"  # begins the tags of a finished run
LABEL = 22  # width of the first column of the text

Values = Mapping[str, np.ndarray]  # tag -> [P]


class Evaluations(NamedTuple):
    """The learners of P seeds, evaluated alone U times in the online phase."""

    steps: np.ndarray  # [U]
    reward: np.ndarray  # [U, P] mean returns, nan where a seed was stopped
    score: np.ndarray  # [U, P], nan where there is no scale of scores
    calls: np.ndarray  # [U, P] planner calls so far
    learned: np.ndarray  # [U] bool: the learner had been updated before


def has_learned(steps: np.ndarray | int, offline_updates: int) -> np.ndarray:
    """At which `steps` of the online phase a learner has been updated: always after an
    offline phase, otherwise from the first step on."""
    return (np.asarray(steps) > 0) | (offline_updates > 0)


def measure(evaluations: Evaluations) -> dict[str, np.ndarray]:
    """Measure the hand-over of every seed, [P] each, nan where unknown.

    `lowest_score` and the dip begin with the first learner that has been updated. As
    long as a dip has not recovered, `recovery_steps` is the time since it began and
    `recovered` is 0."""
    steps, reward, score, calls, learned = evaluations
    seeds = score.shape[1]
    dips = np.full((seeds, 4), np.nan)
    for seed in range(seeds):
        dips[seed] = _dip(steps[learned], reward[learned, seed], score[learned, seed])
    depth, depth_of_return, recovery, recovered = dips.T
    found = {
        "dip_depth": depth,
        "dip_return": depth_of_return,
        "recovery_steps": recovery,
        "recovered": recovered,
        "lowest_score": np.fmin.reduce(score[learned], initial=np.nan),
        "regret": 1 - np.ma.masked_invalid(score).mean(0).filled(np.nan),
    }
    for level in LEVELS:
        reached = score >= level
        first = reached.argmax(0)
        calls_then = calls[first, np.arange(seeds)]
        known = np.where(reached.any(0), calls_then, np.nan)
        found[f"calls_to_score_{level}"] = known
    return found


def _dip(
    steps: np.ndarray, reward: np.ndarray, score: np.ndarray
) -> tuple[float, float, float, float]:
    """The deepest drop of one seed: in score, in return, the steps it took, and whether
    it is over."""
    dip = dip_and_recovery(steps, score, TOLERANCE)
    depth_of_return = dip_and_recovery(steps, reward).depth
    if math.isinf(dip.recovery):
        newest = steps[~np.isnan(score)][-1]
        return dip.depth, depth_of_return, newest - dip.begin, 0.0
    recovered = math.nan if math.isnan(dip.depth) else 1.0
    return dip.depth, depth_of_return, dip.recovery, recovered


# --- the text at the end of a run ---


def describe(values: Values) -> list[str]:
    """Say how the hand-over of a finished run went: mean and standard deviation over
    seeds; empty if there was none."""
    if f"{FINAL}regret" not in values:
        return []
    of = {tag.removeprefix(FINAL): value for tag, value in values.items()}
    seeds = len(of["regret"])
    title = "hand-over, learner alone"
    if seeds > 1:
        title += f": mean +- standard deviation of {seeds} seeds"
    lines = [title]
    if np.isfinite(of["regret"]).any():
        lines.append(_line("lowest score", spread(of["lowest_score"])))
        lines.append(_line("largest dip", _dips(of)))
        regret = f"{spread(of['regret'])} (1 - mean score over training)"
        lines.append(_line("regret", regret))
        for level in LEVELS:
            calls = _calls(of[f"calls_to_score_{level}"])
            lines.append(_line(f"score of {level}", calls))
    else:
        lines.append(_line("largest dip", f"{spread(of['dip_return'])} of return"))
    return [*lines, ""]


def _line(label: str, text: str) -> str:
    return f"{label:{LABEL}}{text}"


def _calls(calls: np.ndarray) -> str:
    """After how many planner calls [P] a score was reached."""
    reached = calls[np.isfinite(calls)]
    if not len(reached):
        return "not reached"
    text = f"after {spread(reached, digits=0)} planner calls"
    if len(reached) < len(calls):
        text += f", in {len(reached)} of {len(calls)} seeds"
    return text


def _dips(of: Values) -> str:
    """The depth of dips, and how many steps they took."""
    text = f"{spread(of['dip_depth'])} of score"
    is_dip = of["dip_depth"] > TOLERANCE
    is_over = is_dip & (of["recovered"] > 0)
    lasting = int(is_dip.sum() - is_over.sum())
    if is_over.any():
        steps = spread(of["recovery_steps"][is_over], digits=0)
        text += f", recovered after {steps} steps"
    if lasting:
        text += ", not recovered at the end"
        if len(is_dip) > 1:
            text += f" in {lasting} of {len(is_dip)} seeds"
    return text


def spread(values: np.ndarray, digits: int = 2) -> str:
    """Mean and standard deviation of the values [P] that are known."""
    known = values[np.isfinite(values)]
    if not len(known):
        return "-"
    text = f"{known.mean():,.{digits}f}"
    if len(known) > 1:
        text += f" +- {known.std(ddof=1):,.{digits}f}"
    return text
