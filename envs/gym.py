"""Any Gymnasium environment by its id: Hopper-v5, CartPole-v1, MiniGrid-Empty-8x8-v0,
PointMaze_UMaze-v3, module:Id-v0.

Observations become flat float32 numbers, box actions lie in [-1, 1]. What an id brings
is found out once, by making it.
"""

import contextlib
import functools
import importlib
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from curriculum.envs._gym.flat import View, bounded
from curriculum.envs._gym.foreign import GymRows
from curriculum.types import Rows, World

FAMILIES = (  # how ids begin, the module that registers them, the package to install
    (("MiniGrid-", "BabyAI-"), "minigrid", "minigrid"),
    (
        ("PointMaze_", "AntMaze_", "Fetch", "Hand", "Adroit", "Franka"),
        "gymnasium_robotics",
        "gymnasium-robotics",
    ),
    (("ALE/",), "ale_py", "ale-py"),
)
FPS = 30  # where the environment does not say
TAKEN = {
    "render_mode": "pictures are asked for row by row",
    "max_episode_steps": "use time_limit",
}
# MiniGrid: the largest code of what a cell holds; any way to the goal returns 0.1
GRID_CODE, GRID_RETURN = 10, 0.05


@dataclass(kw_only=True)
class Gym(World):
    """A row is an environment of its own, seeded anew for every episode: a seed and its
    actions are its whole state."""

    id: str = "Hopper-v5"  # as gym.make takes it; module:Id-v0 imports the module first
    # of the environment, such as forward_reward_weight=2 (JSON, or else text)
    options: tuple[str, ...] = ()
    # an episode is truncated after so many steps; -1: as registered, 0: never
    time_limit: int = -1
    # an episode succeeds with it; None: what the world tells, else its threshold
    success_return: float | None = None

    def __post_init__(self):
        if self.time_limit < -1:
            raise ValueError(
                f"time_limit must be steps, -1 for the registered or 0 for none, got {self.time_limit}"
            )

    @property
    def observation_space(self) -> gym.spaces.Box:
        return self.facts.view.box

    @property
    def action_space(self) -> gym.spaces.Discrete | gym.spaces.Box:
        return self.facts.action_space

    @property
    def max_steps(self) -> int:
        return self.facts.max_steps

    @property
    def fps(self) -> int:
        return self.facts.fps

    @property
    def has_success(self) -> bool:
        return self.facts.tells_success or self.threshold is not None

    @property
    def threshold(self) -> float | None:
        """The return from which on an episode succeeds, where the world does not
        tell."""
        return (
            self.facts.threshold if self.success_return is None else self.success_return
        )

    @property
    def title(self) -> str:
        return self.id.replace("/", "-").replace(":", "-")

    @property
    def defaults(self) -> dict[str, str]:
        if isinstance(self.action_space, gym.spaces.Box):
            return {
                "planner": "tqc" if self.facts.physics else "sac",
                "learner": "td3bc",
            }
        return {
            "planner": "mcts" if _family(self.id)[0] == "minigrid" else "dqn",
            "learner": "iql",
        }

    @property
    def facts(self) -> "_Facts":
        return _facts(self.id, tuple(self.options), self.time_limit)

    def make(self, render_mode: str | None = None) -> gym.Env:
        """One environment; ValueError where there is none of this id, or a package is
        missing."""
        return _make(self.id, tuple(self.options), self.time_limit, render_mode)

    def rows(
        self, generators: Sequence[np.random.Generator], rows_per_seed: int = 1
    ) -> Rows:
        """Rows of this world, `rows_per_seed` for each generator."""
        return GymRows(self, generators, rows_per_seed)


class _Facts(NamedTuple):
    """What is to be known of an id."""

    view: View
    action_space: gym.spaces.Discrete | gym.spaces.Box
    max_steps: int
    threshold: float | None
    tells_success: bool
    physics: bool  # MuJoCo moves it
    fps: int
    draws: bool


