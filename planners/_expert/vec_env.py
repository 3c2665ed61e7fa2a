"""Rows of a world as Stable-Baselines3 steps them."""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from curriculum.envs._base.door import Door
from curriculum.types import Rows


class RowsEnv(VecEnv):
    """The rows of a world behind the library's interface."""

    def __init__(self, rows: Rows):
        self.rows = rows
        self.door = Door(rows, ("expert training",))
        super().__init__(
            rows.count, rows.single_observation_space, rows.single_action_space
        )

    def reset(self) -> np.ndarray:
        return self.door.reset()

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(
        self,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """The library finds the true last observation of an episode, and whether a time
        limit cut it short, in the dictionary of its row."""
        step = self.door.step(self.actions)
        over = step.terminated | step.truncated
        reports: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(over):
            cut_short = step.truncated[row] and not step.terminated[row]
            reports[row] = {
                "terminal_observation": step.next_obs[row],
                "TimeLimit.truncated": bool(cut_short),
                "is_success": bool(step.success[row]),
            }
        return step.obs, step.reward, over, reports

    def close(self) -> None:
        self.door.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        if attr_name == "render_mode":
            value = None
        else:
            value = getattr(self.rows.world, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(
            f"all rows share one world, whose {attr_name} cannot be set for some rows"
        )

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: Any = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        raise AttributeError(
            f"rows have no methods of their own, such as {method_name}"
        )

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]
