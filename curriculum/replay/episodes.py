"""Which transitions of a ring follow one another in an episode, and what comes of them:
windows and returns."""

from itertools import accumulate

import numpy as np

from curriculum.types import State

COLUMNS = {
    "reward": np.float32,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "episode": np.int32,  # a number of its own
    "time": np.int32,  # steps since it began
    # slot of the same episode's next transition, -1 for none (yet)
    "successor": np.int32,
    # how many transitions earlier the same episode's previous one was stored, 0 for
    # none
    "back": np.int32,
}
COUNTERS = ("open_number", "episode", "time")


class Chains:
    """Every environment row's running episode, and the columns [P, capacity] that link
    what was stored of them."""

    def __init__(self, seeds: int, capacity: int, rows_each: int):
        self.capacity = capacity
        self.columns: dict[str, np.ndarray] = {
            name: np.zeros((seeds, capacity), d) for name, d in COLUMNS.items()
        }
        self.columns["successor"][:] = -1
        self.columns["terminated"][:] = True  # an empty slot leads nowhere
        # of the running episode, stored last; -1: none
        self.open_number = np.full((seeds, rows_each), -1, np.int64)
        # id of the running episode
        self.episode = np.tile(np.arange(rows_each), (seeds, 1))
        self.time = np.zeros((seeds, rows_each), np.int64)  # its steps so far

    def add(
        self,
        seed: np.ndarray,
        row: np.ndarray,
        number: np.ndarray,
        values: dict[str, np.ndarray],
    ) -> None:
        """Store transitions `number` [n] of rows (seed, row); `values` [P, E] of all
        rows, stored or not."""
        over, slot, before = (
            values["terminated"] | values["truncated"],
            number % self.capacity,
            self.open_number[seed, row],
        )
        values = {name: values[name] for name in ("reward", "terminated", "truncated")}
        for name, value in (
            values | {"episode": self.episode, "time": self.time}
        ).items():
            self.columns[name][seed, slot] = value[seed, row]
        goes_on = before >= 0
        self.columns["back"][seed, slot] = np.where(goes_on, number - before, 0)
        self.columns["successor"][seed, slot] = -1
        self.columns["successor"][seed[goes_on], before[goes_on] % self.capacity] = (
            slot[goes_on]
        )
        self.open_number[:] = -1  # a step that is not stored breaks its episode's chain
        self.open_number[seed, row] = np.where(over[seed, row], -1, number)
        self.episode += over * self.episode.shape[1]
        self.time = np.where(over, 0, self.time + 1)

    def windows(
        self, index: np.ndarray, first: np.ndarray, discount: float, n_step: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Last row, reward and discount of windows from rows `index` [..., P, B] of all
        rings; `first` [P, 1] begin."""
        successor, rewards = (
            self.columns["successor"].reshape(-1),
            self.columns["reward"].reshape(-1),
        )
        last, reward, factor = (
            index.copy(),
            rewards[index],
            np.full(index.shape, discount, np.float32),
        )
        for _ in range(n_step - 1):
            following = successor[last]
            goes_on = following >= 0
            last = np.where(goes_on, first + following, last)
            reward = reward + np.where(goes_on, factor * rewards[last], np.float32(0))
            factor = np.where(goes_on, factor * np.float32(discount), factor)
        return last, reward, factor * ~self.columns["terminated"].reshape(-1)[last]

    def returns(
        self, p: int, number: int, oldest: int, discount: float
    ) -> tuple[list[int], list[float]]:
        """Slots of all that is held, from transition `oldest` on, of the chain that
        ends in `number`; their returns."""
        slots, back = [number % self.capacity], self.columns["back"][p]
        while (step := int(back[slots[-1]])) and number - step >= oldest:
            number -= step
            slots.append(number % self.capacity)
        rewards = self.columns["reward"][p, slots].tolist()
        return slots, list(
            accumulate(rewards, lambda after, reward: reward + discount * after)
        )

    def whole_returns(self, p: int, slot: np.ndarray) -> np.ndarray:
        """Undiscounted returns of the episodes of which every step stands in one of the
        slots."""
        names = ("episode", "time", "reward", "terminated", "truncated")
        episode, time, reward, terminated, truncated = (
            self.columns[name][p, slot] for name in names
        )
        _, which = np.unique(episode, return_inverse=True)
        # 0 where the end is not held
        length = np.bincount(which, np.where(terminated | truncated, time + 1, 0))
        return np.bincount(which, reward)[np.bincount(which) == length]

    def state(self) -> State:
        """What is known of the running episodes; the columns are saved with the
        ring."""
        return {name: getattr(self, name) for name in COUNTERS}

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        for name in COUNTERS:
            getattr(self, name)[:] = state[name]
