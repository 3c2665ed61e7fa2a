"""A fixed batch of states of a data set, what the data say of them, and the states
nearest to them.

Letters: n states, N transitions of the data set, k neighbours, R reference
transitions, F numbers of an observation.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from curriculum.data.dataset import DataSet
from curriculum.data.describe import observations, spread_evenly
from curriculum.types import stream

REFERENCE = 100_000  # transitions among which neighbours and repeats are looked for
CHUNK = 100  # states whose distances are computed at once
NEGLIGIBLE = 0.01  # weight of rewards that may be missing from a return


@dataclass(frozen=True)
class States:
    """States of a data set, in its order, and what happened in them."""

    data: DataSet
    steps: np.ndarray  # [n] transitions of the data set
    episode: np.ndarray  # [n] the episodes they belong to
    obs: np.ndarray  # [n, *O]
    next_obs: np.ndarray  # [n, *O]
    action: np.ndarray  # [n] or [n, A]
    reward: np.ndarray  # [n]
    terminated: np.ndarray  # [n] bool: the episode truly ended with this step

    def __len__(self) -> int:
        return len(self.steps)

    def returns(self, discount: float, shift: float = 0.0) -> np.ndarray:
        """Discounted return from each state to the end of its episode, [n]; `shift` is
        added to every reward.

        It is nan where the recording was cut, unless what is missing weighs less than
        `NEGLIGIBLE`."""
        data = self.data
        found = np.full(len(self), np.nan)
        ends = data.first_step + data.columns.length
        for index, (step, episode) in enumerate(
            zip(self.steps, self.episode, strict=True)
        ):
            rewards = np.asarray(data.columns.reward[step : ends[episode]], float)
            weights = discount ** np.arange(len(rewards))
            is_whole = data.columns.terminated[episode]
            if is_whole or discount ** len(rewards) <= NEGLIGIBLE:
                found[index] = weights @ (rewards + shift)
        return found


def choose(data: DataSet, count: int, seed: int) -> States:
    """Choose `count` states of a data set at random, or all if there are fewer; the
    same for the same data and seed."""
    count = min(count, data.transitions)
    rng = stream(seed, "diagnose")
    steps = np.sort(rng.choice(data.transitions, count, replace=False))
    episode = np.searchsorted(data.first_step, steps, side="right") - 1
    last_step = data.first_step[episode] + data.columns.length[episode] - 1
    obs, next_obs = _observed(data, steps)
    kind = np.int64 if data.manifest.spec.actions else np.float32
    return States(
        data=data,
        steps=steps,
        episode=episode,
        obs=obs,
        next_obs=next_obs,
        action=data.columns.action[steps].astype(kind),
        reward=np.asarray(data.columns.reward[steps], np.float32),
        terminated=(steps == last_step) & data.columns.terminated[episode],
    )


def _observed(data: DataSet, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The observations and the next observations of transitions, [n, *O] each."""
    rows = data.obs_rows()[steps]
    shape = (len(steps), *data.manifest.spec.obs_shape)
    frames = rows[:, None] + np.arange(data.stack)
    kind = data.manifest.spec.obs_dtype
    obs = data.columns.obs[frames].astype(kind, copy=False)
    next_obs = data.columns.obs[frames + 1].astype(kind, copy=False)
    return obs.reshape(shape), next_obs.reshape(shape)


class Repeats(NamedTuple):
    """What the data do in states that they visit more than once."""

    states: np.ndarray  # [m] indices of such states
    counts: np.ndarray  # [m, actions] how often each action was taken there


class Neighbours(NamedTuple):
    """The transitions nearest to each state, without itself."""

    steps: np.ndarray  # [n, k] of the data set
    distance: np.ndarray  # [n, k], in standard deviations of each number


class Reference:
    """The transitions of the data that states are compared with."""

    def __init__(self, states: States):
        data = states.data
        self.states = states
        self.steps = spread_evenly(data, REFERENCE)
        self.rows = observations(data, self.steps) + 0.0  # [R, F], without -0
        self.own_rows = observations(data, states.steps) + 0.0  # [n, F]

    def repeats(self, actions: int) -> Repeats:
        """The states that are found at least twice, by identical observations."""
        wanted = {row.tobytes() for row in self.own_rows}
        places: dict[bytes, list[int]] = {}
        for place, row in enumerate(self.rows):
            key = row.tobytes()
            if key in wanted:
                places.setdefault(key, []).append(place)
        found = []
        counts = []
        for index, row in enumerate(self.own_rows):
            same = places.get(row.tobytes(), [])
            if len(same) > 1:
                taken = self.states.data.columns.action[self.steps[same]]
                found.append(index)
                counts.append(np.bincount(taken, minlength=actions))
        shape = (len(found), actions)
        return Repeats(np.array(found, int), np.array(counts, float).reshape(shape))

    def neighbours(self, k: int) -> Neighbours:
        """The `k` nearest transitions of every state, or as many as there are."""
        deviation = self.rows.std(0)
        varies = deviation > 0
        centre = self.rows.mean(0)
        rows = ((self.rows - centre) / np.where(varies, deviation, 1))[:, varies]
        own = ((self.own_rows - centre) / np.where(varies, deviation, 1))[:, varies]
        k = min(k, len(rows) - 1)
        squares = np.square(rows).sum(1)
        steps = np.empty((len(own), k), int)
        distance = np.empty((len(own), k))
        for first in range(0, len(own), CHUNK):
            part = slice(first, first + CHUNK)
            squared = squares - 2 * own[part] @ rows.T
            squared += np.square(own[part]).sum(1)[:, None]
            squared[self.steps == self.states.steps[part, None]] = np.inf  # itself
            nearest = np.argpartition(squared, k - 1, axis=1)[:, :k]
            found = np.take_along_axis(squared, nearest, 1)
            steps[part] = self.steps[nearest]
            distance[part] = np.sqrt(np.maximum(found, 0))
        return Neighbours(steps, distance)
