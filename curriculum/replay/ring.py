"""Ring bookkeeping: which transitions each seed holds, and in which slots."""

from typing import NamedTuple

import numpy as np

from curriculum.types import State


class Origins(NamedTuple):
    """Environment rows from which transitions come, [n] each, ordered by seed."""

    position: np.ndarray  # among the rows of all seeds
    seed: np.ndarray  # index of the seed
    row: np.ndarray  # of that seed
    ring: np.ndarray  # where the ring of the seed begins once all are flattened

    def chosen(self, keep: np.ndarray) -> "Origins":
        """Those in mask `keep` [P, E]."""
        position = np.flatnonzero(keep)
        return Origins(*(field[position] for field in self))


def origins(seeds: int, rows: int, capacity: int) -> Origins:
    """All rows, `rows` of each seed."""
    position = np.arange(seeds * rows)
    seed = position // rows
    return Origins(
        position=position, seed=seed, row=position % rows, ring=seed * capacity
    )


class Stored(NamedTuple):
    """Transitions that are stored in one call, [n] each, ordered by seed."""

    position: np.ndarray  # of the environment row among those of all seeds
    seed: np.ndarray  # index of the seed
    row: np.ndarray  # environment row of that seed
    number: np.ndarray
    slot: np.ndarray
    place: np.ndarray  # of the slot in all rings, flattened
    # number of the transition before it in its episode, -1 if there is none
    previous: np.ndarray
    over: np.ndarray  # bool: its episode is over


class Ring:
    """One ring of `capacity` slots per seed.

    Each seed numbers its transitions in the order in which it stores them. A transition
    is in slot `number % capacity` until it is evicted."""

    def __init__(self, seeds: int, capacity: int, evicts_early: bool = False) -> None:
        self.capacity = capacity
        # whether a transition may be evicted before its slot is needed again
        self.evicts_early = evicts_early
        self.added = np.zeros(seeds, np.int64)  # [P] transitions ever stored
        self.evicted = np.zeros(seeds, np.int64)  # [P] the oldest of them
        self.size = np.zeros(seeds, np.int64)  # [P] the others
        self.most_added = 0  # by any seed, or more
        self.places = seeds * capacity  # of all rings; shared data lies behind them
        # [P, 1] where each ring begins once [P, capacity] is flattened
        self.offset = np.arange(seeds)[:, None] * capacity

    @property
    def filled(self) -> int:
        """Slots that any seed has ever written to."""
        return min(int(self.added.max(initial=0)), self.capacity)

    def append(self, keep: np.ndarray) -> np.ndarray:
        """Count the transitions in mask `keep` [P, E]; returns their numbers [P, E],
        which mean nothing outside the mask."""
        number = self.added[:, None] + keep.cumsum(1) - 1
        self._count(keep.sum(1), keep.shape[1])
        return number

    def append_all(self, rows: np.ndarray) -> np.ndarray:
        """Count one transition of each of the rows 0 .. E - 1 [E] of every seed;
        returns their numbers [P, E]."""
        number = self.added[:, None] + rows
        self._count(len(rows), len(rows))
        return number

    def _count(self, stored: np.ndarray | int, at_most: int) -> None:
        self.added = self.added + stored
        self.size = self.added - self.evicted
        self.most_added += at_most

    @property
    def reuses_slots(self) -> bool:
        """Whether any transition was stored in the slot of another."""
        if self.most_added <= self.capacity:
            return False
        self.most_added = int(self.added.max())
        return self.most_added > self.capacity

    def evict(self, oldest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Evict the transitions before number `oldest` [P]; returns their seeds [n] and
        slots [n]."""
        oldest = np.maximum(oldest, self.evicted)
        count = oldest - self.evicted
        seed = np.arange(len(count)).repeat(count)
        # the numbers of one seed are consecutive, and follow those of the seed before
        count_before = count.cumsum() - count
        start = self.evicted - count_before
        number = start[seed] + np.arange(len(seed))
        self.evicted = oldest
        self.size = self.added - oldest
        return seed, number % self.capacity

    def slots(self, p: int) -> np.ndarray:
        """Slots of the transitions that one seed holds, oldest first."""
        numbers = np.arange(self.evicted[p], self.added[p])
        return numbers % self.capacity

    def state(self) -> State:
        """Return the counters."""
        return {"added": self.added, "evicted": self.evicted}

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        self.added[:] = state["added"]
        self.evicted[:] = state["evicted"]
        self.size = self.added - self.evicted
        self.most_added = int(self.added.max())
