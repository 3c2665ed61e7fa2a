"""What the numbers of a run or a comparison say, in sentences: never more than they
show."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from curriculum.report import tables
from curriculum.report.handover import has_learned
from curriculum.report.hypotheses import paired_difference
from curriculum.report.verdicts import Verdict

ENOUGH = 3  # seeds from which on an interval is given
Values = Mapping[str, np.ndarray]  # tag -> [P]


def of_run(
    settings: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], values: Values
) -> list[str]:
    """Sentences about a finished run, given the lines of its records and the last
    values of all tags."""
    if "final/last_mean_reward" not in values:
        return ["The run trained from data alone and was not evaluated in its world."]
    found = [_end(settings, values), _against_reference(settings, values)]
    found += _course(settings, lines)
    found += _planner(settings, values)
    found += _stopped(settings, values)
    return [sentence for sentence in found if sentence]


def of_comparison(judged: Sequence[Verdict]) -> list[str]:
    """Sentences about the arms of a comparison, given its verdicts."""
    if not judged:
        return ["There is one arm: nothing is compared."]
    found = []
    for each in judged:
        text = f"**{each.measure}**, `{each.arm}` minus `{each.reference}`: {each.text}"
        difference = tables.difference_text(each)
        if difference != "-":
            text += f" ({difference}{_p(each.p)})"
        found.append(f"{text}.")
    pairs = judged[0].seeds
    found.append(
        f"All differences are of {pairs} pairs of seeds in this world with these "
        "settings; the conditions for a winner stand below the tables."
    )
    return found


def _p(p: float) -> str:
    """A probability behind a difference, if there is one."""
    if not np.isfinite(p):
        return ""
    text = tables.p_text(p)
    return f", p {text}" if text.startswith("<") else f", p = {text}"


def _end(settings: Mapping[str, Any], values: Values) -> str:
    """What the last policy returns, beside random play and the planner or the data."""
    reward = values["final/last_mean_reward"]
    episodes = values["final/episodes"][0]
    seeds = len(settings["seeds"])
    text = f"At the end the learner alone returns {_number(reward.mean())}"
    if seeds > 1:
        text += f" (mean of {seeds} seeds, {_number(reward.min())} to "
        text += f"{_number(reward.max())})"
    text += f" on {episodes:.0f} episodes that chose no policy"
    success = values["final/last_success_rate"]
    if np.isfinite(success).any():
        text += f", with success in {np.nanmean(success):.0%}"
    others = [f"random play returns {_number(values['final/random_reward'][0])}"]
    if "final/planner_reward" in values:
        planner = _number(values["final/planner_reward"][0])
        others.append(f"the planner {settings['planner']} {planner}")
    elif "final/trained_planner_reward" in values:
        planner = _number(values["final/trained_planner_reward"].mean())
        others.append(f"the planner {settings['planner']}, which learnt too, {planner}")
    elif "final/data_reward" in values:
        data = _number(values["final/data_reward"][0])
        others.append(f"the mean of the data is {data}")
    return f"{text}; {' and '.join(others)}."


def _against_reference(settings: Mapping[str, Any], values: Values) -> str:
    """Whether the score differs from 1 beyond chance."""
    score = values["final/last_score"]
    has_planner = "final/planner_reward" in values
    reference = "the planner" if has_planner else "the data's mean"
    if "final/trained_planner_reward" in values:
        return "There is no score: the planner learnt in the run, too."
    if not np.isfinite(score).all():
        return f"There is no score: {reference} is not clearly better than random play."
    text = f"Its score is {score.mean():.2f} (0 is random play, 1 {reference})"
    if not has_planner:  # whose episodes are others
        return f"{text}."
    if len(score) < ENOUGH:
        return f"{text}. {_few(len(score))}"
    difference = paired_difference(score, np.ones(len(score)))
    low = 1 + difference.low
    high = 1 + difference.high
    interval = f"95 % interval over seeds {low:.2f} to {high:.2f}"
    if high - low < 0.005 and abs(difference.mean) < 0.005:
        return f"{text}: as good as {reference} in every seed."
    is_complete = difference.n == len(score)
    if is_complete and low > 1:
        return f"{text}, above {reference} ({interval})."
    if is_complete and high < 1:
        return f"{text}, below {reference} ({interval})."
    return f"{text}; a difference to {reference} is not shown ({interval})."


def _few(seeds: int) -> str:
    if seeds == 1:
        return "A single seed says nothing about other seeds."
    return f"{seeds} seeds say little about other seeds."


def _course(
    settings: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]
) -> list[str]:
    """The lowest score of the learner alone on its way, once it has learned."""
    offline_updates = settings.get("offline_updates", 0)
    evaluations = [
        line
        for line in lines
        if "eval/score" in line["values"] and has_learned(line["step"], offline_updates)
    ]
    if not settings.get("steps") or len(evaluations) < 2:
        return []
    scores = np.array([line["values"]["eval/score"] for line in evaluations], float)
    if not np.isfinite(scores).all():
        return []
    steps = [line["step"] for line in evaluations]
    place, seed = np.unravel_index(scores.argmin(), scores.shape)
    first = f"from step {steps[0]:,} on" if steps[0] else "over training"
    return [
        f"The lowest score of the learner alone {first} was {scores.min():.2f}, "
        f"at step {steps[place]:,} in seed {settings['seeds'][seed]}."
    ]


def _planner(settings: Mapping[str, Any], values: Values) -> list[str]:
    """What the planner was asked."""
    if not {"final/planner_reward", "final/trained_planner_reward"} & values.keys():
        return []
    calls = values["final/planner_calls"]
    if not calls.any():
        return ["Training asked no planner."]
    seconds = values["planner/seconds_total"].sum()
    each = "" if len(calls) == 1 else " a seed"
    return [
        f"Training took {calls.mean():,.0f} planner calls{each}, "
        f"{1000 * seconds / calls.sum():.2f} ms each."
    ]


def _stopped(settings: Mapping[str, Any], values: Values) -> list[str]:
    """Seeds whose numbers were no longer finite."""
    flags = values.get("final/stopped", np.zeros(len(settings["seeds"])))
    pairs = zip(settings["seeds"], flags, strict=True)
    stopped = [str(seed) for seed, was_stopped in pairs if was_stopped]
    if not stopped:
        return []
    return [
        f"Stopped because numbers were no longer finite: seed {', '.join(stopped)}; "
        "the results are those of the last good policy."
    ]


def _number(value: float) -> str:
    return f"{value:,.2f}" if np.isfinite(value) else "unknown"
