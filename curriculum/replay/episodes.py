"""Episodes in the ring: which transitions follow one another, n-step windows and
returns."""

from itertools import accumulate
from typing import NamedTuple, Self

import numpy as np

from curriculum.replay import shared
from curriculum.replay.ring import Ring, Stored
from curriculum.types import SharedData, State

FOLLOWED_BYTES = 9  # of a transition in `Followed`


class Followed(NamedTuple):
    """What windows read of the transitions of all rings, and of the shared data behind
    them, [P * capacity + N] each."""

    reward: np.ndarray  # float32
    terminated: np.ndarray  # bool
    ahead: np.ndarray  # int32: places to the next transition, 0 if there is none

    @classmethod
    def of(cls, places: int, data: SharedData | None) -> Self:
        """Rings of `places` that hold nothing, and data."""
        size = places + shared.count(data)
        followed = cls(
            reward=np.zeros(size, np.float32),
            terminated=np.ones(size, np.bool_),
            ahead=np.zeros(size, np.int32),
        )
        if data:
            followed.reward[places:] = data.reward
            followed.terminated[places:] = shared.terminated(data)
            followed.ahead[places:] = 1
            followed.ahead[places + shared.last_steps(data)] = 0
        return followed


class Columns(NamedTuple):
    """What is stored of every transition to follow its episode, [P, capacity] each."""

    reward: np.ndarray  # float32
    terminated: np.ndarray  # bool
    truncated: np.ndarray  # bool
    episode: np.ndarray  # int32: id of the episode, unique within a seed
    time: np.ndarray  # int32: steps since the episode began
    # int32: slots to the next transition, fewer than 0 where the ring begins anew in
    # between, 0 if there is none yet
    ahead: np.ndarray
    # int32: how many transitions earlier the previous one was stored, 0 if there is
    # none
    distance: np.ndarray

    @classmethod
    def empty(cls, seeds: int, capacity: int, followed: Followed | None = None) -> Self:
        """Columns of slots that hold nothing; three of them are views of `followed`."""
        shape = (seeds, capacity)
        places = seeds * capacity
        followed = followed or Followed.of(places, None)
        return cls(
            reward=followed.reward[:places].reshape(shape),
            terminated=followed.terminated[:places].reshape(shape),
            truncated=np.zeros(shape, np.bool_),
            episode=np.zeros(shape, np.int32),
            time=np.zeros(shape, np.int32),
            ahead=followed.ahead[:places].reshape(shape),
            distance=np.zeros(shape, np.int32),
        )

    @property
    def nbytes(self) -> int:
        """Memory of all columns."""
        return sum(column.nbytes for column in self)


class Windows(NamedTuple):
    """Results of n-step windows, [..., P, B] each."""

    last: np.ndarray  # place of the last transition in all rings and shared data
    reward: np.ndarray  # discounted sum
    # discount**steps, 0 where the episode terminated
    discount: np.ndarray
    # places of their steps, one array for each; those after the end repeat the last
    steps: list[np.ndarray]


