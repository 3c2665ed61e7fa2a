"""The fastest way to success, from the true dynamics: an upper bound where nothing is
left to chance; privileged."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.envs._base.native import Enumerable, Navigable
from curriculum.types import Spec, stream


@dataclass(kw_only=True)
class ShortestPath:
    """Needs a world that knows the way, `shortest_path(state)`, or a deterministic one
    that can be searched.

    That one has discrete actions and lists its states: `states()` and
    `index(state)`."""

    needs: ClassVar[str] = "state"

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Ask the world of `env` for the way, or try every action in every state and
        keep the best one each."""
        self.env, world = env, env.world
        if isinstance(world, Navigable):
            self.best = world.shortest_path
        elif spec.actions and isinstance(world, Enumerable):
            table = _search(world, spec.actions)
            self.best = lambda state: table[world.index(state)]
        else:
            raise ValueError(
                "shortest_path needs a world that knows the way, or one of listed states and discrete actions; "
                f"{world} is neither"
            )
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The best actions in the true states of these rows."""
        return self.best(self.env.state[rows])


def _search(world: Any, actions: int) -> np.ndarray:
    """The best action in every state of the world, [S]."""
    states, unused = world.states(), stream(0, "shortest path")
    tried = [
        world.step(states, np.full(len(states), action), unused)[0]
        for action in range(actions)
    ]
    following = np.stack([world.index(state) for state in tried], -1)  # [S, A]
    distance = np.where(world.success(states), 0.0, np.inf)  # [S] steps to success
    while (
        (shorter := np.minimum(distance, 1 + distance[following].min(-1))) < distance
    ).any():
        distance = shorter
    if np.isinf(distance[world.index(world.begin(unused, len(states)))]).any():
        raise ValueError(
            f"shortest_path finds no way to success from some starts of {world}"
        )
    return distance[following].argmin(-1)
