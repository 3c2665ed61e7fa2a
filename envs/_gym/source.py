"""Making of Gymnasium environments by id, and what is known of them."""

import contextlib
import functools
import importlib
import inspect
import io
import json
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from curriculum.envs._gym.actions import ActionConverter
from curriculum.envs._gym.views import View, parts_of, view_of
from curriculum.modules import import_file

DEFAULT_FPS = 30  # where an environment does not declare it
LARGEST_GRID_CODE = 10  # of what a MiniGrid cell contains
GRID_SUCCESS_RETURN = 0.05  # MiniGrid: every path to the goal returns at least 0.1
SUCCESS_INFOS = ("is_success", "success")
RESERVED_OPTIONS = {
    "render_mode": "pictures are drawn for single rows",
    "max_episode_steps": "use time_limit",
}


class Family(NamedTuple):
    """Environments that a package registers when it is imported."""

    prefixes: tuple[str, ...] = ()  # of their ids
    module: str = ""  # that registers them; empty: Gymnasium itself
    package: str = ""  # to install


FAMILIES = (
    Family(("MiniGrid-", "BabyAI-"), "minigrid", "minigrid"),
    Family(
        ("PointMaze_", "AntMaze_", "Fetch", "Hand", "Adroit", "Franka"),
        "gymnasium_robotics",
        "gymnasium-robotics",
    ),
    Family(("ALE/",), "ale_py", "ale-py"),
)


class Source(NamedTuple):
    """Everything that determines an environment."""

    env_id: str
    options: tuple[str, ...] = ()
    time_limit: int = -1  # steps; -1: the registered limit, 0: none
    parts: tuple[str, ...] = ()  # of observations; empty: all
    stack: int = 4  # pictures in an observation, if it shows pictures

    @property
    def facts(self) -> "Facts":
        """What is known of the environment; the first call makes one."""
        return find_facts(self)

    @property
    def family(self) -> Family:
        name = self.env_id.rpartition(":")[2]
        for family in FAMILIES:
            if name.startswith(family.prefixes):
                return family
        return Family()

    @property
    def is_grid(self) -> bool:
        return self.family.module == "minigrid"

    def make(self, render_mode: str | None = None) -> gym.Env:
        """Make an environment; ValueError if the id is unknown, a package is missing,
        or it does not take the options."""
        options = dict(_parse_option(option) for option in self.options)
        if render_mode:
            options["render_mode"] = render_mode
        try:
            return _make(self, options)
        except ModuleNotFoundError as error:
            package = self.family.package or error.name
            raise ValueError(
                f"{self.env_id} needs the module {error.name!r}: pip install {package}"
            ) from None
        # unknown, out of date, or a part of Gymnasium that is not installed
        except gym.error.Error as error:
            reason = str(error).partition(" (Currently")[0].replace("`", "")
            raise ValueError(
                f"no Gymnasium environment {self.env_id!r}: {reason}"
            ) from None
        except TypeError as error:
            reason = str(error).partition(" was raised")[0]
            raise ValueError(
                f"{self.env_id} does not take these options: {reason}"
            ) from None
        except Exception as error:  # third-party code may raise anything
            raise ValueError(f"{self.env_id} cannot be made: {error!r}") from None


class Facts(NamedTuple):
    """What is known of an environment once it was made."""

    view: View
    actions: ActionConverter
    max_steps: int  # 0: no limit
    success_return: float | None  # of the registry
    reports_success: bool
    is_mujoco: bool
    is_grid: bool
    fps: int
    draws: bool
    has_chance: bool  # steps draw random numbers; found out in MiniGrid alone


@functools.lru_cache(maxsize=64)
def find_facts(source: Source) -> Facts:
    """Make an environment, look at it, and close it."""
    env = source.make()
    try:
        return _look_at(env, source)
    finally:
        close(env)


