"""Worlds behind Gymnasium's interface, one episode at a time or many, and the names
they have there.

`import curriculum.envs._base.registration` registers them (or
`gym.make("curriculum.envs._base.registration:curriculum/Gridworld-v0")`); the fields of
a world are keywords of `gym.make` and `gym.make_vec`. Box actions are taken in the
world's own bounds here.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode

from curriculum.envs._base.native import NativeRows
from curriculum.envs._base.world import Dynamics
from curriculum.types import Rows, World

# unless a world has its own
RENDERING: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 10}
REGISTERED: dict[str, dict[str, Any]] = {
    "curriculum/Gridworld-v0": {"world": "curriculum.envs.gridworld:Gridworld"},
    "curriculum/GridworldClassic-v0": {
        "world": "curriculum.envs.gridworld:Gridworld",
        "observation": "image",
        "start": "fixed",
        "max_steps": 0,
    },
    "curriculum/CartPole-v0": {"world": "curriculum.envs.cartpole:CartPole"},
    "curriculum/Pendulum-v0": {"world": "curriculum.envs.pendulum:Pendulum"},
    "curriculum/PointmassEasy-v0": {
        "world": "curriculum.envs.pointmass:Pointmass",
        "maze": "easy",
    },
    "curriculum/PointmassMedium-v0": {
        "world": "curriculum.envs.pointmass:Pointmass",
        "maze": "medium",
    },
    "curriculum/PointmassHard-v0": {
        "world": "curriculum.envs.pointmass:Pointmass",
        "maze": "hard",
    },
    "curriculum/PointmassVeryHard-v0": {
        "world": "curriculum.envs.pointmass:Pointmass",
        "maze": "veryhard",
    },
    "curriculum/BotEvade-v0": {"world": "curriculum.envs.botevade:BotEvade"},
    "curriculum/BotEvadeOriginal-v0": {
        "world": "curriculum.envs.botevade:BotEvade",
        "dynamics": "original",
        "hide_distance": False,
    },
}


class NativeEnv(gym.Env):
    """One episode at a time of a native world, given as an object or as "module:Class"
    and its fields."""

    metadata = RENDERING

    def __init__(
        self, world: Dynamics | str, render_mode: str | None = None, **fields: Any
    ):
        self.dynamics, self.render_mode = (
            _world(world, fields),
            _mode(render_mode, self.metadata),
        )
        self.metadata = self.metadata | {
            "render_fps": getattr(self.dynamics, "fps", self.metadata["render_fps"])
        }
        self.observation_space, self.action_space = (
            self.dynamics.observation_space,
            self.dynamics.action_space,
        )
        self.window: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.state, self.time = self.dynamics.begin(self.np_random, 1), 0
        if self.render_mode == "human":
            self.render()
        return self.dynamics.observe(self.state)[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step; `info["is_success"]` says whether the task is done."""
        batch = np.asarray(action, self.action_space.dtype)[None]
        if not self.action_space.contains(batch[0]):
            raise ValueError(f"action {action!r} is not in {self.action_space}")
        self.state, reward, terminated = self.dynamics.step(
            self.state, batch, self.np_random
        )
        self.time += 1
        over = bool(terminated[0])
        truncated = not over and 0 < self.dynamics.max_steps <= self.time
        if self.render_mode == "human":
            self.render()
        info = {"is_success": bool(self.dynamics.success(self.state)[0])}
        return (
            self.dynamics.observe(self.state)[0],
            float(reward[0]),
            over,
            truncated,
            info,
        )

    def render(self) -> np.ndarray | None:
        """Return the picture, or show it in a window, `metadata["render_fps"]` frames a
        second."""
        if self.render_mode is None:
            gym.logger.warn(
                "render() needs a render_mode, chosen when the environment is made: human or rgb_array"
            )
            return None
        picture = self.dynamics.draw(self.state[0])
        if self.render_mode == "rgb_array":
            return picture
        import pygame  # here, not above: training never draws

        if self.window is None:
            pygame.display.init()
            self.window, self.clock = (
                pygame.display.set_mode(picture.shape[1::-1]),
                pygame.time.Clock(),
            )
        pygame.surfarray.blit_array(self.window, picture.swapaxes(0, 1))
        pygame.event.pump()
        pygame.display.flip()
        self.clock.tick(self.metadata["render_fps"])
        return None

    def close(self) -> None:
        if self.window is not None:
            import pygame

            pygame.display.quit()
            self.window = None


