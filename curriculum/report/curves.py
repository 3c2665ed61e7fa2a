"""Read the learning curve of a finished run from its folder."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from curriculum.report.records import read_records

Values = dict[str, np.ndarray]  # tag -> [P]
# what a comparison needs of the record "final"
FINAL = (
    "final/last_mean_reward",
    "final/last_success_rate",
    "final/last_score",
    "final/planner_calls",
    "final/episodes",
)


class Curve(NamedTuple):
    """The learner of a finished run, evaluated alone."""

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


def _curve(run: Path, lines: list[dict[str, Any]]) -> Curve:
    online = [line for line in lines if "updates" not in line]
    last = {line["kind"]: _arrays(line["values"]) for line in online}
    if "final" not in last:
        raise ValueError(
            f"{run} is not finished; continue it with: "
            f"python -m curriculum.train --resume {run}"
        )
    if "baseline" not in last:
        raise ValueError(
            f"{run} was not evaluated (--no-evaluation): it has no returns to compare"
        )
    baseline = last["baseline"]
    reference = "data" if "eval/data_reward" in baseline else "planner"
    needed = (*FINAL, f"final/{reference}_reward")
    missing_tags = [tag for tag in needed if tag not in last["final"]]
    if missing_tags:
        raise ValueError(
            f"{run} has no {missing_tags[0]}; an older version finished it: repeat it "
            f"with: python -m curriculum.train --config {run}/config.yaml"
        )
    seeds = json.loads((run / "result.json").read_text())["seeds"]
    is_offline = max(line["step"] for line in lines) == 0
    group, position = ("offline", "updates") if is_offline else ("eval", "step")
    tag = f"{group}/mean_reward"
    evaluations = [line for line in lines if tag in line["values"]]
    rewards = [line["values"][tag] for line in evaluations]
    missing = np.full(len(seeds), np.nan)
    collected = last.get("collect", {})
    return Curve(
        seeds=seeds,
        steps=np.array([line[position] for line in evaluations]),
        reward=np.array(rewards, float),
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
    )


def _arrays(values: dict[str, Any]) -> Values:
    """Convert a line of metrics.jsonl, in which null stands for nan."""
    return {tag: np.array(column, float) for tag, column in values.items()}


def _planner_ms(last: dict[str, Values]) -> float:
    calls = last["final"]["final/planner_calls"].sum()
    if not calls:
        return np.nan
    seconds = last["time"]["planner/seconds_total"].sum()
    return 1000 * seconds / calls
