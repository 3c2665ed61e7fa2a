"""The shortest path to success, computed from the true state and dynamics.

It is an upper bound in worlds without chance."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from curriculum.envs._base.native import Enumerable, Navigable
from curriculum.types import Planner, Rows, Spec, stream


@dataclass(kw_only=True)
class ShortestPath(Planner):
    """For worlds that know their shortest paths, and for deterministic ones with
    discrete actions whose states can be listed: these are searched."""

    needs: ClassVar[str] = "state"

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        world = rows.world
        if isinstance(world, Navigable):
            self.best = world.shortest_path
        elif spec.actions and isinstance(world, Enumerable):
            self.best = _SearchedPaths(world, spec.actions).best
        else:
            raise ValueError(
                "shortest_path needs a world that knows its shortest paths, "
                "or one whose states can be listed and whose actions are discrete; "
                f"{world} is neither"
            )
        self.simulator = rows.simulator()
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return self.best(self.simulator.states(rows))


class _SearchedPaths:
    """The best action in every state of a world, found by trying all of them.

    Raises ValueError where success cannot be reached from some starts."""

    def __init__(self, world: Enumerable, actions: int):
        unused = stream(0, "shortest path")  # a deterministic world draws in vain
        states = world.states()  # [S, ...]
        following = np.empty((len(states), actions), np.int64)
        for action in range(actions):
            tried = np.full(len(states), action)
            next_states, _, _ = world.step(states, tried, unused)
            following[:, action] = world.index(next_states)
        distance = _distances(following, world.success(states))
        starts = world.index(world.begin(unused, len(states)))
        if np.isinf(distance[starts]).any():
            raise ValueError(
                f"shortest_path finds no path to success from some starts of {world}"
            )
        self.world = world
        self.table = distance[following].argmin(-1)  # [S]

    def best(self, state: np.ndarray) -> np.ndarray:
        """The best actions in states [n, ...], as [n]."""
        return self.table[self.world.index(state)]


def _distances(following: np.ndarray, success: np.ndarray) -> np.ndarray:
    """Steps [S] from each state to success, inf where it cannot be reached; `following`
    [S, A] are the states that the actions lead to."""
    distance = np.where(success, 0.0, np.inf)
    while True:
        shorter = np.minimum(distance, 1 + distance[following].min(-1))
        if not (shorter < distance).any():
            return distance
        distance = shorter
