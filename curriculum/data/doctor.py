"""The data doctor: numbers that say what a data set is good for, and the advice to
clone its actions or to reinforce the good ones.

A reinforcing learner can only improve on those who acted where the data show several
actions in one state. So the advice rests on two numbers: how far an observation decides
the action, and how far returns differ (compare Kumar et al. 2022, arXiv:2204.05618).
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from curriculum.data.dataset import DataSet
from curriculum.data.describe import (
    CHUNK,
    metadata,
    observations,
    source_of_episodes,
    spread_evenly,
)

REFERENCES = 4_000  # transitions among which neighbours are searched
QUERIES = 500  # transitions whose neighbours are searched
NEIGHBOURS = 10
DECIDED = 0.5  # predictability from which to clone
SAME_RETURN = 0.01  # standard deviation over the largest return: they do not differ
AT_BOUND = 0.999  # a number of a box action beyond this is at its bound
Advice = Literal["clone", "reinforce"]


@dataclass(kw_only=True)
class Findings:
    """What the doctor finds."""

    advice: Advice
    reason: str
    # share of the variation of actions that observations explain, from their nearest
    # neighbours: 0 random play, 1 one action in each state
    predictability: float
    entropy: float  # of discrete actions, over that of uniform ones; nan for a box
    unused_actions: list[int]  # discrete actions that nobody takes
    at_bound: float  # share of the numbers of box actions at a bound; nan if discrete
    distinct_obs: float  # distinct observations over transitions
    duplicates: float  # share of transitions that repeat an earlier one
    repeated_episodes: int  # that equal an earlier one
    # principal directions that the observations fill, out of `numbers`
    dimensions: float
    numbers: int
    returns: dict[str, tuple[int, float, float]]  # source -> episodes, mean, deviation
    problems: list[str]


def examine(data: DataSet) -> Findings:
    """Examine a data set; reads every column once."""
    columns = data.columns
    obs, action = _sample(data)
    predictability = predict_actions(obs, action)
    returns = data.returns()
    advice, reason = advise(predictability, returns)
    distinct, duplicates = _repetition(data)
    discrete = bool(data.manifest.spec.actions)
    entropy, unused = _discrete(data) if discrete else (np.nan, [])
    at_bound = np.nan
    if not discrete:
        at_bound = float((np.abs(columns.action) > AT_BOUND).mean())
    return Findings(
        advice=advice,
        reason=reason,
        predictability=predictability,
        entropy=entropy,
        unused_actions=unused,
        at_bound=at_bound,
        distinct_obs=distinct,
        duplicates=duplicates,
        repeated_episodes=_repeated_episodes(data),
        dimensions=_dimensions(obs),
        numbers=obs.shape[1],
        returns=_returns_by_source(data, returns),
        problems=_problems(data, returns),
    )


def _sample(data: DataSet) -> tuple[np.ndarray, np.ndarray]:
    """Observations [n, F] and actions of some transitions, without broken numbers."""
    steps = spread_evenly(data, REFERENCES)
    obs = observations(data, steps)
    action = data.columns.action[steps]
    sound = np.isfinite(obs).all(1)
    sound &= np.isfinite(action).reshape(len(action), -1).all(1)
    if not sound.any():
        raise ValueError(f"{data.folder} has no observation that is finite")
    return obs[sound], action[sound]


# --- the advice ---


def predict_actions(obs: np.ndarray, action: np.ndarray) -> float:
    """Share of the variation of `action`, [n] or [n, A], that `obs` [n, F] explains.

    It compares transitions with their nearest neighbours: variation is the chance that
    two discrete actions differ, or the squared distance of two box actions."""
    scale = obs.std(0)
    # centred, or distances are lost in rounding
    scaled = ((obs - obs.mean(0)) / np.where(scale > 0, scale, 1)).astype(np.float32)
    if action.ndim == 1:
        share = np.unique(action, return_counts=True)[1] / len(action)
        total = 1 - np.square(share).sum()
    else:
        action = np.asarray(action, float)
        total = 2 * action.var(0).sum()
    if len(obs) <= NEIGHBOURS or not total > 0:
        return 1.0
    queries = np.arange(min(QUERIES, len(obs))) * len(obs) // min(QUERIES, len(obs))
    near = _neighbours(scaled, queries)
    if action.ndim == 1:
        differs = (action[near] != action[queries, None]).mean()
    else:
        gap = action[near] - action[queries, None]
        differs = np.square(gap).sum(-1).mean()
    return float(np.clip(1 - differs / total, 0, 1))


def _neighbours(obs: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The nearest others of each query, [queries, NEIGHBOURS]."""
    asked = obs[queries]
    products = asked @ obs.T
    square = np.square(obs).sum(1)
    distance = square[queries, None] + square - 2 * products
    distance[np.arange(len(queries)), queries] = np.inf
    near: np.ndarray = np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    return near


