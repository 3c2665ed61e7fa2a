"""Compare what learners say with what a data set shows: `measure` for one run.

The meaning of every measure is in `curriculum.report.diagnosis_measures`. Letters: P
seeds, n states, A actions (of a box: numbers of an action), k neighbours.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from curriculum.data.dataset import DataSet
from curriculum.data.states import Neighbours, Reference, Repeats, States
from curriculum.report import divergence
from curriculum.report.diagnosis_figures import Calibration
from curriculum.run.opened import OpenedRun, Which
from curriculum.run.reading import Reading, read
from curriculum.run.rollouts import Rollouts, roll_out
from curriculum.run.trained import is_playable
from curriculum.setting import plugins
from curriculum.storage import data_at
from curriculum.types import Planner, Spec

FAR = 0.95  # quantile of the data's own distances beyond which an action is unseen


class Yardstick(NamedTuple):
    """What all runs are compared with: a batch of states and what the data say."""

    states: States
    repeats: Repeats | None  # None for box actions
    neighbours: Neighbours
    spec: Spec

    @property
    def nearby_actions(self) -> np.ndarray:
        """Actions of the neighbours, [n, k] or [n, k, A]."""
        return np.asarray(self.states.data.columns.action[self.neighbours.steps])


class Diagnosis(NamedTuple):
    """The measures of one run, and what its figures show."""

    name: str
    seeds: tuple[int, ...]
    policy: str  # which distribution over actions is meant
    values: dict[str, np.ndarray]  # measure -> [P]
    notes: list[str]
    reward_factor: np.ndarray  # [P, 1] of the learner's units
    reading: Reading
    returns: np.ndarray  # [n] of the data, with the learner's shift
    rollouts: Rollouts | None
    # [P, n] neighbours that took the chosen action, or the distance to their nearest
    support: np.ndarray


def yardstick(states: States, spec: Spec, neighbours: int) -> Yardstick:
    """Compute what all runs with these observations and actions share."""
    reference = Reference(states)
    repeats = reference.repeats(spec.actions) if spec.actions else None
    return Yardstick(states, repeats, reference.neighbours(neighbours), spec)


def require_fit(run: OpenedRun, data: DataSet) -> None:
    """Raise ValueError where a run does not act in states of these data."""
    for what in ("obs_shape", "obs_dtype", "actions", "action_size"):
        own = getattr(run.spec, what)
        other = getattr(data.manifest.spec, what)
        if own != other and not (what == "actions" and 0 < other < own):
            name = what.replace("obs_", "observation ").replace("_", " ")
            raise ValueError(
                f"{run.folder} and {data.folder} do not fit together, {name}: {own} "
                f"and {other}; give data of the run's world"
            )


def measure(
    run: OpenedRun,
    yard: Yardstick,
    which: Which = "last",
    episodes: int = 0,
    planner: Planner | None = None,
) -> Diagnosis:
    """Measure the learner of a run on the batch, and in `episodes` of its own."""
    learner = run.learner
    rollouts = None
    with run.using(which):
        reading = read(learner, yard.states)
        if episodes and is_playable(run):
            rollouts = roll_out(learner, run.world, run.spec, episodes, planner)
    factor = learner.normalizer.reward_factor.cpu().numpy()
    returns = yard.states.returns(learner.discount, learner.reward_shift)
    support = _support(reading.chosen, yard)
    values = _of_actions(reading, yard)
    values |= _of_support(support, yard)
    values |= _of_values(reading, returns, factor)
    if rollouts is not None:
        values |= _of_rollouts(rollouts, run.spec)
    return Diagnosis(
        name=run.folder.name,
        seeds=run.seeds,
        policy=reading.policy,
        values=values,
        notes=_notes(run, yard.states.data, returns, reading),
        reward_factor=factor,
        reading=reading,
        returns=returns,
        rollouts=rollouts,
        support=support,
    )


# --- actions ---


def _of_actions(reading: Reading, yard: Yardstick) -> dict[str, np.ndarray]:
    """How the learner's actions differ from the data's."""
    action = yard.states.action
    actions = yard.spec.actions
    found = {}
    if not actions:
        assert reading.error is not None
        found["cloning_error"] = reading.error.mean(-1)
        if reading.log_prob is not None:
            found["log_density"] = reading.log_prob.mean(-1)
        return found
    found["agreement"] = (reading.chosen == action).mean(-1)
    if reading.log_prob is not None:
        found["cross_entropy"] = -reading.log_prob.mean(-1)
    probs = reading.probs
    if probs is None:
        probs = np.eye(actions)[reading.chosen]
    data_counts = np.bincount(action, minlength=actions).astype(float)
    found |= marginal(data_counts, probs)
    if yard.repeats is not None and len(yard.repeats.states):
        own = probs[:, yard.repeats.states]
        known = reading.probs is not None
        found |= conditional(yard.repeats.counts, own, known)
    return found


def marginal(counts: np.ndarray, probs: np.ndarray) -> dict[str, np.ndarray]:
    """Compare how often actions are taken over all states: by the data, counts [A], and
    by the learner, probabilities [P, n, A]."""
    actions = len(counts)
    share = counts / counts.sum()
    own_share = probs.mean(1)  # [P, A]
    smooth = divergence.smoothed(counts)
    own_smooth = divergence.smoothed(probs.sum(1))
    return {
        "marginal_kl": divergence.relative_entropy(smooth, own_smooth),
        "marginal_tv": divergence.total_variation(share, own_share),
        "legacy_kl": divergence.legacy(share, own_share),
        "legacy_kl_bound": np.full(len(probs), divergence.legacy_bound(actions)),
    }


def conditional(
    counts: np.ndarray, probs: np.ndarray, known: bool = True
) -> dict[str, np.ndarray]:
    """Compare what is done in the same state: by the data, counts [m, A], and by the
    learner, probabilities [P, m, A]; only `known` ones have a divergence."""
    visits = counts.sum(-1, keepdims=True)
    share = counts / visits
    found = {"state_tv": divergence.total_variation(share, probs).mean(-1)}
    if known:
        smooth = divergence.smoothed(counts)
        own_smooth = divergence.smoothed(probs * visits)
        found["state_kl"] = divergence.relative_entropy(smooth, own_smooth).mean(-1)
    return found


# --- support ---


def _support(action: np.ndarray, yard: Yardstick) -> np.ndarray:
    """How well the data support actions [P, n] or [n] (box: [..., A]) at the states:
    how many neighbours took the action, or how far the nearest one's is."""
    nearby = yard.nearby_actions
    if yard.spec.actions:
        return (nearby == action[..., None]).sum(-1)
    difference = nearby - action[..., None, :]
    return np.sqrt(np.square(difference).mean(-1)).min(-1)


