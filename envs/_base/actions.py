"""Action bounds: box actions lie in [-1, 1] everywhere but inside a world."""

from typing import Any

import gymnasium as gym
import numpy as np


def scaled_space(
    space: gym.spaces.Discrete | gym.spaces.Box,
) -> gym.spaces.Discrete | gym.spaces.Box:
    """The action space that a learner sees: a box has bounds of -1 and 1.

    Raises ValueError for a box with an infinite bound."""
    if isinstance(space, gym.spaces.Discrete):
        return space
    if not space.is_bounded():
        raise ValueError(
            "box actions need finite bounds, because they are scaled from [-1, 1]; "
            f"got {space}"
        )
    return gym.spaces.Box(-1, 1, space.shape, np.float32)


def scale_actions(
    action: np.ndarray, space: gym.spaces.Discrete | gym.spaces.Box
) -> np.ndarray:
    """Scale box actions [N, A] from [-1, 1] to the bounds of `space`; discrete actions
    are returned unchanged."""
    if isinstance(space, gym.spaces.Discrete):
        return action
    centre = (space.high + space.low) / 2
    half_width = (space.high - space.low) / 2
    return np.clip(centre + half_width * action, space.low, space.high)


def describe_actions(
    space: gym.spaces.Discrete | gym.spaces.Box, env_space: gym.Space
) -> dict[str, Any]:
    """What turns the scores of a policy into actions of a world, for the contract of
    its policy file.

    `space` is that of the world; where `env_space`, that of its environment, is of the
    same kind, it gives shape and type, or the first number."""
    if isinstance(space, gym.spaces.Discrete):
        first = env_space if isinstance(env_space, gym.spaces.Discrete) else space
        return {"kind": "discrete", "n": int(space.n), "start": int(first.start)}
    shaped = env_space if isinstance(env_space, gym.spaces.Box) else space
    return {
        "kind": "box",
        "shape": list(shaped.shape),
        "dtype": str(shaped.dtype),
        "low": space.low.ravel().tolist(),
        "high": space.high.ravel().tolist(),
    }
