"""The fastest way to success in a finite world, from its true dynamics: an upper bound, and a privileged one."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.types import Spec, stream


@dataclass(kw_only=True)
class ShortestPath:
    """Needs a deterministic world with discrete actions that can list its states: `states()` and `index(state)`."""

    needs: ClassVar[str] = "state"

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Try every action in every state of the world of `env` and keep the best one each."""
        self.env, world = env, env.world
        if not (spec.actions and hasattr(world, "states") and hasattr(world, "index")):
            raise ValueError(f"shortest_path needs a world of listed states and discrete actions; {world} is not one")
        states, unused = world.states(), stream(0, "shortest path")
        tried = [world.step(states, np.full(len(states), action), unused)[0] for action in range(spec.actions)]
        following = np.stack([world.index(state) for state in tried], -1)  # [S, A]
        distance = np.where(world.success(states), 0.0, np.inf)  # [S] steps to success
        while ((shorter := np.minimum(distance, 1 + distance[following].min(-1))) < distance).any():
            distance = shorter
        if np.isinf(distance[world.index(world.begin(unused, len(states)))]).any():
            raise ValueError(f"shortest_path finds no way to success from some starts of {world}")
        self.best = distance[following].argmin(-1)  # [S]
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The best actions in the true states of these rows."""
        return self.best[self.env.world.index(self.env.state[rows])]