def _look_at(env: Any, source: Source) -> Facts:
    largest_code = LARGEST_GRID_CODE if source.is_grid else None
    spaces, text = parts_of(env.observation_space, source.parts, source.env_id)
    if text:
        names = ", ".join(text)
        message = f"{source.env_id}: text is left out of the observation: {names}"
        print(message, file=sys.stderr)
    view = view_of(
        spaces, source.env_id, frames=source.stack, largest_code=largest_code
    )
    limits = [env.spec.max_episode_steps]
    success_return = env.spec.reward_threshold
    if source.is_grid:
        limits.append(env.unwrapped.max_steps)
        success_return = GRID_SUCCESS_RETURN
    data = getattr(env.unwrapped, "data", None)
    infos = _info_names(env, source)
    return Facts(
        view=view,
        actions=ActionConverter(env.action_space, source.env_id),
        max_steps=min((int(limit) for limit in limits if limit), default=0),
        success_return=None if success_return is None else float(success_return),
        reports_success=not infos.isdisjoint(SUCCESS_INFOS),
        is_mujoco=type(data).__module__.startswith("mujoco"),
        is_grid=source.is_grid,
        fps=int(env.metadata.get("render_fps") or DEFAULT_FPS),
        draws="rgb_array" in (env.metadata.get("render_modes") or ()),
        has_chance=source.is_grid and _has_chance(env),
    )


def _has_chance(env: gym.Env) -> bool:
    """Whether the first step of an environment draws from its generator."""
    env.reset(seed=0)
    generator = env.unwrapped.np_random
    before = generator.bit_generator.state
    env.step(env.action_space.sample())
    return generator.bit_generator.state != before


def close(env: gym.Env) -> None:
    """Close an environment; what its `close` raises is of no use to anyone."""
    with contextlib.suppress(Exception):
        env.close()


def _info_names(env: gym.Env, source: Source) -> set[str]:
    """The names of the infos that an environment reports in its first step.

    ValueError if it does not work as Gymnasium's environments do."""
    try:
        env.action_space.seed(0)
        _, first_info = env.reset(seed=0)
        _, _, _, _, info = env.step(env.action_space.sample())
        return {*first_info, *info}
    except Exception as error:  # third-party code may raise anything
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ValueError(
            f"{source.env_id} cannot be reset and stepped as Gymnasium's environments: "
            f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
        ) from error


def _make(source: Source, keywords: dict[str, Any]) -> gym.Env:
    module, _, name = source.env_id.rpartition(":")
    _import_quietly(module or source.family.module)
    made: Any = _spec_of_class(module, name) or name
    entry_point = getattr(gym.registry.get(name), "entry_point", None)
    if isinstance(entry_point, str):
        _import_quietly(entry_point.partition(":")[0])
    # Gymnasium: None is the registered limit, -1 is none
    limit = {-1: None, 0: -1}.get(source.time_limit, source.time_limit)
    with _without_mujoco_warnings():
        return gym.make(
            made, max_episode_steps=limit, disable_env_checker=True, **keywords
        )


def _spec_of_class(module: str, name: str) -> EnvSpec | None:
    """How to make an environment that is given by its class and not by an id."""
    plugin: Any = getattr(sys.modules.get(module), name, None)
    if not (inspect.isclass(plugin) and issubclass(plugin, gym.Env)):
        return None
    entry_point: Any = plugin
    return EnvSpec(name, entry_point)


def _import_quietly(module: str) -> None:
    """Import a module or file without the announcements that packages print."""
    if module and sys.modules.get(module) is None:
        with contextlib.redirect_stderr(io.StringIO()):
            if module.endswith(".py"):
                import_file(Path(module))
            else:
                importlib.import_module(module)


@contextlib.contextmanager
def _without_mujoco_warnings() -> Iterator[None]:
    """Suppress MuJoCo's warnings about a model, which would be repeated for every
    row."""
    mujoco: Any = sys.modules.get("mujoco")
    if not mujoco:
        yield
        return
    previous = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(previous)


def _parse_option(option: str) -> tuple[str, Any]:
    name, equals, text = option.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"options look like name=value, got {option!r}")
    if name in RESERVED_OPTIONS:
        raise ValueError(f"options cannot set {name}: {RESERVED_OPTIONS[name]}")
    with contextlib.suppress(json.JSONDecodeError):
        return name, json.loads(text)
    return name, text