def advise(predictability: float, returns: np.ndarray) -> tuple[Advice, str]:
    """Clone or reinforce, and why."""
    explained = f"observations explain {predictability:.2f} of the choice of actions"
    if predictability >= DECIDED:
        return "clone", f"{explained}: the data hardly show what else could be done"
    largest = float(np.abs(returns).max())
    if returns.std() <= SAME_RETURN * largest:
        return "clone", "all episodes return the same: nothing tells good from bad"
    return "reinforce", (
        f"{explained}, and returns differ by {returns.std():.4g} (standard "
        "deviation): the data show better and worse actions"
    )


# --- the other numbers ---


def _discrete(data: DataSet) -> tuple[float, list[int]]:
    """Entropy of actions over that of uniform ones, and actions nobody takes."""
    actions = data.manifest.spec.actions
    counts = np.bincount(data.columns.action, minlength=actions)
    share = counts[counts > 0] / counts.sum()
    entropy = -(share * np.log(share)).sum()
    largest = np.log(actions) if actions > 1 else 1.0
    return float(entropy / largest), np.flatnonzero(counts == 0).tolist()


def _repetition(data: DataSet) -> tuple[float, float]:
    """Distinct observations over transitions, and the share of transitions whose
    observation, action, reward and next observation repeat an earlier one."""
    columns = data.columns
    image = _keys(columns.obs)
    rows = data.obs_rows()
    factors = _factors(data.stack + 4)
    obs = np.zeros(data.transitions, np.uint64)
    for number in range(data.stack):
        obs += image[rows + number] * factors[number]
    newest = image[rows + data.stack] * factors[data.stack]
    chosen = _keys(columns.action) * factors[data.stack + 1]
    reward = _keys(columns.reward) * factors[data.stack + 2]
    distinct = len(np.unique(obs)) / data.transitions
    transitions = len(np.unique(obs + newest + chosen + reward))
    return distinct, 1 - transitions / data.transitions


def _keys(column: np.ndarray) -> np.ndarray:
    """A number for every row that equal rows share and others almost surely do not,
    [n] uint64."""
    size = column.itemsize * int(np.prod(column.shape[1:]))
    factors = _factors(size)
    found = np.empty(len(column), np.uint64)
    for first in range(0, len(column), CHUNK):
        rows = np.ascontiguousarray(column[first : first + CHUNK])
        numbers = rows.view(np.uint8).reshape(len(rows), size)
        found[first : first + len(rows)] = numbers.astype(np.uint64) @ factors
    return found


