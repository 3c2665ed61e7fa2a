"""The actions of running episodes, and environments that replay them."""

import copy
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from curriculum.envs._gym import rendering
from curriculum.envs._gym.source import Source, close

CAPACITY = 64  # steps per row that a history first has space for


class ActionHistory:
    """The actions of every row since its episode began."""

    def __init__(self, count: int, space: gym.spaces.Discrete | gym.spaces.Box):
        shape = (count, CAPACITY, *(space.shape or ()))
        self.actions = np.empty(shape, space.dtype)

    def append(self, time: np.ndarray, action: np.ndarray) -> None:
        """Store the actions [N] or [N, A] of all rows, which are at step `time` [N]."""
        if time.max() == self.actions.shape[1]:
            extension = np.empty_like(self.actions)
            self.actions = np.concatenate([self.actions, extension], 1)
        self.actions[np.arange(len(time)), time] = action

    def of(self, row: int, start: int, end: int) -> np.ndarray:
        """The actions of a row from step `start` until before `end`."""
        return self.actions[row, start:end]

    def save(self, time: np.ndarray) -> np.ndarray:
        """All actions [N, T] or [N, T, A], 0 from step `time` [N] on."""
        actions = self.actions[:, : time.max()].copy()
        for row, end in enumerate(time):
            actions[row, end:] = 0
        return actions

    def load(self, actions: np.ndarray) -> None:
        """Restore what `save` returned."""
        count, steps, *rest = actions.shape
        capacity = max(CAPACITY, steps)
        self.actions = np.empty((count, capacity, *rest), self.actions.dtype)
        self.actions[:, :steps] = actions


def replay(
    env: gym.Env, actions: Sequence[Any], seed: int | None = None, keep: int = 1
) -> tuple[list[Any], float]:
    """Take these actions, in a new episode if `seed` is given; returns the last `keep`
    observations, as far as there are so many, and the return."""
    observations: deque[Any] = deque(maxlen=keep)
    total = 0.0
    if seed is not None:
        observation, _ = env.reset(seed=seed)
        observations.append(copy.deepcopy(observation))
    for action in actions:
        observation, reward, *_ = env.step(action)
        observations.append(copy.deepcopy(observation))  # the array may be reused
        total += np.asarray(reward).item()
    return list(observations), total


@dataclass
class _Screen:
    """A second environment that draws a row."""

    env: gym.Env
    seed: int = -1  # of its episode
    time: int = 0  # steps since the episode began


class Screens:
    """Pictures of rows, drawn by second environments that replay their actions."""

    def __init__(self, source: Source):
        self.source = source
        self.screens: dict[int, _Screen] = {}

    def picture(
        self, row: int, seed: int, time: int, history: ActionHistory
    ) -> np.ndarray:
        """Draw a row whose episode has this seed and is at step `time`."""
        facts = self.source.facts
        if not facts.draws:
            raise ValueError(
                f"{self.source.env_id} draws no pictures: "
                "rgb_array is not among its render modes"
            )
        if facts.is_mujoco:
            rendering.use_egl_without_display()
        if row not in self.screens:
            self.screens[row] = _Screen(self.source.make("rgb_array"))
        screen = self.screens[row]
        if screen.seed == seed and screen.time <= time:
            actions = history.of(row, screen.time, time)
            replay(screen.env, facts.actions(actions))
        else:
            actions = history.of(row, 0, time)
            replay(screen.env, facts.actions(actions), seed)
        screen.seed = seed
        screen.time = time
        if facts.is_mujoco:
            return rendering.render_mujoco(screen.env)
        return np.asarray(screen.env.render())

    def close(self) -> None:
        """Close the second environments."""
        for screen in self.screens.values():
            close(screen.env)
        self.screens.clear()
