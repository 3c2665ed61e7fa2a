"""Always the same action: a baseline for every result."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from curriculum.envs._base.native import Navigable
from curriculum.types import Planner, Rows, Spec, World, stream


@dataclass(kw_only=True)
class Constant(Planner):
    """Without an `action`, it is the first one of the world's shortest path, or 0 where
    the world does not know any."""

    # index of a discrete action, or all numbers of a box action in [-1, 1]; empty:
    # towards the goal
    action: tuple[float, ...] = ()

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        action = np.array(self.action)
        if not self.action:
            action = _towards_goal(rows.world, spec)
        if spec.actions:
            self._check_discrete(action, spec.actions)
            self.chosen = np.reshape(action, ()).astype(np.int64)
        else:
            self._check_box(action, spec.action_size)
            self.chosen = action.astype(np.float32)
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.repeat(self.chosen[None], len(rows), 0)

    def _check_discrete(self, action: np.ndarray, actions: int) -> None:
        if action.size != 1 or action not in range(actions):
            raise ValueError(
                f"constant needs one of the actions 0 to {actions - 1}, "
                f"got {self.action}"
            )

    def _check_box(self, action: np.ndarray, size: int) -> None:
        if action.shape != (size,) or not (np.abs(action) <= 1).all():
            raise ValueError(
                f"constant needs {size} numbers between -1 and 1, got {self.action}"
            )


def _towards_goal(world: World, spec: Spec) -> np.ndarray:
    """The first action of the world's shortest path, or zeros."""
    if isinstance(world, Navigable):
        state = world.begin(stream(0, "constant planner"), 1)
        return np.asarray(world.shortest_path(state)[0])
    return np.zeros(spec.action_size or 1)
