"""Training an expert with Stable-Baselines3: rows of a world as the library steps them,
and when it is good enough."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from curriculum.envs._base.registration import rows_of
from curriculum.types import Rows, stream

if TYPE_CHECKING:
    from curriculum.planners._expert.expert import Expert

# steps after which an episode of a world without a time limit is stopped
FREE_RUN = 1_000
PAUSE = 10  # seconds between lines on how training goes


class Level(NamedTuple):
    """How good an expert was when it was measured."""

    steps: int  # of the world, that it had been trained for
    mean_return: float
    success_rate: float | None  # None where the world does not tell


class RowsEnv(VecEnv):
    """Rows of a world; whoever's episode is over finds its last observation, and if it
    was cut short, in its info."""

    def __init__(self, rows: Rows):
        self.rows = rows
        super().__init__(
            rows.count, rows.single_observation_space, rows.single_action_space
        )

    def reset(self) -> np.ndarray:
        return self.rows.reset()

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(
        self,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        step = self.rows.step(self.actions)
        over = step.terminated | step.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(over):
            infos[row] = {
                "terminal_observation": step.next_obs[row],
                "TimeLimit.truncated": bool(
                    step.truncated[row] and not step.terminated[row]
                ),
                "is_success": bool(step.success[row]),
            }
        return step.obs, step.reward, over, infos

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        value = (
            None if attr_name == "render_mode" else getattr(self.rows.world, attr_name)
        )
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(
            f"all rows are of one world, whose {attr_name} cannot be set for some of them"
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


@contextmanager
def undisturbed() -> Iterator[None]:
    """Give the global random generators, which the library seeds, and the number of
    threads back as they were.

    Inside there is one thread, so that results do not hang on how many there are."""
    python, numpy, threads = (
        random.getstate(),
        np.random.get_state(),  # noqa: NPY002
        torch.get_num_threads(),
    )
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_num_threads(threads)


def train(expert: Expert, world: Any) -> tuple[OffPolicyAlgorithm, dict[str, Level]]:
    """Train to the first evaluation that reaches the level asked for, or for
    `max_steps` where none is.

    Also returns the level reached there, and the level on as many other episodes:
    chance stopped it at the first, so only the second is fair. Raises ValueError where
    the level is not reached."""
    wanted = _wanted(expert)
    print(
        f"training {expert.name} in {world} {wanted}, at most {expert.max_steps:,} steps",
        file=sys.stderr,
    )
    with undisturbed():
        rows = rows_of(
            world, [stream(expert.seed, f"{expert.name} expert")], expert.rows
        )
        model = _model(expert, VecMonitor(RowsEnv(rows)))
        reached = _learn(expert, model, world)
        if not _enough(expert, reached):
            raise ValueError(
                f"{expert.name} was to train {wanted} in {world}, but has {_told(reached)}; "
                "raise --planner.max-steps, ask for less, or choose another planner"
            )
        others = range(expert.eval_episodes, 2 * expert.eval_episodes)
        return model, {
            "reached": reached,
            "other_episodes": measure(model.policy, world, others, reached.steps),
        }


def measure(policy: BasePolicy, world: Any, episodes: range, steps: int) -> Level:
    """Play `episodes` greedily; they are nobody else's, since their random streams have
    a name of their own."""
    world = world.evaluated() if hasattr(world, "evaluated") else world
    rows = rows_of(
        world, [stream(episode, "expert evaluation") for episode in episodes]
    )
    obs, playing = rows.reset(), np.ones(rows.count, bool)
    reward, success = np.zeros(rows.count), np.zeros(rows.count, bool)
    for _ in range(world.max_steps or FREE_RUN):
        step = rows.step(actions_of(policy, obs))
        reward += np.where(playing, step.reward, 0)
        success = np.where(playing, step.success, success)
        obs, playing = step.obs, playing & ~(step.terminated | step.truncated)
        if not playing.any():
            break
        rows.rest(~playing)
    told = getattr(world, "has_success", True)
    return Level(steps, float(reward.mean()), float(success.mean()) if told else None)


def actions_of(
    policy: BasePolicy, obs: np.ndarray, deterministic: bool = True
) -> np.ndarray:
    """A policy's actions [n], or [n, *A] scaled from its own bounds to [-1, 1]."""
    action = policy.predict(obs, deterministic=deterministic)[0]
    return (
        action
        if hasattr(policy.action_space, "n")
        else np.clip(policy.scale_action(action), -1, 1)
    )


def _model(expert: Expert, env: VecEnv) -> OffPolicyAlgorithm:
    space, settings = env.observation_space, expert.settings()
    pictures = len(space.shape or ()) == 3 and space.dtype == np.uint8
    if pictures and "CnnPolicy" not in expert.algorithm.policy_aliases:
        raise ValueError(
            f"{expert.name} has no network for pictures; choose sac or tqc"
        )
    # updates that one step of all rows earns
    due = expert.rows * expert.updates_per_step
    every = max(1, round(1 / due))  # steps of all rows between updates
    model = expert.algorithm(
        "CnnPolicy" if pictures else "MlpPolicy",
        env,
        learning_rate=expert.learning_rate,
        buffer_size=max(min(expert.capacity, expert.max_steps), expert.rows),
        learning_starts=expert.learning_starts,
        batch_size=expert.batch_size,
        gamma=expert.discount,
        train_freq=every,
        gradient_steps=max(1, round(due * every)),
        policy_kwargs={
            "net_arch": list(expert.hidden),
            **settings.pop("policy_kwargs", {}),
        },
        seed=expert.seed,
        device="cpu",
        **settings,
    )
    # or it makes a folder of its own for each model
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def _learn(expert: Expert, model: OffPolicyAlgorithm, world: Any) -> Level:
    """Train; returns the level at the end."""
    level, said, enough = Level(0, -np.inf, None), time.perf_counter(), False
    asked = expert.until_success > 0 or expert.until_return is not None

    def go_on(*_: Any) -> bool:
        nonlocal level, said, enough
        if model.num_timesteps // expert.eval_every > level.steps // expert.eval_every:
            level = measure(
                model.policy, world, range(expert.eval_episodes), model.num_timesteps
            )
            enough = asked and _enough(expert, level)
            if time.perf_counter() - said > PAUSE:
                print(f"{expert.name} has {_told(level)}", file=sys.stderr)
                said = time.perf_counter()
        return not enough

    model.learn(expert.max_steps, callback=go_on, log_interval=None)  # type: ignore[arg-type]
    return (
        level
        if enough
        else measure(
            model.policy, world, range(expert.eval_episodes), model.num_timesteps
        )
    )


def _enough(expert: Expert, level: Level) -> bool:
    succeeds = (
        not expert.until_success or (level.success_rate or 0) >= expert.until_success
    )
    return succeeds and (
        expert.until_return is None or level.mean_return >= expert.until_return
    )


def _wanted(expert: Expert) -> str:
    goals = [f"success {expert.until_success:g}"] if expert.until_success else []
    goals += (
        [f"a return of {expert.until_return:g}"]
        if expert.until_return is not None
        else []
    )
    return f"until {' and '.join(goals)}" if goals else "as long as it may"


def _told(level: Level) -> str:
    success = (
        "" if level.success_rate is None else f"success {level.success_rate:.2f} and "
    )
    return f"{success}a return of {level.mean_return:.4g} after {level.steps:,} steps"
