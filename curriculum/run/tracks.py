"""Where agents have been: steps in every cell, and the newest steps one by one."""

import numpy as np

from curriculum.envs._base.native import Mapped
from curriculum.replay.layout import Transition
from curriculum.types import State

STEPS = 200  # of the first row of each seed, which are drawn


class Tracks:
    """Follows P seeds through a world with maps, from the first step of the start on.

    Stopped seeds are followed, too: what they collect is no longer stored."""

    def __init__(self, world: Mapped, seeds: int):
        self.world = world
        self.visits = np.zeros((seeds, *world.cells), np.int64)
        # the newest steps, in a ring: row and column before and after, [P, STEPS, 4]
        self.trail = np.full((seeds, STEPS, 4), np.nan, np.float32)
        self.source = np.zeros((seeds, STEPS), np.uint8)  # who acted
        self.steps = 0  # of each row so far

    def add(self, transition: Transition) -> None:
        """Take in one step of all rows."""
        obs = transition.obs
        seeds, rows = obs.shape[:2]
        position = self.world.position(obs.reshape(-1, *obs.shape[2:]))
        cell = cells_of(position, self.world.cells)
        seed = np.repeat(np.arange(seeds), rows)
        np.add.at(self.visits.reshape(seeds, -1), (seed, cell), 1)
        slot = self.steps % STEPS
        self.trail[:, slot, :2] = position[::rows]
        self.trail[:, slot, 2:] = self.world.position(transition.next_obs[:, 0])
        self.source[:, slot] = transition.source[:, 0]
        self.steps += 1

    def newest(self) -> np.ndarray:
        """The newest steps of each seed's first row, oldest first: row and column
        before and after, and who acted, [P, STEPS, 5]; nan where there were fewer."""
        steps = np.concatenate([self.trail, self.source[..., None]], -1)
        return np.roll(steps, -self.steps % STEPS, axis=1)

    def state(self) -> State:
        return {
            "visits": self.visits,
            "trail": self.trail,
            "source": self.source,
            "steps": self.steps,
        }

    def load(self, state: State) -> None:
        self.visits[:] = state["visits"]
        self.trail[:] = state["trail"]
        self.source[:] = state["source"]
        self.steps = state["steps"]


def cells_of(position: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    """Cells [n], in row-major order, of rows and columns [n, 2]; what is outside
    belongs to the nearest cell."""
    last = np.subtract(cells, 1)
    row, column = position.astype(np.int64).clip(0, last).T
    return row * cells[1] + column
