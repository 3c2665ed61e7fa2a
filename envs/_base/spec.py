"""What a learner needs to know about a world."""

import gymnasium as gym
import numpy as np

from curriculum.types import Spec, World


def spec_of(world: World) -> Spec:
    """Describe observations and actions of a world."""
    observations = world.observation_space
    actions = world.action_space
    if isinstance(actions, gym.spaces.Discrete):
        count = int(actions.n)
        size = 0
    else:
        count = 0
        size = int(np.prod(actions.shape))
    return Spec(
        obs_shape=observations.shape,
        obs_dtype=str(observations.dtype),
        obs_low=observations.low,
        obs_high=observations.high,
        actions=count,
        action_size=size,
        frames=world.frames,
    )
