"""The shortest path to success, computed from the true state and dynamics.

It is an upper bound in worlds without chance."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Self

import numpy as np

from curriculum.envs._base.native import Enumerable, Navigable
from curriculum.types import Decision, Planner, Rows, Spec, stream


@dataclass(kw_only=True)
class ShortestPath(Planner):
    """For worlds that know their shortest paths, and for deterministic ones with
    discrete actions whose states can be listed: these are searched.

    Equally good actions have equal weights where states are searched."""

    needs: ClassVar[str] = "state"
    gives: ClassVar[tuple[str, ...]] = ("weights",)

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        world = rows.world
        self.actions = spec.actions
        self.decide: Callable[[np.ndarray], Decision]
        if isinstance(world, Navigable):
            self.decide = partial(self._follow, world)
        elif spec.actions and isinstance(world, Enumerable):
            self.decide = _SearchedPaths(world, spec.actions).decide
        else:
            raise ValueError(
                "shortest_path needs a world that knows its shortest paths, "
                "or one whose states can be listed and whose actions are discrete; "
                f"{world} is neither"
            )
        self.simulator = rows.simulator()
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Decision:
        return self.decide(self.simulator.states(rows))

    def _follow(self, world: Navigable, state: np.ndarray) -> Decision:
        """Decide by the path that a world knows, in states [n, ...]."""
        action = world.shortest_path(state)
        if not self.actions:
            return Decision(action)
        return Decision(action, weights=np.eye(self.actions)[action])


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
        after = distance[following]  # [S, A]
        self.best = after.argmin(-1)  # [S]
        is_best = after == after.min(-1, keepdims=True)
        self.weights = is_best / is_best.sum(-1, keepdims=True)  # [S, A]

    def decide(self, state: np.ndarray) -> Decision:
        """The best actions in states [n, ...]."""
        index = self.world.index(state)
        return Decision(self.best[index], weights=self.weights[index])


def _distances(following: np.ndarray, success: np.ndarray) -> np.ndarray:
    """Steps [S] from each state to success, inf where it cannot be reached; `following`
    [S, A] are the states that the actions lead to."""
    distance = np.where(success, 0.0, np.inf)
    while True:
        shorter = np.minimum(distance, 1 + distance[following].min(-1))
        if not (shorter < distance).any():
            return distance
        distance = shorter