class Episodes:
    """The running episode of every environment row, and the links between the stored
    transitions of one episode.

    A transition that is not stored cuts its episode in two."""

    def __init__(
        self, ring: Ring, rows_per_seed: int, data: SharedData | None = None
    ) -> None:
        self.ring = ring
        seeds = len(ring.added)
        rows = (seeds, rows_per_seed)
        self.followed = Followed.of(ring.places, data)
        self.columns = Columns.empty(seeds, ring.capacity, self.followed)
        # the same memory, [P * capacity] each
        self.flat = Columns._make(column.reshape(-1) for column in self.columns)
        self.shared_returns = shared.complete_returns(data) if data else np.zeros(0)
        self.shared_begins = shared.begins(data) if data else np.zeros(0, bool)
        # [P, E] number of the running episode's last stored transition, -1 if the next
        # one has no predecessor
        self.latest = np.full(rows, -1, np.int64)
        # [P, E] id of the running episode
        self.episode = np.tile(np.arange(rows_per_seed), (seeds, 1))
        self.time = np.zeros(rows, np.int64)  # [P, E] its steps so far

    @property
    def memory_bytes(self) -> int:
        """Memory of the arrays that grow with the capacity and with shared data."""
        of_shared = sum(array[self.ring.places :].nbytes for array in self.followed)
        return self.columns.nbytes + of_shared

    def add(
        self, stored: Stored, values: dict[str, np.ndarray], over: np.ndarray
    ) -> None:
        """Store transitions, fields [n] by name, of a step after which the episodes of
        the rows in mask `over` [P, E] are over."""
        columns = self.flat
        position = stored.position
        place = stored.place
        columns.reward[place] = values["reward"]
        columns.terminated[place] = values["terminated"]
        columns.truncated[place] = values["truncated"]
        columns.episode[place] = self.episode.reshape(-1)[position]
        columns.time[place] = self.time.reshape(-1)[position]
        self._link(stored)
        self.latest[:] = -1
        self.latest.reshape(-1)[position] = np.where(stored.over, -1, stored.number)
        self.time += 1
        if over.any():
            self.episode[over] += self.episode.shape[1]
            self.time[over] = 0

    def _link(self, stored: Stored) -> None:
        """Link transitions to their predecessors."""
        columns = self.flat
        linked = stored.previous >= 0
        distance = stored.number - stored.previous
        columns.distance[stored.place] = np.where(linked, distance, 0)
        columns.ahead[stored.place] = 0
        ahead = stored.slot - stored.previous % self.ring.capacity
        predecessor = stored.place - ahead
        columns.ahead[predecessor[linked]] = ahead[linked]

    def windows(self, index: np.ndarray, discount: float, n_step: int) -> Windows:
        """Follow windows of up to `n_step` steps from places `index` [..., P, B]."""
        rewards, all_terminated, all_ahead = self.followed
        last = index.copy()
        steps = [last]
        reward = rewards[index]
        factor = np.full(index.shape, discount, np.float32)
        for _ in range(n_step - 1):
            ahead = all_ahead[last]
            continues = ahead != 0
            last = last + ahead
            steps.append(last)
            step_reward = factor * rewards[last]
            reward = reward + np.where(continues, step_reward, np.float32(0))
            factor = np.where(continues, factor * np.float32(discount), factor)
        terminated = all_terminated[last]
        return Windows(last, reward, factor * ~terminated, steps)

    def returns(
        self, p: int, number: int, discount: float
    ) -> tuple[list[int], list[float]]:
        """Slots and discounted returns of the linked transitions of seed `p` that end
        in transition `number`, last one first."""
        capacity = self.ring.capacity
        oldest = int(self.ring.evicted[p])
        distances = self.columns.distance[p]
        slots = []
        while number >= oldest:
            slot = number % capacity
            slots.append(slot)
            distance = int(distances[slot])
            if distance == 0:
                break
            number -= distance
        rewards = self.columns.reward[p, slots].tolist()
        returns = accumulate(rewards, lambda later, reward: reward + discount * later)
        return slots, list(returns)

    def complete_returns(self, p: int) -> np.ndarray:
        """Undiscounted returns of the shared episodes that are over, then of those of
        seed `p` that are stored from their first step to their end."""
        slots = self.ring.slots(p)
        columns = self.columns
        _, episode = np.unique(columns.episode[p, slots], return_inverse=True)
        over = columns.terminated[p, slots] | columns.truncated[p, slots]
        # of the episode, 0 where its end is not stored
        length = np.bincount(episode, np.where(over, columns.time[p, slots] + 1, 0))
        returns = np.bincount(episode, columns.reward[p, slots])
        complete = returns[np.bincount(episode) == length]
        return np.concatenate([self.shared_returns, complete])

    def begins(self, p: int) -> np.ndarray:
        """Whether each transition that seed `p` draws from, shared ones first and its
        own from the oldest on, begins an episode, [n] bool."""
        own = self.columns.time[p, self.ring.slots(p)] == 0
        return np.concatenate([self.shared_begins, own])

    def state(self) -> State:
        """Return the filled slots and the running episodes."""
        filled = self.ring.filled
        columns = {
            name: column[:, :filled] for name, column in self.columns._asdict().items()
        }
        columns["successor"] = self._successor(columns.pop("ahead"))
        return {
            "columns": columns,
            "latest": self.latest,
            "episode": self.episode,
            "time": self.time,
        }

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        filled = self.ring.filled
        saved = dict(state["columns"])
        successor = saved.pop("successor")
        slots = np.arange(filled)
        saved["ahead"] = np.where(successor >= 0, successor - slots, 0)
        for name, column in self.columns._asdict().items():
            column[:, :filled] = saved[name]
        self.latest[:] = state["latest"]
        self.episode[:] = state["episode"]
        self.time[:] = state["time"]

    def _successor(self, ahead: np.ndarray) -> np.ndarray:
        """Slots [P, n] of the next transitions, -1 where there is none."""
        slots = np.arange(ahead.shape[1], dtype=np.int32)
        return np.where(ahead != 0, slots + ahead, np.int32(-1))
