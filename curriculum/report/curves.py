"""Read the learning curve of a finished run from its folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from curriculum.report.records import read_records

Values = dict[str, np.ndarray]  # tag -> [P]
NOTHING = np.empty((0, 0))
SINGLE = ("baseline", "final", "start")  # kinds of records that are no series
# what a comparison needs of the record "final"
FINAL = (
    "final/last_mean_reward",
    "final/last_success_rate",
    "final/last_score",
    "final/planner_calls",
    "final/episodes",
)


class Curve(NamedTuple):
    """The learner of a finished run, evaluated alone. U counts evaluations."""

    seeds: list[int]
    # [U] environment steps at each evaluation, or updates where there are no steps
    steps: np.ndarray
    reward: np.ndarray  # [U, P] mean return of each evaluation
    final: Values  # the record "final"
    episodes: int  # of that record
    # [P] environment step of the first success in collection, nan where there was none
    first_success: np.ndarray
    seconds: float
    # returns of "random" play, and of the "planner" or, in a run that trains from data
    # alone, of the "data"; nan for the other
    baselines: dict[str, float]
    planner_ms: float  # mean duration of a planner call, nan without calls
    is_offline: bool = False  # whether the run consists of an offline phase only
    # what was spent by the time of each evaluation; nan where it is not recorded
    calls: np.ndarray = NOTHING  # [U, P] of the planner, those of the start included
    planner_seconds: np.ndarray = NOTHING  # [U, P]
    wall_seconds: np.ndarray = NOTHING  # [U] of all seeds together
    stopped: np.ndarray = NOTHING  # [P] whether its losses were no longer finite
    # all records of training, by tag
    series: Mapping[str, "Series"] = MappingProxyType({})


class Series(NamedTuple):
    """What one tag recorded."""

    steps: np.ndarray  # [U] as in `Curve`
    values: np.ndarray  # [U, P]


def read_curve(run: Path) -> Curve:
    """Read the folder of a run; ValueError if it is none, not finished or damaged."""
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise ValueError(f"{run} is no run: it has no metrics.jsonl")
    lines = read_records(path)
    try:
        return _curve(run, lines)
    except (LookupError, TypeError, OverflowError, OSError, RecursionError) as error:
        raise ValueError(f"the records of {run} are damaged: {error!r:.100}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{run}/result.json is damaged: {error}") from None


def joined(curves: Sequence[Curve]) -> Curve:
    """The curve of all seeds of runs that differ only in their seeds.

    Times are those of the runs one after the other."""
    first = curves[0]
    if len(curves) == 1:
        return first
    calls = np.array([curve.final["final/planner_calls"].sum() for curve in curves])
    milliseconds = np.array([curve.planner_ms for curve in curves])
    spent = np.nansum(calls * milliseconds)
    return first._replace(
        seeds=[seed for curve in curves for seed in curve.seeds],
        reward=_beside([curve.reward for curve in curves]),
        final={
            tag: _beside([curve.final[tag] for curve in curves]) for tag in first.final
        },
        first_success=_beside([curve.first_success for curve in curves]),
        seconds=sum(curve.seconds for curve in curves),
        planner_ms=float(spent / calls.sum()) if calls.sum() else np.nan,
        calls=_beside([curve.calls for curve in curves]),
        planner_seconds=_beside([curve.planner_seconds for curve in curves]),
        wall_seconds=np.sum([curve.wall_seconds for curve in curves], axis=0),
        stopped=_beside([curve.stopped for curve in curves]),
        series=_joined_series(curves),
    )


def _beside(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays [..., P] of several runs as one of all their seeds."""
    return np.concatenate(columns, axis=-1)


def _joined_series(curves: Sequence[Curve]) -> dict[str, Series]:
    """The series that all of these runs recorded, at the same steps."""
    found = {}
    for tag, first in curves[0].series.items():
        own = [curve.series[tag] for curve in curves if tag in curve.series]
        is_everywhere = len(own) == len(curves)
        if is_everywhere and all(np.array_equal(s.steps, first.steps) for s in own):
            found[tag] = Series(first.steps, _beside([each.values for each in own]))
    return found


