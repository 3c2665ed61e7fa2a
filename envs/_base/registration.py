"""The names of native worlds in Gymnasium's registry.

`import curriculum.envs` registers them. The fields of a world are keywords of
`gymnasium.make` and `gymnasium.make_vec`.
"""

from typing import Any

import gymnasium as gym

REGISTERED: dict[str, dict[str, Any]] = {
    "curriculum/Gridworld-v0": {"world": "curriculum.envs.gridworld:Gridworld"},
    "curriculum/GridworldClassic-v0": {
        "world": "curriculum.envs.gridworld:Gridworld",
        "observation": "image",
        "start": "fixed",
        "max_steps": 0,
    },
    "curriculum/CartPole-v0": {"world": "curriculum.envs.cartpole:CartPole"},
    "curriculum/Pendulum-v0": {"world": "curriculum.envs.pendulum:Pendulum"},
    "curriculum/PointmassEasy-v0": {
        "world": "curriculum.envs.pointmass:Pointmass",
        "maze": "easy",
    },
    "curriculum/PointmassMedium-v0": {
        "world": "curriculum.envs.pointmass:Pointmass",
        "maze": "medium",
    },
    "curriculum/PointmassHard-v0": {
        "world": "curriculum.envs.pointmass:Pointmass",
        "maze": "hard",
    },
    "curriculum/PointmassVeryHard-v0": {
        "world": "curriculum.envs.pointmass:Pointmass",
        "maze": "veryhard",
    },
    "curriculum/BotEvade-v0": {"world": "curriculum.envs.botevade:BotEvade"},
    "curriculum/BotEvadeOriginal-v0": {
        "world": "curriculum.envs.botevade:BotEvade",
        "dynamics": "original",
        "hide_distance": False,
    },
    "curriculum/MiniBricks-v0": {
        "world": "curriculum.envs.mini_atari:MiniAtari",
        "game": "bricks",
        "clip_rewards": False,
    },
    "curriculum/MiniMaze-v0": {
        "world": "curriculum.envs.mini_atari:MiniAtari",
        "game": "maze",
        "clip_rewards": False,
    },
}


def register() -> None:
    """Register all native worlds with Gymnasium."""
    for name, fields in REGISTERED.items():
        gym.register(
            name,
            entry_point="curriculum.envs._base.environments:NativeEnv",
            vector_entry_point="curriculum.envs._base.environments:NativeVectorEnv",
            kwargs=fields,
        )
