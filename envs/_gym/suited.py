"""Settings that suit a Gymnasium environment: a first result within minutes on two
cores, whatever the environment.

A search is given few simulations. An expert is trained for a fixed number of steps,
about a minute, however good it is then."""

from typing import Any

import gymnasium as gym

from curriculum.envs._gym.source import Facts

LONG_EPISODE = 500  # steps
SAMPLED_SEARCH = {
    "planner": "mcts",
    "planner.simulations": 32,
    "planner.rollouts": 1,
    "planner.horizon": 40,
}
# finds the goal where simulations that play at random never meet it
EXACT_SEARCH = {"planner": "uniform_cost", "planner.states": 2_000}
GRID = {
    "start.size": 1_000,
    "steps": 10_000,
    "eval_every": 2_000,
    "eval_episodes": 10,
}
Q_NETWORK = {
    "planner": "dqn",
    "planner.max_steps": 20_000,
    "planner.eval_every": 10_000,
    "planner.eval_episodes": 20,
}
ACTOR_CRITIC = {
    "planner": "sac",
    "planner.max_steps": 6_000,
    "planner.eval_every": 3_000,
    "planner.eval_episodes": 20,
    "planner.batch_size": 64,
}


# drawing pictures and learning from them are slow, and no expert learns within minutes
PICTURES = {
    "start.size": 1_000,
    "steps": 5_000,
    "updates_per_step": 0.1,
    "capacity": 20_000,
    "learner.batch_size": 64,
    "eval_every": 2_500,
    "eval_episodes": 2,
    "eval_mixed": False,
}


def suited(facts: Facts) -> dict[str, Any]:
    """Settings by their names in `config.yaml`."""
    is_box = isinstance(facts.actions.space, gym.spaces.Box)
    settings: dict[str, Any] = {"learner": "td3bc" if is_box else "iql"}
    if not facts.max_steps or facts.max_steps >= LONG_EPISODE:
        settings["eval_episodes"] = 20
    if facts.view.frames:
        settings |= {"planner": "random", "planner.episodes": 1, **PICTURES}
    if facts.is_grid and not is_box:
        search = SAMPLED_SEARCH if facts.has_chance else EXACT_SEARCH
        return settings | search | GRID
    if facts.view.frames:
        return settings
    return settings | (ACTOR_CRITIC if is_box else Q_NETWORK)
