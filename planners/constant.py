"""Always the same action: where the world knows a way, the first step to the goal, a
baseline for every result."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.envs._base.native import Navigable
from curriculum.types import Spec, stream


@dataclass(kw_only=True)
class Constant:
    """Left empty, the action is the first on the world's own `shortest_path`, or else
    0."""

    # a number from 0 on, or all parts of a box action in [-1, 1]; empty: to the goal
    action: tuple[float, ...] = ()

    needs: ClassVar[str] = "observation"

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Make the given action, or ask the world for one."""
        action: Any = np.array(self.action)
        world = env.world
        if not self.action and isinstance(world, Navigable):
            state = world.begin(stream(0, "constant planner"), 1)
            action = world.shortest_path(state)[0]
        elif not self.action:
            action = np.zeros(spec.action_size or 1)
        if spec.actions and (np.size(action) != 1 or action not in range(spec.actions)):
            raise ValueError(
                f"constant needs one of the actions 0 to {spec.actions - 1}, got {self.action}"
            )
        if not spec.actions and (
            np.shape(action) != (spec.action_size,) or not (np.abs(action) <= 1).all()
        ):
            raise ValueError(
                f"constant needs {spec.action_size} numbers between -1 and 1, got {self.action}"
            )
        self.chosen = (
            np.reshape(action, ()).astype(np.int64)
            if spec.actions
            else action.astype(np.float32)
        )
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The action for each of these rows, [n] int64 or [n, A] float32."""
        return np.repeat(self.chosen[None], len(rows), 0)