def own_support(yard: Yardstick) -> np.ndarray:
    """`support` of the data's own actions, [n]."""
    return _support(yard.states.action, yard)


def _of_support(support: np.ndarray, yard: Yardstick) -> dict[str, np.ndarray]:
    """Support of the chosen actions, beside that of the data's own."""
    own = own_support(yard)
    seeds = np.ones(len(support))
    if yard.spec.actions:
        return {
            "support": support.mean(-1),
            "support_of_data": own.mean() * seeds,
            "unseen": (support == 0).mean(-1),
            "unseen_of_data": (own == 0).mean() * seeds,
        }
    limit = np.quantile(own, FAR)
    return {
        "support_distance": support.mean(-1),
        "support_distance_of_data": own.mean() * seeds,
        "unseen": (support > limit).mean(-1),
        "unseen_of_data": (own > limit).mean() * seeds,
    }


# --- values ---


def _of_values(
    reading: Reading, returns: np.ndarray, factor: np.ndarray
) -> dict[str, np.ndarray]:
    """Values on the data, in rewards of the world; `factor` [P, 1] turns rewards into
    the learner's units."""
    known = np.isfinite(returns)
    found = {}
    if reading.q_data is not None and reading.q_chosen is not None:
        found["q_data"] = (reading.q_data / factor).mean(-1)
        found["q_policy"] = (reading.q_chosen / factor).mean(-1)
    if reading.q is not None and reading.q_data is not None:
        found["q_max"] = (reading.q.max(-1) / factor).mean(-1)
        gap = _log_sum_exp(reading.q) - reading.q_data
        found["logsumexp_gap"] = gap.mean(-1)
    if reading.value is not None:
        found["value"] = (reading.value / factor).mean(-1)
    if reading.td_error is not None:
        found["td_error"] = (reading.td_error / factor).mean(-1)
    if not found or not known.any():
        return found
    seeds = np.ones(len(factor))
    found["data_return"] = returns[known].mean() * seeds
    found["known_returns"] = known.mean() * seeds
    estimates = {"q_over": reading.q_data, "value_over": reading.value}
    for name, estimate in estimates.items():
        if estimate is not None:
            error = estimate / factor - returns
            found[name] = error[:, known].mean(-1)
    return found