def _factors(count: int) -> np.ndarray:
    """Fixed odd numbers, [count] uint64."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 2**63, count, dtype=np.uint64)
    odd: np.ndarray = drawn * np.uint64(2) + np.uint64(1)
    return odd


def _repeated_episodes(data: DataSet) -> int:
    seen = set()
    for episode in data.episodes():
        digest = hashlib.blake2b(digest_size=16)
        for part in (episode.observation, episode.action, episode.reward):
            digest.update(np.ascontiguousarray(part).data)
        digest.update(np.ascontiguousarray(episode.next_observation[-1:]).data)
        seen.add(digest.digest())
    return len(data) - len(seen)


def _dimensions(obs: np.ndarray) -> float:
    """Directions that the scaled observations fill: the participation ratio of the
    eigenvalues of their covariance."""
    scale = obs.std(0)
    varying = (obs[:, scale > 0] - obs.mean(0)[scale > 0]) / scale[scale > 0]
    if not varying.shape[1]:
        return 0.0
    values = np.linalg.eigvalsh(np.atleast_2d(np.cov(varying.T)))
    return float(values.sum() ** 2 / np.square(values).sum())


def _returns_by_source(
    data: DataSet, returns: np.ndarray
) -> dict[str, tuple[int, float, float]]:
    """Episodes, mean return and its deviation for whoever acted most in them."""
    source = source_of_episodes(data)
    found = {}
    for index, name in enumerate(data.manifest.sources):
        own = returns[source == index]
        if own.size:
            found[name] = (own.size, float(own.mean()), float(own.std()))
    return found


def _problems(data: DataSet, returns: np.ndarray) -> list[str]:
    """What is suspicious, one sentence each."""
    columns = data.columns
    terminated = columns.terminated
    truncated = columns.truncated
    found = []
    for name in ("obs", "action", "reward"):
        column = getattr(columns, name)
        broken = sum(
            int((~np.isfinite(column[first : first + CHUNK])).sum())
            for first in range(0, len(column), CHUNK)
        )
        if broken:
            found.append(f"{name} has {broken} numbers that are not finite")
    both = int((terminated & truncated).sum())
    if both:
        found.append(f"{both} episodes are both terminated and truncated")
    neither = int((~terminated & ~truncated).sum())
    if neither:
        found.append(
            f"{neither} episodes are neither terminated nor truncated: their last "
            "transition is bootstrapped"
        )
    found += _suspicious_ends(columns.length, terminated)
    if np.ptp(columns.reward) == 0:
        found.append(f"every reward is {float(columns.reward[0]):g}")
    return found


def _suspicious_ends(length: np.ndarray, terminated: np.ndarray) -> list[str]:
    """Time limits that were taken for true ends."""
    longest = int(length.max())
    at_longest = length == longest
    shorter = int((~at_longest).sum())
    limited = int((at_longest & terminated).sum())
    if limited > 1 and limited == at_longest.sum() and shorter and limited > shorter:
        return [
            f"{limited} of {len(length)} episodes terminate after exactly {longest} "
            "steps, the longest: this looks like a time limit, which truncates"
        ]
    return []


# --- in words ---


def report(data: DataSet, findings: Findings) -> str:
    """Everything found, as text."""
    columns = data.columns
    ended = int(columns.terminated.sum())
    cut = int((columns.truncated & ~columns.terminated).sum())
    lines = [metadata(data), ""]
    lines.append(f"episodes that terminated {ended}, that were only truncated {cut}")
    for name, (episodes, mean, deviation) in findings.returns.items():
        lines.append(f"return of {name}: {mean:.2f} +- {deviation:.2f} ({episodes})")
    lines += _actions_in_words(findings)
    lines += [
        f"observations: {findings.distinct_obs:.3f} of them distinct, they fill "
        f"{findings.dimensions:.1f} of {findings.numbers} directions",
        f"repeated: {findings.duplicates:.3f} of the transitions, "
        f"{findings.repeated_episodes} of {len(data)} episodes",
        *(f"problem: {problem}" for problem in findings.problems),
        "",
        f"advice: {findings.advice}, because {findings.reason}",
    ]
    return "\n".join(lines)


def _actions_in_words(findings: Findings) -> list[str]:
    if np.isnan(findings.entropy):
        text = f"{findings.at_bound:.3f} of their numbers at a bound"
    else:
        text = f"entropy {findings.entropy:.3f} of the largest"
        if findings.unused_actions:
            numbers = ", ".join(map(str, findings.unused_actions))
            text += f", never taken: {numbers}"
    return [f"actions: {text}; predictability {findings.predictability:.2f}"]