class NativeVectorEnv(gym.vector.VectorEnv):
    """Many rows of a native world at once, step for step what Gymnasium's
    `SyncVectorEnv` makes of `NativeEnv`s."""

    metadata = RENDERING | {
        "render_modes": ["rgb_array"],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        world: Dynamics | str,
        num_envs: int = 1,
        render_mode: str | None = None,
        **fields: Any,
    ):
        self.dynamics, self.render_mode = (
            _world(world, fields),
            _mode(render_mode, self.metadata),
        )
        self.metadata = self.metadata | {
            "render_fps": getattr(self.dynamics, "fps", self.metadata["render_fps"])
        }
        self.num_envs = num_envs
        self.rows = NativeRows(
            self.dynamics, [seeding.np_random()[0] for _ in range(num_envs)]
        )
        self.single_observation_space = self.dynamics.observation_space
        self.single_action_space = self.dynamics.action_space
        self.observation_space = gym.vector.utils.batch_space(
            self.single_observation_space, num_envs
        )
        self.action_space = gym.vector.utils.batch_space(
            self.single_action_space, num_envs
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start every row; row i is seeded with `seed + i`."""
        super().reset(seed=seed)
        if seed is not None:
            self.rows = NativeRows(
                self.dynamics,
                [seeding.np_random(seed + row)[0] for row in range(self.num_envs)],
            )
        return self.rows.reset(), {}

    def step(
        self, actions: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take one step in every row; `infos["final_obs"]` holds the true last
        observation where an episode is over."""
        obs, reward, terminated, truncated, next_obs, success = self.rows.step_native(
            np.asarray(actions)
        )
        over = terminated | truncated
        infos: dict[str, Any] = {"is_success": success & ~over, "_is_success": ~over}
        if over.any():
            final_obs = np.full(self.num_envs, None, object)
            for row in np.flatnonzero(over):
                final_obs[row] = next_obs[row]
            infos |= {"final_obs": final_obs, "_final_obs": over}
            infos |= {
                "final_info": {"is_success": success & over, "_is_success": over},
                "_final_info": over,
            }
        return obs, reward, terminated, truncated, infos

    def render(self) -> tuple[np.ndarray, ...]:
        """Pictures of all rows."""
        return tuple(self.dynamics.draw(state) for state in self.rows.state)


def rows_of(
    world: World, generators: Sequence[np.random.Generator], rows_each: int = 1
) -> Rows:
    """Rows of any world, `rows_each` for each generator: the door through which a run
    enters it."""
    make: Any = getattr(world, "rows", None) or partial(NativeRows, world)  # type: ignore[arg-type]
    return make(generators, rows_each)


def _world(world: Dynamics | str, fields: dict[str, Any]) -> Dynamics:
    if not isinstance(world, str):
        return world
    load: Any = load_env_creator(world)
    return load(**fields)


def _mode(render_mode: str | None, metadata: dict[str, Any]) -> str | None:
    if render_mode is not None and render_mode not in metadata["render_modes"]:
        raise ValueError(
            f"no render_mode {render_mode!r}; there are: {', '.join(metadata['render_modes'])}"
        )
    return render_mode


for _name, _fields in REGISTERED.items():
    gym.register(
        _name,
        "curriculum.envs._base.registration:NativeEnv",
        vector_entry_point="curriculum.envs._base.registration:NativeVectorEnv",
        kwargs=_fields,
    )