def _log_sum_exp(q: np.ndarray) -> np.ndarray:
    top = q.max(-1)
    return top + np.log(np.exp(q - top[..., None]).sum(-1))


def _of_rollouts(rollouts: Rollouts, spec: Spec) -> dict[str, np.ndarray]:
    """What the learner expected of its own episodes, and whether a planner agrees."""
    found = {}
    has_values = np.isfinite(rollouts.value).all()
    if has_values and np.isfinite(rollouts.returns).all():
        error = rollouts.value - rollouts.returns
        found["rollout_value"] = rollouts.value.mean(-1)
        found["rollout_return"] = rollouts.returns.mean(-1)
        found["rollout_over"] = error.mean(-1)
        found["cut_rollouts"] = rollouts.is_cut.mean(-1)
    if rollouts.agreement is not None:
        name = "planner_agreement" if spec.actions else "planner_error"
        found[name] = rollouts.agreement
    return found


# --- notes ---


def _notes(
    run: OpenedRun, data: DataSet, returns: np.ndarray, reading: Reading
) -> list[str]:
    """What a reader of the numbers of this run must know."""
    name = run.folder.name
    notes = []
    if _trained_on(run, data.folder):
        notes.append(
            f"{name} was trained on these very data: its numbers are not those of "
            "held-out states (python -m curriculum.collect split)."
        )
    if not run.finished:
        notes.append(f"{name} is not finished: this is its step {run.step:,}.")
    if not is_playable(run):
        notes.append(
            f"The world of {name} is known from data alone: it plays no episodes."
        )
    if reading.q_data is None and reading.value is None:
        notes.append(f"{name} has no values, so everything about values is left out.")
        return notes
    shift = run.learner.reward_shift
    if shift:
        notes.append(
            f"Rewards of {name} are shifted by {shift:g}; so are the returns that its "
            "values are compared with."
        )
    if plugins.name_of("bonus", run.config.bonus) != "none":
        notes.append(
            f"The values of {name} contain the bonus of its exploration, the returns "
            "do not."
        )
    if not np.isfinite(returns).any():
        notes.append(
            f"No return of the data is known to its end at the discount of {name}, so "
            "no over-estimation is reported."
        )
    return notes


def _trained_on(run: OpenedRun, folder: Path) -> bool:
    """Whether a run started from these data."""
    path = getattr(run.config.start, "path", "")
    return bool(path) and data_at(path).resolve() == folder.resolve()


# --- figures ---


def values_of_actions(one: Diagnosis) -> tuple[np.ndarray, np.ndarray]:
    """Values of the data's actions and of the chosen ones, [P, n] each, in rewards of
    the world."""
    reading = one.reading
    assert reading.q_data is not None
    assert reading.q_chosen is not None
    return reading.q_data / one.reward_factor, reading.q_chosen / one.reward_factor


def calibration(one: Diagnosis) -> Calibration | None:
    """Values beside the returns that they estimate; None without values, or without a
    known return."""
    estimate = one.reading.value
    if one.reading.q_data is not None:
        estimate = one.reading.q_data
    if estimate is None:
        return None
    known = np.isfinite(one.returns)
    rollouts = one.rollouts
    none = np.empty((len(one.seeds), 0))
    pair = Calibration(
        value=estimate[:, known] / one.reward_factor,
        returns=one.returns[known],
        rollout_value=none if rollouts is None else rollouts.value,
        rollout_returns=none if rollouts is None else rollouts.returns,
    )
    has_any = known.any() or np.isfinite(pair.rollout_returns).any()
    return pair if has_any else None
