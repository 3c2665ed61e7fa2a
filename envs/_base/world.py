"""Worlds and their rows: what all have in common, and the native ones, which are
batched numpy dynamics.

A world is a pure description. The state of a native one is one array [N, S], so a copy
is a copy and a checkpoint is an array; planners that search step copies of it
(`Simulator`), and its rows step the real thing.

Box actions lie in [-1, 1] everywhere in this package but inside a world, which takes
them within its own bounds. `Rows.step` is where the one becomes the other; who steps
copies of a world asks `native` for the same.
"""

from __future__ import annotations

from typing import Protocol

import gymnasium as gym
import numpy as np

from curriculum.types import World


class Random(Protocol):
    """The one draw a world may make: a `numpy.random.Generator`, or `Streams` where
    rows belong to different seeds."""

    def random(self, size: tuple[int, ...]) -> np.ndarray:
        """Uniform numbers in [0, 1); the first axis of `size` counts rows."""
        ...


class Dynamics(World, Protocol):
    """A batched native world. Everything is a function of its arguments; nothing is
    remembered between calls."""

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, S]."""
        ...

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, S], rewards [N] float64 and terminated [N] bool; `state` is
        left as it was.

        `action` is [N], or [N, A] within the bounds of `action_space`."""
        ...

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, *O], freshly allocated."""
        ...

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the task is done in these states, [N] bool."""
        ...

    def draw(self, state: np.ndarray) -> np.ndarray:
        """A picture [height, width, 3] uint8 of one state [S]."""
        ...


def native(
    action: np.ndarray, space: gym.spaces.Discrete | gym.spaces.Box
) -> np.ndarray:
    """Box actions [N, A] in [-1, 1] in the units and bounds of `space`; discrete ones
    as they are."""
    if isinstance(space, gym.spaces.Discrete):
        return action
    centre, reach = (space.high + space.low) / 2, (space.high - space.low) / 2
    return np.clip(centre + reach * action, space.low, space.high)
