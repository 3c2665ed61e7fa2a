"""The text at the end of a run: what was learned, what it cost, where it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Values = Mapping[str, np.ndarray]  # tag -> [P]
NEEDS = {
    "observation": "what the learner sees",
    "state": "the simulator's true state, a privilege",
}
LABEL = "<22"  # widths of the columns
NUMBER = ">8"
SUCCESS = ">9"


def run_table(
    folder: Path, settings: dict[str, Any], values: Values, needs: str
) -> str:
    """Describe a finished run by the last values of its records; `needs` says what its
    planner sees."""
    updates = values["train/n_updates"]
    elapsed = values["time/time_elapsed"][0]
    lines = [
        "",
        *_returns(settings, values),
        "",
        *_planner(settings, values, needs),
        f"updates        {updates.mean():,.0f} of each seed's networks",
        f"time           {elapsed:.0f} s for {settings['steps']:,} steps of each seed",
        f"files          {folder}",
        f"watch          tensorboard --logdir {folder}",
    ]
    return "\n".join(lines)


def _returns(settings: dict[str, Any], values: Values) -> list[str]:
    """Return, success and score of random play, the planner and the learner."""
    seeds = len(settings["seeds"])
    random = values["final/random_reward"][0]
    planned = values["final/planner_reward"][0]
    success = values["final/planner_success_rate"][0]
    is_better = planned > random
    planner = f"planner {settings['planner']}"
    episodes = values["final/episodes"][0]
    measured = values["final/planner_episodes"][0]
    few = f"   on {measured:.0f} of these episodes" if measured < episodes else ""
    note = f"{episodes:.0f} episodes, mean of {seeds} seed(s), [lowest]"
    lines = [
        f"{_row('', 'return', 'success', 'score')}   {note}",
        _row("random play", f"{random:.2f}", "", "0.00" if is_better else "-"),
        *_constant(values),
        _row(planner, f"{planned:.2f}", _number(success), "1.00" if is_better else "-")
        + few,
        _learner("last", values),
        _learner("best", values),
    ]
    if not is_better:
        lines.append("the planner is no better than random play: there are no scores")
    return lines


def _constant(values: Values) -> list[str]:
    """The line of the policy that always heads for the goal, if it was measured."""
    if "final/constant_reward" not in values:
        return []
    reward = values["final/constant_reward"][0]
    success = values["final/constant_success_rate"][0]
    return [_row("constant action", f"{reward:.2f}", _number(success), "")]


def _learner(name: str, values: Values) -> str:
    reward = values[f"final/{name}_mean_reward"]
    success = values[f"final/{name}_success_rate"]
    score = values[f"final/{name}_score"]
    row = _row(
        f"{name} learner alone",
        f"{reward.mean():.2f}",
        _number(success.mean()),
        _number(score.mean()),
    )
    lowest = f"{reward.min():.2f}, {_number(success.min())}, {_number(score.min())}"
    return f"{row}   [{lowest}]"


def _row(label: str, reward: str, success: str, score: str) -> str:
    return f"{label:{LABEL}}{reward:{NUMBER}}{success:{SUCCESS}}{score:{NUMBER}}"


def _planner(settings: dict[str, Any], values: Values, needs: str) -> list[str]:
    """What the planner sees, what it cost, and where it failed."""
    calls = values["final/planner_calls"]
    seconds = values["planner/seconds_total"].sum()
    per_call = ""
    if calls.any():
        per_call = f", {1000 * seconds / calls.sum():.2f} ms each"
    lines = [
        f"planner        {settings['planner']}, which sees {NEEDS[needs]}",
        f"planner calls  {calls.mean():,.0f} a seed, {seconds:.1f} s in all{per_call}",
    ]
    failures = []
    for name in ("faults", "late"):
        count = values[f"planner/{name}_total"]
        if count.any():
            failures.append(f"{count.mean():,.0f} {name}")
    if failures:
        failed = ", ".join(failures)
        lines.append(f"in its place   the learner acted: {failed} calls a seed")
    return lines


def variants(values: Values) -> dict[str, dict[str, float]]:
    """Means over seeds of the values of a "compress" record, by variant and figure."""
    found: dict[str, dict[str, float]] = {}
    for tag, value in values.items():
        _, variant, figure = tag.split("/")
        found.setdefault(variant, {})[figure] = float(np.mean(value))
    return found


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "-"
