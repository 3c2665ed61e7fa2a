"""The text at the end of a run: what was learned, what it cost, where it is."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from curriculum.files import is_url
from curriculum.report import handover

Values = Mapping[str, np.ndarray]  # tag -> [P]
NEEDS = {
    "observation": "what the learner sees",
    "state": "the simulator's true state, a privilege",
}
FAILURES = {"faults": "gave no valid action", "late": "missed the deadline"}
LABEL = 22  # width of the first column, at least
COLUMN = 9  # width of the others


def run_table(folder: str, settings: dict[str, Any], values: Values, needs: str) -> str:
    """Describe a finished run by the last values of its records; `folder` is a path or
    a URL, `needs` says what its planner sees."""
    updates = values["train/n_updates"]
    elapsed = values["time/time_elapsed"][0]
    played = _off_policy(values)
    if "final/last_mean_reward" in values:
        returns = _returns(settings, values)
        planner = _planner(settings, values, needs) if _has_planner(values) else []
        played = [*returns, "", *played, *handover.describe(values), *planner]
    lines = [
        "",
        *played,
        f"updates        {updates.mean():,.0f} of each seed's networks",
        f"time           {elapsed:,.0f} s for {_trained(settings)} of each seed",
        f"files          {folder}",
    ]
    if not is_url(folder):
        lines.append(f"watch          tensorboard --logdir {folder}")
    return "\n".join(lines)


def _trained(settings: dict[str, Any]) -> str:
    """How long the phases of training were."""
    phases = []
    for name in ("offline_updates", "steps"):
        if settings.get(name):
            phases.append(f"{settings[name]:,} {name.replace('_', ' ')}")
    return " and ".join(phases)


def _has_planner(values: Values) -> bool:
    """Whether a planner had a part in the run; otherwise it trained from data alone."""
    return "final/planner_reward" in values or _is_trained(values)


def _is_trained(values: Values) -> bool:
    """Whether the planner learnt in the run, so that no score is relative to it."""
    return "final/trained_planner_reward" in values


class _Performance(NamedTuple):
    """A row of the table: figures of each seed, [P] each."""

    label: str
    reward: np.ndarray
    success: np.ndarray  # nan where the world does not report success
    score: np.ndarray  # nan where there is no scale of scores


def _returns(settings: dict[str, Any], values: Values) -> list[str]:
    """Return, success and score of random play, the planner or the data, and the
    learner."""
    last = _learner("last", values)
    zero = 0.0 * last.score
    rows = [
        _acting("random play", "random", values, score=zero),
        *_constant(values, score=np.nan * zero),
        _reference(settings, values, score=zero + 1),
        *_advised(settings, values, score=np.nan * zero),
        last,
        _learner("best", values),
    ]
    show_success = bool(np.isfinite(rows[-1].success).any())
    width = max(LABEL, max(len(row.label) for row in rows) + 2)
    names = ["return", *(["success"] if show_success else []), "score"]
    titles = "".join(f"{name:>{COLUMN}}" for name in names)
    lines = [f"{'':{width}}{titles}   {_note(settings, values)}"]
    for row in rows:
        columns = [row.reward, *([row.success] if show_success else []), row.score]
        lines.append(f"{row.label:{width}}{_cells(columns)}")
    episodes = values["final/episodes"][0]
    measured = values.get("final/planner_episodes", values["final/episodes"])[0]
    if measured < episodes:
        lines.append(f"the planner and all scores: {measured:.0f} of these episodes")
    if "final/last_d4rl_score" in values:
        last_score = _number(values["final/last_d4rl_score"].mean())
        best_score = _number(values["final/best_d4rl_score"].mean())
        lines.append(
            f"D4RL score: last {last_score}, best {best_score} "
            "(0 is its random play, 100 its expert)"
        )
    if not np.isfinite(rows[-1].score).any():
        lines.append(f"no score: {_why_no_score(values)}")
    return lines


def _why_no_score(values: Values) -> str:
    if _is_trained(values):
        return "the planner learnt in the run, and was nothing to be measured by"
    if _has_planner(values):
        return "the planner is no better than random play"
    return "the data are not clearly better than random play"


def _note(settings: dict[str, Any], values: Values) -> str:
    """What the numbers are means of."""
    episodes = f"{values['final/episodes'][0]:.0f} episodes"
    seeds = len(settings["seeds"])
    if seeds == 1:
        return f"mean of {episodes}"
    return f"mean of {seeds} seeds, {episodes} each [lowest seed]"


def _cells(columns: Sequence[np.ndarray]) -> str:
    """Means over seeds; where seeds differ also the lowest."""
    means = "".join(map(_mean, columns))
    if all(_is_equal(column) for column in columns):
        return means
    lowest = ", ".join(_number(column.min()) for column in columns)
    return f"{means}   [{lowest}]"


def _mean(column: np.ndarray) -> str:
    return f"{_number(column.mean()):>{COLUMN}}"


def _is_equal(column: np.ndarray) -> bool:
    """Whether all seeds have the same figure, or none."""
    return np.array_equal(column, np.full_like(column, column[0]), equal_nan=True)


def _acting(label: str, name: str, values: Values, score: np.ndarray) -> _Performance:
    """Someone who acts without learning, on the episodes of the final evaluation."""
    reward = values[f"final/{name}_reward"]
    unknown = np.full(len(reward), np.nan)
    success = values.get(f"final/{name}_success_rate", unknown)
    return _Performance(label, reward, success, score)


def _reference(
    settings: dict[str, Any], values: Values, score: np.ndarray
) -> _Performance:
    """The upper end of the scale of scores, if there is one."""
    if _is_trained(values):
        label = f"planner {settings['planner']}"
        return _acting(label, "trained_planner", values, score=np.nan * score)
    if _has_planner(values):
        return _acting(f"planner {settings['planner']}", "planner", values, score)
    return _acting("mean of the data", "data", values, score)


def _advised(
    settings: dict[str, Any], values: Values, score: np.ndarray
) -> list[_Performance]:
    """The planner with the advice of the last learner, if it listens."""
    if "final/advised_planner_reward" not in values:
        return []
    label = f"{settings['planner']}, advised by last"
    return [_acting(label, "advised_planner", values, score)]


def _constant(values: Values, score: np.ndarray) -> list[_Performance]:
    """The policy that always heads for the goal, if it was measured."""
    if "final/constant_reward" not in values:
        return []
    return [_acting("constant action", "constant", values, score)]


def _learner(name: str, values: Values) -> _Performance:
    return _Performance(
        f"{name} learner alone",
        values[f"final/{name}_mean_reward"],
        values[f"final/{name}_success_rate"],
        values[f"final/{name}_score"],
    )


def _off_policy(values: Values) -> list[str]:
    """Estimates of discounted returns from the data alone, if there are any."""
    names = [name for name in ("last", "best") if f"final/{name}_fqe" in values]
    if not names:
        return []
    titles = f"{'by FQE':>{COLUMN}}"
    if "final/last_discounted_reward" in values:
        titles += f"{'true':>{COLUMN}}{'error':>{COLUMN}} +- standard error of true"
    rows = [_estimate(name, values) for name in names]
    return [f"{'discounted return':{LABEL}}{titles}", *rows, ""]


def _estimate(name: str, values: Values) -> str:
    """The estimate for a policy; beside it, if it was measured, the true value, and how
    far off the estimate is: on average and, where seeds differ, from seed to seed."""
    estimate = values[f"final/{name}_fqe"]
    row = f"{name + ' policy':{LABEL}}{_mean(estimate)}"
    if f"final/{name}_discounted_reward" not in values:
        return row
    true = values[f"final/{name}_discounted_reward"]
    standard_error = values[f"final/{name}_discounted_error"].mean()
    error = estimate - true
    row += f"{_mean(true)}{_mean(error)} +- {_number(standard_error)}"
    if not _is_equal(error):
        row += f"   [{_number(error.min())} to {_number(error.max())}]"
    return row


def _planner(settings: dict[str, Any], values: Values, needs: str) -> list[str]:
    """What the planner sees, what it cost, and where it failed."""
    calls = values["final/planner_calls"]
    seconds = values["planner/seconds_total"].sum()
    per_call = ""
    if calls.any():
        per_call = f", {1000 * seconds / calls.sum():.2f} ms each"
    seeds = len(settings["seeds"])
    each = "" if seeds == 1 else " a seed"
    lines = [
        f"planner        {settings['planner']}, which sees {NEEDS[needs]}",
        f"planner calls  {calls.mean():,.0f}{each}, {seconds:,.1f} s in all{per_call}",
    ]
    failures = []
    for name, meaning in FAILURES.items():
        count = values[f"planner/{name}_total"]
        if count.any():
            failures.append(f"{_count(count.mean())} {meaning}")
    if failures:
        per_seed = "" if seeds == 1 else "per seed, "
        failed = " and ".join(failures)
        lines.append(f"failed calls   {per_seed}{failed}; the learner acted instead")
    return lines


def _count(mean: float) -> str:
    """A mean of counts; never 0, which would say that there were none."""
    return "fewer than 1" if mean < 0.5 else f"{mean:,.0f}"


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "-"