@functools.lru_cache(maxsize=64)
def _facts(env_id: str, options: tuple[str, ...], time_limit: int) -> _Facts:
    env: Any = _make(env_id, options, time_limit)
    grid = _family(env_id)[0] == "minigrid"
    view = View(env.observation_space, env_id, GRID_CODE if grid else None)
    if view.dropped:
        print(
            f"{env_id}: text is left out of the observation: {', '.join(view.dropped)}",
            file=sys.stderr,
        )
    action_space = bounded(env.action_space, env_id)
    limits = [env.spec.max_episode_steps, env.unwrapped.max_steps if grid else None]
    threshold = GRID_RETURN if grid else env.spec.reward_threshold
    return _Facts(
        view=view,
        action_space=action_space,
        max_steps=min((int(limit) for limit in limits if limit), default=0),
        threshold=None if threshold is None else float(threshold),
        tells_success=bool({"is_success", "success"} & _infos(env)),
        physics=type(getattr(env.unwrapped, "data", None)).__module__.startswith(
            "mujoco"
        ),
        fps=int(env.metadata.get("render_fps") or FPS),
        draws="rgb_array" in (env.metadata.get("render_modes") or ()),
    )


def _infos(env: gym.Env) -> set[str]:
    """What the environment tells beside observations."""
    env.action_space.seed(0)
    return {*env.reset(seed=0)[1], *env.step(env.action_space.sample())[4]}


def _family(env_id: str) -> tuple[str, str]:
    """The module that registers an id and the package it is in; empty for Gymnasium's
    own."""
    name = env_id.rpartition(":")[2]
    return next(
        (family[1:] for family in FAMILIES if name.startswith(family[0])), ("", "")
    )


def _make(
    env_id: str,
    options: tuple[str, ...],
    time_limit: int,
    render_mode: str | None = None,
) -> gym.Env:
    family, package = _family(env_id)
    module, _, name = env_id.rpartition(":")
    keywords = dict(_option(option) for option in options)
    limit = {-1: None, 0: -1}.get(time_limit, time_limit)
    rendering = {"render_mode": render_mode} if render_mode else {}
    try:
        _import(module or family)
        entry = getattr(gym.registry.get(name), "entry_point", None)
        _import(entry.partition(":")[0] if isinstance(entry, str) else "")
        with _silence():
            return gym.make(
                name,
                max_episode_steps=limit,
                disable_env_checker=True,
                **keywords,
                **rendering,
            )
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{env_id} needs the module {error.name!r}: pip install {package or error.name}"
        ) from None
    # unknown, out of date, or a part of Gymnasium that is not installed
    except gym.error.Error as error:
        sentence = str(error).partition(" (Currently")[0].replace("`", "")
        raise ValueError(f"no Gymnasium environment {env_id!r}: {sentence}") from None
    except TypeError as error:
        raise ValueError(
            f"{env_id} does not take these options: {str(error).partition(' was raised')[0]}"
        ) from None
    except Exception as error:  # whatever else goes wrong in foreign code
        raise ValueError(f"{env_id} cannot be made: {error!r}") from None


def _import(module: str) -> None:
    """Import what registers or makes an environment, without the announcements that
    packages print."""
    if module and sys.modules.get(module) is None:
        with contextlib.redirect_stderr(io.StringIO()):
            importlib.import_module(module)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what MuJoCo warns of in a model from the screen and from a file, for it
    would come with every row."""
    mujoco: Any = sys.modules.get("mujoco")
    warned = mujoco and mujoco.get_mju_user_warning()
    if mujoco:
        mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        if mujoco:
            mujoco.set_mju_user_warning(warned)


def _option(option: str) -> tuple[str, Any]:
    name, equals, text = option.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"options look like name=value, got {option!r}")
    if name in TAKEN:
        raise ValueError(f"options cannot set {name}: {TAKEN[name]}")
    with contextlib.suppress(json.JSONDecodeError):
        return name, json.loads(text)
    return name, text
