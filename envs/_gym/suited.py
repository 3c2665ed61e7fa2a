"""Settings that suit a Gymnasium environment: a first result within minutes on two
cores, whatever the environment.

A search is given few simulations. An expert is trained for a fixed number of steps,
about a minute, however good it is then."""

from typing import Any

import gymnasium as gym

from curriculum.envs._gym.source import Facts

LONG_EPISODE = 500  # steps
SEARCH = {
    "planner": "mcts",
    "planner.simulations": 32,
    "planner.rollouts": 1,
    "planner.horizon": 40,
    "start.size": 1_000,
    "steps": 10_000,
    "eval_every": 2_000,
    "eval_episodes": 10,
}
Q_NETWORK = {
    "planner": "dqn",
    "planner.max_steps": 20_000,
    "planner.eval_every": 20_000,
    "planner.eval_episodes": 20,
}
ACTOR_CRITIC = {
    "planner": "sac",
    "planner.max_steps": 6_000,
    "planner.eval_every": 6_000,
    "planner.eval_episodes": 20,
    "planner.batch_size": 64,
}


def suited(facts: Facts) -> dict[str, Any]:
    """Settings by their names in `config.yaml`."""
    if isinstance(facts.actions.space, gym.spaces.Box):
        settings = {"learner": "td3bc", **ACTOR_CRITIC}
    elif facts.is_grid:
        settings = {"learner": "iql", **SEARCH}
    else:
        settings = {"learner": "iql", **Q_NETWORK}
    is_long = not facts.max_steps or facts.max_steps >= LONG_EPISODE
    if is_long:
        settings.setdefault("eval_episodes", 20)
    return settings