def _curve(run: Path, lines: list[dict[str, Any]]) -> Curve:
    online = [line for line in lines if "updates" not in line]
    last = {line["kind"]: _arrays(line["values"]) for line in online}
    _require_finished(run, last)
    baseline = last["baseline"]
    seeds = json.loads((run / "result.json").read_text())["seeds"]
    is_offline = max(line["step"] for line in lines) == 0
    position = "updates" if is_offline else "step"
    series = _series(lines, position)
    tag = f"{'offline' if is_offline else 'eval'}/mean_reward"
    rewards = series[tag]
    calls = _at(rewards.steps, series.get("planner/calls_total"), len(seeds))
    if is_offline:  # only the start has asked the planner
        calls = np.broadcast_to(last["final"]["final/planner_calls"], calls.shape)
    missing = np.full(len(seeds), np.nan)
    collected = last.get("collect", {})
    return Curve(
        seeds=seeds,
        steps=rewards.steps,
        reward=rewards.values,
        final=last["final"],
        episodes=int(last["final"]["final/episodes"][0]),
        first_success=collected.get("rollout/first_success_step", missing),
        seconds=float(last["time"]["time/time_elapsed"].max()),
        baselines={
            name: float(baseline.get(f"eval/{name}_reward", missing)[0])
            for name in ("random", "planner", "data")
        },
        planner_ms=_planner_ms(last),
        is_offline=is_offline,
        calls=calls,
        planner_seconds=_planner_seconds(calls, series),
        wall_seconds=_wall_seconds(lines, tag),
        stopped=last["final"].get("final/stopped", np.zeros(len(seeds))),
        series=series,
    )


def _require_finished(run: Path, last: Mapping[str, Values]) -> None:
    """Raise ValueError where the last records of a run, by kind, do not suffice."""
    if "final" not in last:
        raise ValueError(
            f"{run} is not finished; continue it with: "
            f"python -m curriculum.train --resume {run}"
        )
    if "baseline" not in last:
        raise ValueError(
            f"{run} was not evaluated (--no-evaluation): it has no returns to compare"
        )
    reference = "data" if "eval/data_reward" in last["baseline"] else "planner"
    if "final/trained_planner_reward" in last["final"]:
        reference = "trained_planner"  # it has learnt in the run
    needed = (*FINAL, f"final/{reference}_reward")
    missing_tags = [tag for tag in needed if tag not in last["final"]]
    if missing_tags:
        raise ValueError(
            f"{run} has no {missing_tags[0]}; an older version finished it: repeat it "
            f"with: python -m curriculum.train --config {run}/config.yaml"
        )


def _series(lines: Sequence[dict[str, Any]], position: str) -> dict[str, Series]:
    """All values of each tag that was recorded more than once in a run, or could be, at
    its steps or updates."""
    found: dict[str, dict[int, list[float | None]]] = {}
    for line in lines:
        if position not in line or line["kind"] in SINGLE:
            continue
        if position == "step" and "updates" in line:
            continue  # of the offline phase that precedes the first step
        for tag, column in line["values"].items():
            found.setdefault(tag, {})[line[position]] = column
    return {
        tag: Series(np.array([*columns]), np.array([*columns.values()], float))
        for tag, columns in found.items()
    }


def _at(steps: np.ndarray, counts: Series | None, seeds: int) -> np.ndarray:
    """What a count [U, P] had come to at these steps; nan where it is unknown."""
    if counts is None:
        return np.full((len(steps), seeds), np.nan)
    place = np.searchsorted(counts.steps, steps, side="right") - 1
    known = counts.values[np.maximum(place, 0)]
    return np.where(place[:, None] >= 0, known, np.nan)


def _planner_seconds(calls: np.ndarray, series: Mapping[str, Series]) -> np.ndarray:
    """The seconds that so many calls [U, P] had taken, between the records of them."""
    seconds = series.get("planner/seconds_total")
    if seconds is None or "planner/calls_total" not in series:
        return np.full(calls.shape, np.nan)
    known = _at(seconds.steps, series["planner/calls_total"], calls.shape[1])
    columns = []
    for seed, made in enumerate(calls.T):
        x = np.concatenate([[0], known[:, seed]])
        y = np.concatenate([[0], seconds.values[:, seed]])
        columns.append(np.interp(made, x, y))
    return np.stack(columns, -1)


def _wall_seconds(lines: Sequence[dict[str, Any]], tag: str) -> np.ndarray:
    """The seconds that a run had taken at each evaluation, [U]; time in which it was
    interrupted does not count."""
    clocks = [line for line in lines if "time/time_elapsed" in line["values"]]
    stamps = np.array([line["time"] for line in clocks])
    seconds = np.array([line["values"]["time/time_elapsed"][0] for line in clocks])
    moments = [line["time"] for line in lines if tag in line["values"]]
    # up to its first record, the clock ran as the time of day
    beginning = stamps[0] - seconds[0]
    x = np.concatenate([[beginning], stamps])
    return np.interp(moments, x, np.concatenate([[0.0], seconds]))


def _arrays(values: dict[str, Any]) -> Values:
    """Convert a line of metrics.jsonl, in which null stands for nan."""
    return {tag: np.array(column, float) for tag, column in values.items()}


def _planner_ms(last: dict[str, Values]) -> float:
    calls = last["final"]["final/planner_calls"].sum()
    if not calls:
        return np.nan
    seconds = last["time"]["planner/seconds_total"].sum()
    return 1000 * seconds / calls
