"""Gymnasium environments of native worlds: one episode at a time, or many rows.

Box actions are taken within the world's own bounds here, as Gymnasium expects.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode

from curriculum.envs._base.native import Dynamics, NativeRows

# every instance replaces render_fps by that of its world
METADATA: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 10}
VECTOR_METADATA: dict[str, Any] = {
    "render_modes": ["rgb_array"],
    "render_fps": 10,
    "autoreset_mode": AutoresetMode.SAME_STEP,
}


class NativeEnv(gym.Env):
    """One episode at a time of a native world, given as an object or as "module:Class"
    and its fields."""

    metadata = METADATA

    def __init__(
        self, world: Dynamics | str, render_mode: str | None = None, **fields: Any
    ):
        self.dynamics = _make_world(world, fields)
        self.metadata = self.metadata | {"render_fps": self.dynamics.fps}
        _check_render_mode(render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        self.observation_space = self.dynamics.observation_space
        self.action_space = self.dynamics.action_space
        self.window: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = self.dynamics.begin(self.np_random, 1)
        self.time = 0
        if self.render_mode == "human":
            self.render()
        return self.dynamics.observe(self.state)[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step; `info["is_success"]` is true if the task is solved."""
        batch = np.asarray(action, self.action_space.dtype)[None]
        if not self.action_space.contains(batch[0]):
            raise ValueError(f"action {action!r} is not in {self.action_space}")
        self.state, reward, terminated = self.dynamics.step(
            self.state, batch, self.np_random
        )
        self.time += 1
        if self.render_mode == "human":
            self.render()
        obs = self.dynamics.observe(self.state)[0]
        is_terminated = bool(terminated[0])
        at_limit = 0 < self.dynamics.max_steps <= self.time
        is_truncated = at_limit and not is_terminated
        info = {"is_success": bool(self.dynamics.success(self.state)[0])}
        return obs, float(reward[0]), is_terminated, is_truncated, info

    def render(self) -> np.ndarray | None:
        """Return a picture, or show it in a window at `metadata["render_fps"]`."""
        if self.render_mode is None:
            gym.logger.warn(
                "render() needs a render_mode, given when the environment is made: "
                "human or rgb_array"
            )
            return None
        picture = self.dynamics.draw(self.state[0])
        if self.render_mode == "rgb_array":
            return picture
        self._show(picture)
        return None

    def _show(self, picture: np.ndarray) -> None:
        import pygame  # slow to import, and training never draws

        if self.window is None:
            pygame.display.init()
            self.window = pygame.display.set_mode(picture.shape[1::-1])
            self.clock = pygame.time.Clock()
        pygame.surfarray.blit_array(self.window, picture.swapaxes(0, 1))
        pygame.event.pump()
        pygame.display.flip()
        self.clock.tick(self.metadata["render_fps"])

    def close(self) -> None:
        if self.window is not None:
            import pygame

            pygame.display.quit()
            self.window = None


class NativeVectorEnv(gym.vector.VectorEnv):
    """Many rows of a native world, stepped in one batch.

    Its results equal those of Gymnasium's `SyncVectorEnv` of `NativeEnv`s with
    `AutoresetMode.SAME_STEP`."""

    metadata = VECTOR_METADATA

    def __init__(
        self,
        world: Dynamics | str,
        num_envs: int = 1,
        render_mode: str | None = None,
        **fields: Any,
    ):
        self.dynamics = _make_world(world, fields)
        self.metadata = self.metadata | {"render_fps": self.dynamics.fps}
        _check_render_mode(render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        self.num_envs = num_envs
        self.rows = self._seeded_rows(None)
        batch_space = gym.vector.utils.batch_space
        self.single_observation_space = self.dynamics.observation_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space = self.dynamics.action_space
        self.action_space = batch_space(self.single_action_space, num_envs)

    def _seeded_rows(self, seed: int | None) -> NativeRows:
        """Rows with fresh generators: row i gets seed + i, or a random seed."""
        generators = []
        for row in range(self.num_envs):
            row_seed = None if seed is None else seed + row
            generators.append(seeding.np_random(row_seed)[0])
        return NativeRows(self.dynamics, generators)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode in every row; row i is seeded with `seed + i`."""
        super().reset(seed=seed)
        if seed is not None:
            self.rows = self._seeded_rows(seed)
        return self.rows.reset(), {}

    def step(
        self, actions: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take one step in every row; `infos["final_obs"]` holds the last observation
        of the rows whose episode is over."""
        step = self.rows.step_unscaled(np.asarray(actions))
        finished = step.terminated | step.truncated
        infos = _success_infos(step.success, ~finished)
        if finished.any():
            final_obs = np.full(self.num_envs, None, object)
            for row in np.flatnonzero(finished):
                final_obs[row] = step.next_obs[row]
            infos["final_obs"] = final_obs
            infos["_final_obs"] = finished
            infos["final_info"] = _success_infos(step.success, finished)
            infos["_final_info"] = finished
        return step.obs, step.reward, step.terminated, step.truncated, infos

    def render(self) -> tuple[np.ndarray, ...]:
        """Return a picture of every row."""
        return tuple(self.dynamics.draw(state) for state in self.rows.state)


def _success_infos(success: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    """Gymnasium's form of an info that only the rows in `mask` report."""
    return {"is_success": success & mask, "_is_success": mask}


def _make_world(world: Dynamics | str, fields: dict[str, Any]) -> Dynamics:
    if not isinstance(world, str):
        return world
    create: Any = load_env_creator(world)
    return create(**fields)


def _check_render_mode(render_mode: str | None, modes: list[str]) -> None:
    if render_mode is not None and render_mode not in modes:
        raise ValueError(
            f"no render_mode {render_mode!r}; there are: {', '.join(modes)}"
        )
