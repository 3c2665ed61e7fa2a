"""Models of Stable-Baselines3 with the settings of an expert."""

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from curriculum.planners._expert.settings import ExpertSettings
from curriculum.types import World


def build_model(expert: ExpertSettings, env: VecEnv) -> OffPolicyAlgorithm:
    """An untrained model of the expert's algorithm."""
    # gradient updates for one step of all rows, and steps of all rows between updates
    updates = expert.rows * expert.updates_per_step
    steps_between = max(1, round(1 / updates))
    own = expert.algorithm_settings()
    own.pop("policy_kwargs", None)
    model = expert.algorithm(
        _policy_name(expert, env.observation_space),
        env,
        learning_rate=expert.learning_rate,
        buffer_size=max(min(expert.capacity, expert.max_steps), expert.rows),
        learning_starts=expert.learning_starts,
        batch_size=expert.batch_size,
        gamma=expert.discount,
        train_freq=steps_between,
        gradient_steps=max(1, round(updates * steps_between)),
        policy_kwargs=_network(expert),
        seed=expert.seed,
        device="cpu",
        **own,
    )
    # otherwise the library creates a folder for each model
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def build_policy(
    expert: ExpertSettings, observations: spaces.Space, actions: spaces.Space
) -> BasePolicy:
    """An untrained policy of the expert's algorithm; draws its weights."""
    name = _policy_name(expert, observations)
    policy_class = expert.algorithm.policy_aliases[name]
    return policy_class(observations, actions, lambda _: 0.0, **_network(expert))


def check_world(expert: ExpertSettings, world: World) -> None:
    """Raise ValueError where the algorithm takes other actions, or has no network for
    the observations."""
    discrete = isinstance(world.action_space, spaces.Discrete)
    if discrete != expert.discrete:
        if expert.discrete:
            needed = "discrete"
            others = "sac, tqc or crossq"
        else:
            needed = "box"
            others = "dqn or qrdqn"
        raise ValueError(
            f"{expert.name} needs {needed} actions, those of {world} are "
            f"{world.action_space}; choose {others}"
        )
    _policy_name(expert, world.observation_space)


def _policy_name(expert: ExpertSettings, space: spaces.Space) -> str:
    """The library's name of the policy for observations of a space."""
    images = len(space.shape or ()) == 3 and space.dtype == np.uint8
    if not images:
        return "MlpPolicy"
    if "CnnPolicy" not in expert.algorithm.policy_aliases:
        raise ValueError(f"{expert.name} has no network for images; choose sac or tqc")
    return "CnnPolicy"


def _network(expert: ExpertSettings) -> dict[str, Any]:
    own = expert.algorithm_settings().get("policy_kwargs", {})
    return {"net_arch": list(expert.hidden), **own}
