"""The promises of worlds and their rows."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from curriculum.contract.promises import (
    calling,
    checking,
    equal,
    require,
    require_array,
    require_mask,
    stored,
    world_name,
)
from curriculum.envs._base.door import close_rows
from curriculum.setting import plugins
from curriculum.types import Rows, State, Step, World, stream


@dataclass(frozen=True)
class WorldReport:
    """What a world that keeps its promises did."""

    world: str
    steps: int  # of every row
    episodes: int  # that ended
    reward: float  # mean of a step

    def __str__(self) -> str:
        return (
            f"world {self.world} keeps its contract; random play for {self.steps} "
            f"steps of every row: {self.episodes} episodes, "
            f"mean reward {self.reward:.3g}"
        )


def check_world(
    env: World | str,
    seeds: Sequence[int] = (0, 1),
    rows_per_seed: int = 3,
    steps: int = 60,
) -> WorldReport:
    """Play at random in a few rows of each seed.

    Observations, rewards and flags must have the declared shapes and types and be
    finite; episodes must not exceed `max_steps`; the same seeds must bring the same
    episodes, alone as among others; `save` and `load` must continue exactly."""
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    world = plugins.make("env", env)
    name = world_name(world)
    with checking("env", world):
        _check_spaces(world)
        with closing(_Course(world, seeds, rows_per_seed)) as first:
            first.run(steps // 2)
            with calling("save"):
                middle = stored(first.rows.save(), "save()")
            first.run(steps - steps // 2)
            _check_repeats(first)
            _check_alone(first)
            _check_resumes(first, middle, steps // 2)
    ends = [step.terminated | step.truncated for step in first.played]
    rewards = [step.reward for step in first.played]
    return WorldReport(name, steps, int(np.sum(ends)), float(np.mean(rewards)))


def _check_spaces(world: World) -> None:
    with calling("observation_space"):
        observations = world.observation_space
    with calling("action_space"):
        actions = world.action_space
    require(
        isinstance(observations, gym.spaces.Box),
        f"observation_space must be a Box, got {observations}",
    )
    require(
        isinstance(actions, gym.spaces.Discrete | gym.spaces.Box),
        f"action_space must be Discrete or a Box, got {actions}",
    )
    if isinstance(actions, gym.spaces.Discrete):
        require(actions.start == 0, f"actions must start at 0, got {actions.start}")
    else:
        bounds = np.stack([actions.low, actions.high])
        finite = bool(np.isfinite(bounds).all())
        require(finite, "the bounds of a box action must be finite")
    with calling("max_steps"):
        limit = world.max_steps
    require(limit >= 0, f"max_steps must be at least 0, got {limit}")


class _Course:
    """Random play in rows of a world; each seed draws its own actions."""

    def __init__(self, world: World, seeds: Sequence[int], rows_per_seed: int):
        self.world = world
        self.seeds = tuple(seeds)
        self.rows_per_seed = rows_per_seed
        self.played: list[Step] = []
        generators = [stream(seed, "environment") for seed in seeds]
        with calling("rows"):
            self.rows: Rows = world.rows(generators, rows_per_seed)
        count = len(seeds) * rows_per_seed
        require(
            self.rows.count == count,
            f"rows must make {rows_per_seed} environments for each of {len(seeds)} "
            f"seeds, it made {self.rows.count}",
        )
        with calling("reset"):
            obs = self.rows.reset()
        self._check_obs("reset", obs)

    def close(self) -> None:
        with calling("close"):
            close_rows(self.rows)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            action = self._action()
            before = action.copy()
            with calling("step"):
                step = self.rows.step(action)
            require(equal(before, action), "step must not change the actions")
            self._check(step)
            self.played.append(Step(*(field.copy() for field in step)))

    def _action(self) -> np.ndarray:
        space: Any = self.rows.single_action_space
        number = len(self.played)
        shape = (self.rows_per_seed, *space.shape)
        drawn = [
            stream(seed, f"contract {number}").random(shape) for seed in self.seeds
        ]
        uniform = np.concatenate(drawn)
        if space.shape:
            return (2 * uniform - 1).astype(np.float32)
        return (uniform * space.n).astype(np.int64)

    def _check(self, step: Step) -> None:
        count = self.rows.count
        require_array("reward", step.reward, (count,), np.float32)
        for name in ("terminated", "truncated", "success"):
            require_mask(f"step must return {name}: it", getattr(step, name), (count,))
        self._check_obs("step", step.obs)
        self._check_obs("step (next_obs)", step.next_obs)
        over = step.terminated | step.truncated
        require(
            equal(step.obs[~over], step.next_obs[~over]),
            "obs and next_obs must be the same where no episode ended",
        )
        require(
            bool((self.rows.time[over] == 0).all()),
            "time must be 0 where an episode has just ended",
        )
        limit = self.world.max_steps
        in_time = not limit or (self.rows.time < limit).all()
        require(
            bool(in_time), f"an episode must be cut after max_steps = {limit} steps"
        )

    def _check_obs(self, method: str, obs: Any) -> None:
        space = self.rows.single_observation_space
        name = f"the observation of {method}"
        kind: type[np.generic] = space.dtype.type
        require_array(name, obs, (self.rows.count, *space.shape), kind)
        require(
            equal(obs, self.rows.obs) or "next" in method, "rows.obs must be current"
        )
        inside = (obs >= space.low) & (obs <= space.high)
        require(
            bool(inside.all()),
            f"{name} must lie within the bounds of observation_space",
        )


def _check_repeats(first: _Course) -> None:
    with closing(_Course(first.world, first.seeds, first.rows_per_seed)) as again:
        again.run(len(first.played))
    require(
        equal(first.played, again.played),
        "the same seeds must bring the same episodes, a second run differs",
    )


def _check_alone(first: _Course) -> None:
    last = first.seeds[-1:]
    with closing(_Course(first.world, last, first.rows_per_seed)) as alone:
        alone.run(len(first.played))
    among = [
        tuple(field[-first.rows_per_seed :] for field in step) for step in first.played
    ]
    require(
        equal(among, alone.played),
        "a seed alone must have the same episodes as among others",
    )


def _check_resumes(first: _Course, middle: State, step: int) -> None:
    with closing(_Course(first.world, first.seeds, first.rows_per_seed)) as other:
        with calling("load"):
            obs = other.rows.load(middle)
        require(
            equal(obs, first.played[step - 1].obs),
            "load must return the observations",
        )
        other.played = first.played[:step]
        other.run(len(first.played) - step)
    require(
        equal(first.played, other.played),
        "rows must continue exactly after load, a resumed run differs",
    )
